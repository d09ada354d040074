"""Brackets of the onset and of the end of a silence."""

from collections.abc import Sequence
from dataclasses import replace

from heliograph.units import SECOND_US
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.incidents.incident import Bracket
from heliograph_collector.model.thresholds import Thresholds

# Between two attempts at a lost way while another works: six hours and a quarter (the agent's).
_PROBE_US = 27_000 * SECOND_US


def bracket_return(return_times_us: Sequence[int], limits: Thresholds) -> Bracket:
    """Bracket the return: from one retry before the 10 % quantile of returns to the third of them.

    Fewer than a burst are no sign of a return, as they are none of a silence: a network that fades
    lets one through minutes before it is cut.
    """
    in_order = sorted(return_times_us)
    early = quantile(in_order, 0.1)
    supported = in_order[min(limits.burst, len(in_order)) - 1]
    return Bracket(early - int(limits.retry_s * SECOND_US), max(early, supported))


def bracket_end(
    back_us: Sequence[int], home_us: Sequence[int], started: Bracket, limits: Thresholds
) -> Bracket:
    """Bracket the end by those who were silent until then, or by more who had another way.

    Args:
        home_us: When these were back by the way that they were lost by, which they try seldom.
    """
    after_us = [at_us for at_us in home_us if at_us > started.latest_us]
    if len(after_us) <= len(back_us):
        return bracket_return(back_us, limits)
    ended = bracket_return(after_us, limits)
    earliest_us = max(started.latest_us, ended.earliest_us - _PROBE_US)
    return replace(ended, earliest_us=earliest_us)


def bracket_onset(heard_times_us: Sequence[int], limits: Thresholds) -> Bracket:
    """Bracket the onset without the tenth at either end, which may be chance."""
    beat_us = int(limits.beat_s * SECOND_US)
    return Bracket(quantile(heard_times_us, 0.1), quantile(heard_times_us, 0.9) + beat_us)
