"""Brackets of the onset and of the end of a silence."""

from collections.abc import Sequence

from heliograph.units import SECOND_US
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.incidents.incident import Bracket
from heliograph_collector.model.thresholds import Thresholds


def bracket_return(return_times_us: Sequence[int], limits: Thresholds) -> Bracket:
    """Bracket the return: from one retry before the 10 % quantile of returns to the third of them.

    Fewer than a burst are no sign of a return, as they are none of a silence: a network that fades
    lets one through minutes before it is cut.
    """
    in_order = sorted(return_times_us)
    early = quantile(in_order, 0.1)
    supported = in_order[min(limits.burst, len(in_order)) - 1]
    return Bracket(early - int(limits.retry_s * SECOND_US), max(early, supported))


def bracket_onset(heard_times_us: Sequence[int], limits: Thresholds) -> Bracket:
    """Bracket the onset without the tenth at either end, which may be chance."""
    beat_us = int(limits.beat_s * SECOND_US)
    return Bracket(quantile(heard_times_us, 0.1), quantile(heard_times_us, 0.9) + beat_us)
