"""A source that falls in nearly all countries at once: it failed itself, wholly or in part.

Theory of operation. A prober or a monitor that is lost takes its share of every country, often not
half of it. Where four fifths of at least four countries have less than nine tenths of what is
usual, the median country tells what the source has left. A country that has at least half of that
is unknown at this step. One that has less fell by itself, and is judged as if the source had all.
Where one cable is cut, some countries stand.
"""

from collections.abc import Sequence
from statistics import median

# Assumed, all of them:
_LEAST_COUNTRIES = 4
_MOST = (4, 5)  # of the countries
_FELL = 0.9  # share of the usual level that they have less than
_APART = 0.5  # of the common share, below which a country fell by itself
_DEAD = 0.1  # common share of a source that says nothing of any country


def find_common_share(shares: Sequence[float]) -> float:
    """Return what a source has left everywhere, by the shares of its countries; 1.0: it works."""
    ordered = sorted(shares)
    numerator, denominator = _MOST
    index = -(-len(ordered) * numerator // denominator) - 1
    if len(ordered) < _LEAST_COUNTRIES or ordered[index] >= _FELL:
        return 1.0
    return median(ordered)


def correct_value(value: float | None, usual: float | None, common: float) -> float | None:
    """Return the value as if the source had all; None where it tells nothing of the country."""
    if common == 1.0 or value is None:
        return value
    if usual is None or common < _DEAD or value >= _APART * common * usual:
        return None
    return value / common
