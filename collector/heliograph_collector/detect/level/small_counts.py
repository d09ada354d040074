"""Chance of a low count of few things, such as cities or the networks of an islet.

Theory. Things that are seen or missed independently are counted with a variance of at most the
mean, so that a Poisson distribution bounds the chance of a low count. Of four cities one hour sees
none with 2 %, which is a dozen times a month, however steady the hours before were.

A series counts few things if its highest value is fewer than 64 units. The unit is 1 of whole
numbers that are that small. Dashboards write shares of the highest value (IODA's: 40 cities as
100 %): then it is the smallest difference, of which all values are multiples.
"""

import math
from collections.abc import Iterable
from itertools import pairwise

_FEW = 64  # things, of which all but some are missed by no chance; assumed
_LEAST_APART = 3  # differences that show a unit; assumed
_ROUNDING = 1e-6  # of the highest value: smaller differences are of the arithmetic
_OFF = 0.01  # of a unit, that a multiple of it may be off; assumed


def find_unit(values: Iterable[float | None]) -> float | None:
    """Return the unit of a series of few things; None if it counts many, or no things."""
    known = sorted({value for value in values if value is not None})
    if not known or known[-1] <= 0:
        return None
    if known[-1] < _FEW and all(value % 1 == 0 for value in known):
        return 1.0
    apart = [b - a for a, b in pairwise([0.0, *known]) if b - a > _ROUNDING * known[-1]]
    unit = min(apart)
    are_multiples = all(abs(value / unit - round(value / unit)) <= _OFF for value in known)
    is_few = known[-1] < _FEW * unit and are_multiples
    return unit if is_few and len(apart) >= _LEAST_APART else None


def find_log_chance(count: float, usual: float) -> float:
    """Return the natural logarithm of the chance of at most `count` where `usual` is the mean."""
    terms = [n * math.log(usual) - math.lgamma(n + 1) for n in range(math.floor(count + 0.5) + 1)]
    most = max(terms)
    return most - usual + math.log(sum(math.exp(term - most) for term in terms))
