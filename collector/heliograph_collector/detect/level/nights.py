"""Compute the chance that so many people are absent, given the nights before.

Theory of operation. In a country of n people k are silent. They may sleep: how many do so in a
night is known of m nights. A darkest night of them is no bound, as three nights of twelve people,
a quarter of whom sleeps, do not exclude seven in a fourth. So the question is by what chance the
next night takes k, after those that are known: the predictive distribution.

- The rate at which people sleep is uniform a priori. Each night adds the share that it took.
- People of one night are alike: on weekends and feasts more of them sleep, or fewer. By the
  correlation r of two of them a night of n people tells as much as n / (1 + (n - 1) r) would.
- The next night is beta-binomial: its mean is that of the rate, its correlation is r and what is
  uncertain of the rate.

A year has 365 nights, so a chance of less than one in 365 is, at most once a year in a country, a
night. Goodbyes are in no count: who says it does not fall silent, and the others sleep by a rate
that is known of those who said none.
"""

import math
from collections.abc import Sequence

from heliograph.units import DAY_US, MINUTE_US
from heliograph_collector.detect.stats.tails import beta_binomial_tail

NIGHT_CHANCE = 1 / 365  # one wrong cut a year in a country that is judged each night; assumed
DOUBT_CHANCE = 0.02  # … and seven doubts; assumed
RARE_CHANCE = 0.05  # one night of twenty; assumed
_ALIKE = 0.05  # correlation of two people in one night; assumed
STEP_US = 15 * MINUTE_US  # of the habit; assumed
_DAY = DAY_US // STEP_US
_KNOWN = 0.9  # of a day's steps, of a day that is known; assumed
_HOUR = 4  # steps that a night is dark, so that brief silences are none
NEAR_STEPS = 8  # on either side of a time of day; who goes to bed an hour later is no new habit
_MOST = 200  # people whose chance is computed
_WEEK = 7  # days, which are of each kind


def list_nights(values: Sequence[float | None], before: int, *, is_day: bool) -> list[float]:
    """List the largest share absent for an hour, of each full day before a step.

    Args:
        values: The lowest shares that were here, of each step until now; None: unknown.
        before: The step to begin with, from the first value.
        is_day: It is a time at which sleepers are up: where a week is known, each day shows how
            many are away then.
    """
    ends = range(before, _DAY - 1, -_DAY)
    days = [_list_known(values[end - _DAY : end]) for end in ends]
    nights = [day for day in days if len(day) >= _KNOWN * _DAY]
    if is_day and len(nights) >= _WEEK:
        middles = range(len(values) - _DAY, NEAR_STEPS, -_DAY)
        near = [
            _list_known(values[at - NEAR_STEPS : min(at + NEAR_STEPS, before)]) for at in middles
        ]
        nights = [hours for hours in near if len(hours) > NEAR_STEPS]
    return [1.0 - sorted(night)[_HOUR - 1] for night in nights]


def compute_chance(nights: Sequence[float], silent: int, size: int) -> float:
    """Return the chance that `silent` of `size` are absent, given earlier nights."""
    if size > _MOST:  # people are so alike that more of them add nothing
        return compute_chance(nights, math.ceil(silent * _MOST / size), _MOST)
    weight = len(nights) * size / (1.0 + (size - 1) * _ALIKE)
    mean = (1.0 + weight * math.fsum(nights) / max(1, len(nights))) / (2.0 + weight)
    alike = _ALIKE + (1.0 - _ALIKE) / (3.0 + weight)
    return beta_binomial_tail(silent, size, mean, alike)


def _list_known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]
