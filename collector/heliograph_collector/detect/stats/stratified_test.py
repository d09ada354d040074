"""Compute the chance that the failures of several places fall on one group.

If the group does not matter, the failures of each place fall on its members and others like lots
(Fisher, Statistical Methods for Research Workers, 21.02), and the lots of all places are added up,
as Mantel and Haenszel do with strata (J. Natl. Cancer Inst. 22, 1959). The chance is exact.
"""

import math
from collections.abc import Iterable, Sequence


def compute_split_chance(strata: Iterable[Sequence[tuple[bool, bool]]]) -> float:
    """Return the chance that the group has as many of the failures; 1 if it has none.

    Args:
        strata: Of each place, by vantage: (whether it is of the group, whether it failed).
    """
    hits = 0
    chances = [1.0]  # that so many failures are the group's, by their number
    for stratum in strata:
        own = [has_failed for is_own, has_failed in stratum if is_own]
        hits += sum(own)
        failures = sum(has_failed for _, has_failed in stratum)
        chances = _add_lots(chances, _draw_lots(len(stratum), len(own), failures))
    return sum(chances[hits:]) if hits else 1.0


def _draw_lots(vantages: int, own: int, failures: int) -> list[float]:
    """Return the chance of 0, 1, … of the failures among `own` of these vantages."""
    every = math.comb(vantages, failures)
    return [
        math.comb(own, n) * math.comb(vantages - own, failures - n) / every if n <= failures else 0
        for n in range(own + 1)
    ]


def _add_lots(chances: Sequence[float], more: Sequence[float]) -> list[float]:
    """Return the chances of the sum of two independent numbers."""
    total = [0.0] * (len(chances) + len(more) - 1)
    for first, chance in enumerate(chances):
        for second, other in enumerate(more):
            total[first + second] += chance * other
    return total
