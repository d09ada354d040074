"""Confirm falls by returned agents that measured dead links during the fall.

At night most of a country may sleep, and until its nights are known nothing tells that from a cut.
But those who are back do: a machine that sleeps measures nothing, and one whose own line failed is
alone. So a fall of nearly all that is over was no habit where most who are back tell that no anchor
answered them, in several networks, while they were silent at one time for long.
"""

from collections.abc import Iterable, Sequence

from heliograph.units import MINUTE_US
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_hits
from heliograph_collector.model.thresholds import THRESHOLDS

_DARK_SHARE = 0.8  # of the votes, at the darkest: more than switch off of an evening; assumed
_POWERLESS_SHARE = 0.2  # of those who are back, as where a grid fails (doubts.py); assumed
_TOGETHER_US = 30 * MINUTE_US  # for which all witnesses were silent; lines fail for less; assumed


def have_reported_dead_links(
    fallen: Iterable[VantagePresence], darkest: float, since_us: int
) -> bool:
    """Return whether vantages back from a fall report that it was a cut.

    Args:
        fallen: The established vantages of the cell that are here, or fell silent in the fall.
        darkest: The share of the votes that was silent at one time.
        since_us: When the fall began.
    """
    if darkest < _DARK_SHARE:
        return False
    returned = list_returned(fallen, since_us)
    hits = [_tells_of_dead_link(v) for v in returned]
    count = count_hits(returned, hits)
    if count.hits < max(THRESHOLDS.witnesses, THRESHOLDS.confirm_share * count.votes):
        return False
    tellers = [v for v, hit in zip(returned, hits, strict=True) if hit]
    powerless = sum(v.power_failed for v in returned)
    if powerless >= _POWERLESS_SHARE * len(returned):
        return False  # laptops behind dead routers report the same after a power failure
    if len({v.place.asn for v in tellers}) < THRESHOLDS.networks:
        return False
    together_us = min(v.back_us for v in tellers) - max(v.heard_us for v in tellers)
    return together_us >= _TOGETHER_US


def list_returned(fallen: Iterable[VantagePresence], since_us: int) -> Sequence[VantagePresence]:
    """List vantages that fell silent in a fall and are back from it."""
    return [v for v in fallen if v.is_live and since_us <= v.lost_us < v.back_us]


def _tells_of_dead_link(vantage: VantagePresence) -> bool:
    report = vantage.report
    return report is not None and report.online is False and report.until_us > vantage.heard_us
