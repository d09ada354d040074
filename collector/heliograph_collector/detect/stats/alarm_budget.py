"""Compute alarm thresholds from the false alarms that a year may have."""

import math

from heliograph_collector.model.scope import Scope
from heliograph_collector.model.thresholds import Thresholds

_YEAR_S = 365.25 * 86_400  # a Julian year


def tail_limit(scope: Scope, cells: int, limits: Thresholds) -> float:
    """Return the tail probability at which a cell stands out in a burst of silences.

    All evaluations of a year, all windows and all cells share the budget of false alarms.
    """
    looks = _YEAR_S / min(limits.windows_s) * limits.scan_factor * len(limits.windows_s)
    if scope.is_national:
        return limits.national_alarms_per_year / looks
    return limits.cell_alarms_per_year / looks / max(1, cells)


def alarm_threshold(cells: int, alarms_per_year: float, bin_s: float) -> float:
    """Return the CUSUM height of this false alarm budget, in nats.

    P(sum >= h from one start) <= exp(-h) (Wald). Every bin of every cell is a start.
    """
    return math.log(_YEAR_S / bin_s * max(1, cells) / alarms_per_year)
