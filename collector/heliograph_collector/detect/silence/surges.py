"""Surges: people who come on together for a while, and leave again.

Theory of operation. On an alarm many phones are switched on within minutes, and off half an hour
later. Chance does not explain so many losses, but those who were here before them stay, and an
order that takes a network takes these as well. So a burst of vantages that had come together is
only suspected (`habit`) where most of those who were here an hour before them live on, three votes
at least: at a start of this collector all come together. Who comes back from an outage and is cut
again falls in the same incident, which is confirmed already.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.cell_members import select_inside
from heliograph_collector.detect.silence.vantage_presence import LONG_US, VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_hits, sum_silent
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.thresholds import THRESHOLDS

# Assumed, all of them:
_COMING_US = 600 * SECOND_US  # in which a surge comes
_STAY_US = 7_200 * SECOND_US  # how long it stays at most: a match, an alarm
_EARLIER_SHARE = 0.34  # of those who were here before, that chance may have taken since


def is_surge_over(cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence]) -> bool:
    """Return whether people left who had come together, while those live that were here before.

    Args:
        cells: Those that fell silent.
        vantages: The country's established vantages, here or silent.
    """
    inside = select_inside(cells, vantages)
    silent = [v for v in inside if v.is_silent]
    came = {id(v): v.seen_us for v in silent if _is_visit(v)}
    if not came:
        return False
    first_us = _find_densest(came.values(), _COMING_US)
    hits = [0 <= came.get(id(v), 0) - first_us <= _COMING_US for v in silent]
    if count_hits(silent, hits).share < THRESHOLDS.confirm_share:
        return False
    earlier = sum_silent([v for v in inside if v.seen_us < first_us - LONG_US])
    return earlier.votes >= THRESHOLDS.witnesses and earlier.share <= _EARLIER_SHARE


def _is_visit(vantage: VantagePresence) -> bool:
    """Return whether it was here for a while after a long absence, as since its enrollment."""
    away_us = vantage.seen_us - max(vantage.gone_us, vantage.witness.first_us)
    return away_us >= LONG_US and vantage.heard_us - vantage.seen_us <= _STAY_US


def _find_densest(times_us: Iterable[int], span_us: int) -> int:
    """Return the time that begins the span with most of the times, of which there is one."""
    ordered = sorted(times_us)
    counts = [bisect_right(ordered, at_us + span_us) - i for i, at_us in enumerate(ordered)]
    return ordered[counts.index(max(counts))]
