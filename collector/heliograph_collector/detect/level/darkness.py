"""Darkness: whether so many are silent in a cell, for so long, that no habit explains it."""

from collections.abc import Iterable, Iterator, Sequence

from heliograph.units import MINUTE_US
from heliograph_collector.detect.level.local_time import is_busy_hour
from heliograph_collector.detect.silence.presence_tracker import VantagePresence, count_silent
from heliograph_collector.detect.silence.steadiness import FLAP_US, count_steady, is_unsteady
from heliograph_collector.detect.stats.tails import upper_tail
from heliograph_collector.detect.stats.voting import count_votes, sum_votes
from heliograph_collector.model.thresholds import Thresholds

LASTING_US = 10 * MINUTE_US  # of a silence; assumed
# Before the habit is learned, more votes than chance makes of the 80 % that switch off at most …
ALONE_SHARE = 0.8  # in the evenings that an outside audit played 75 % did; assumed
ALONE_CHANCE = 1e-3  # assumed
LINES_SHARE = 0.9  # … and of fixed lines: nearly all phones may sleep; assumed


def is_cut_off(
    fallen: Sequence[VantagePresence], now_us: int, limits: Thresholds, *, is_learned: bool
) -> bool:
    """Return whether so many stay silent that no habit explains it.

    Args:
        fallen: Established vantages of one country that are here, or fell silent in the fall.
        is_learned: What is usual at this time of day is known, and the cell fell below it.
    """
    lasting = list(_exclude_brief(fallen, now_us))
    is_dark = _is_dark(lasting, limits, is_learned=is_learned)
    return is_dark and not _is_flapping(fallen, now_us, limits)


def _is_dark(lasting: Sequence[VantagePresence], limits: Thresholds, *, is_learned: bool) -> bool:
    votes = sum_votes(count_silent(lasting))
    if is_learned:
        return votes.votes >= limits.votes and votes.share >= limits.confirm_share
    busy = sum_votes(
        count_votes(
            (v.witness, v.is_silent and is_busy_hour(v.place.country, v.lost_us)) for v in lasting
        )
    )
    if busy.votes >= limits.few and busy.share >= limits.confirm_share:
        return True
    lines = sum_votes(count_silent([v for v in lasting if v.place.access == "fixed"]))
    if lines.votes < limits.votes or lines.share < LINES_SHARE:
        return False
    return upper_tail([ALONE_SHARE] * round(votes.votes), round(votes.hits)) <= ALONE_CHANCE


def _is_flapping(fallen: Sequence[VantagePresence], now_us: int, limits: Thresholds) -> bool:
    """Return whether sessions break and come back, and too few stay silent for long."""
    is_short = count_steady(fallen, now_us, limits).share < limits.confirm_share
    return is_short and is_unsteady(fallen, now_us - FLAP_US, fallen, limits)


def _exclude_brief(vantages: Iterable[VantagePresence], now_us: int) -> Iterator[VantagePresence]:
    """Leave out brief silences, because sessions that break and return are no outage."""
    for vantage in vantages:
        if not vantage.is_silent or now_us - vantage.lost_us >= LASTING_US:
            yield vantage
