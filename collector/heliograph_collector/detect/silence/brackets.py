"""Brackets of the onset and of the end of a silence."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from heliograph.units import SECOND_US
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.incidents.incident import Bracket
from heliograph_collector.model.signals import FaultReason
from heliograph_collector.model.thresholds import Thresholds

# Between two attempts at a lost way while another works: six hours and a quarter (the agent's).
_PROBE_US = 27_000 * SECOND_US
# Of a fall before its burst was found; assumed:
_STRETCH_US = 60 * SECOND_US  # in which it is counted, at least
_PACE = 0.25  # of the losses of the burst, in as long a time
_DEAF = (FaultReason.RESTART.value, FaultReason.STALLED.value, FaultReason.PROBE.value)


class BlindGap(Protocol):
    """A coverage gap, its grace included."""

    @property
    def since_us(self) -> int: ...
    @property
    def until_us(self) -> int: ...
    @property
    def why(self) -> str: ...
    @property
    def country(self) -> str: ...


class DatedSilence(Protocol):
    """DatedSilence of one vantage; `floor` is not 0 if found after a collector fault."""

    heard_us: int
    lost_us: int
    floor: float


class DatedOutage(Protocol):
    country: str
    started: Bracket


class Watch(Protocol):
    """Times in which the collector could not watch."""

    limits: Thresholds
    gaps: Sequence[BlindGap]


def bracket_return(return_times_us: Sequence[int], limits: Thresholds) -> Bracket:
    """Bracket the time at which agents began to return.

    The bracket runs from one retry before the 10 % quantile of returns to that quantile, or to the
    return that completes a burst if this is later. Fewer than a burst are no sign of a return, as
    they are none of a silence: a network that fades lets one through minutes before it is cut.
    """
    in_order = sorted(return_times_us)
    early = quantile(in_order, 0.1)
    supported = in_order[min(limits.burst, len(in_order)) - 1]
    return Bracket(early - int(limits.retry_s * SECOND_US), max(early, supported))


def bracket_end(
    back_us: Sequence[int], home_us: Sequence[int], outage: DatedOutage, watch: Watch
) -> Bracket:
    """Bracket the end by silent vantages, or by rerouted ones if these are more.

    Args:
        home_us: When these were back by the way that they were lost by, which they try seldom.
        outage: The outage that ended.
        watch: When nobody watched.
    """
    started = outage.started
    after_us = [at_us for at_us in home_us if at_us > started.latest_us]
    ended = bracket_return(after_us if len(after_us) > len(back_us) else back_us, watch.limits)
    earliest_us = reach_into_gaps(ended, watch.gaps, outage.country).earliest_us
    if len(after_us) > len(back_us):
        earliest_us = min(earliest_us, ended.earliest_us - _PROBE_US)
    if earliest_us < ended.earliest_us:
        ended = replace(ended, earliest_us=max(started.latest_us, earliest_us))
    return ended


def reach_into_gaps(returned: Bracket, gaps: Iterable[BlindGap], country: str) -> Bracket:
    """Extend a return's bracket back to the start of a blind gap just before it."""
    earliest_us = returned.earliest_us
    for gap in gaps:
        is_ours = gap.why in _DEAF and gap.country in ("", country)
        if is_ours and gap.since_us < returned.earliest_us <= gap.until_us:
            earliest_us = min(earliest_us, gap.since_us)
    return replace(returned, earliest_us=earliest_us)


def select_at_pace(
    silences: Sequence[DatedSilence], burst_us: int, limits: Thresholds
) -> Sequence[DatedSilence]:
    """Select the silences of a burst, and those before it that came at its pace.

    What fades is found once its losses outrun chance, long after the first. In a step hardly any
    came before: the last stretch of equal length that has a quarter as many begins the fall.
    """
    burst = [s.lost_us for s in silences if s.lost_us >= burst_us]
    if not burst:
        return silences
    length_us = max(_STRETCH_US, max(burst) - burst_us)
    least = max(limits.burst, _PACE * len(burst))
    since_us = burst_us
    while sum(since_us - length_us <= s.lost_us < since_us for s in silences) >= least:
        since_us -= length_us
    return [s for s in silences if s.lost_us >= since_us]


def bracket_onset(silences: Sequence[DatedSilence], limits: Thresholds) -> Bracket:
    """Bracket the onset without the tenth at either end, which may be chance.

    A vantage missing after a fault of ours may have fallen silent at any time until that was found.
    """
    beat_us = int(limits.beat_s * SECOND_US)
    silent_by_us = [s.lost_us if s.floor else s.heard_us + beat_us for s in silences]
    return Bracket(quantile([s.heard_us for s in silences], 0.1), quantile(silent_by_us, 0.9))
