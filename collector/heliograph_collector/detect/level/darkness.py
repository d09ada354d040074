"""Decide whether a cell is so dark for so long that no habit explains it."""

from collections.abc import Iterable, Iterator, Sequence

from heliograph.units import MINUTE_US
from heliograph_collector.detect.level.batteries import have_lines_gone_first
from heliograph_collector.detect.level.local_time import is_busy_hour, is_waking_hour
from heliograph_collector.detect.silence.steadiness import (
    FLAP_US,
    count_steady,
    have_returns_ceased,
    is_unsteady,
)
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.detect.stats.tails import upper_tail
from heliograph_collector.detect.stats.voting import VoteCount, count_votes, sum_votes
from heliograph_collector.model.thresholds import THRESHOLDS

LASTING_US = 10 * MINUTE_US  # of a silence; assumed
# Before the habit is learned, more votes than chance makes of those that a habit silences at most:
ALONE_CHANCE = 1e-3  # assumed
CUT_HOUR_CHANCE = 0.05  # … where cuts were confirmed at this time of earlier days; assumed
ALONE_SHARE = 0.8  # at night; in the evenings that an outside audit played 75 % did; assumed …
_FIRST_NIGHT_CHANCE = 0.01  # … in the first night of a country, of which it has one; assumed
LINES_SHARE = 0.9  # … and of fixed lines: nearly all phones may sleep; assumed
CLOSED_SHARE = 0.6  # by day, of fixed lines: of offices on a free day; assumed
AWAY_SHARE = 0.1  # by day, of all others; assumed


def is_cut_off(
    fallen: Sequence[VantagePresence],
    now_us: int,
    *,
    counted: Sequence[VantagePresence],
    is_learned: bool,
    is_cut_hour: bool,
    most_away: float | None,
) -> bool:
    """Return whether so many stay silent that no habit explains it.

    Args:
        fallen: Established vantages of one country that are here, or fell silent in the fall.
        counted: Those, and others that fell silent before it: a night takes people of both.
        is_learned: The usual share at this time of day is known, and the cell fell below it.
        is_cut_hour: It was cut off at this time of earlier days.
        most_away: The largest share that is away by habit, as far as one day shows; None: unknown.
    """
    lasting = list(exclude_brief(fallen, now_us))
    votes = sum_silent(lasting)
    if votes.votes < THRESHOLDS.votes or votes.share < THRESHOLDS.confirm_share:
        return False
    chance = CUT_HOUR_CHANCE if is_cut_hour else ALONE_CHANCE
    is_dark = is_learned or exceeds_habit(
        lasting, now_us, chance, most_away, list(exclude_brief(counted, now_us))
    )
    return is_dark and not _is_flapping(fallen, now_us)


def exceeds_habit(
    lasting: Sequence[VantagePresence],
    now_us: int,
    chance: float,
    most_away: float | None = None,
    counted: Sequence[VantagePresence] = (),
) -> bool:
    """Return whether no habit that is not learned yet explains so many silences.

    People who switched off in the evening are back by day, so a silence that lasts until then is
    tested again, as one that begins then.
    """
    country = lasting[0].place.country
    busy = sum_votes(
        count_votes((v.witness, v.is_silent and is_busy_hour(country, v.lost_us)) for v in lasting)
    )
    if busy.share >= THRESHOLDS.confirm_share and exceeds_usual([(busy, AWAY_SHARE)], chance):
        return True
    at_all = sum_silent(counted or lasting)
    lines = sum_silent([v for v in lasting if v.place.access == "fixed"])
    others = sum_silent([v for v in lasting if v.place.access != "fixed"])
    is_mixed = others.votes >= THRESHOLDS.witnesses  # lines alone may be offices, or lack power
    is_awake = (
        is_mixed
        and is_waking_hour(country, now_us)
        and not have_lines_gone_first([v for v in lasting if v.is_silent])
    )
    if is_awake and exceeds_usual([(lines, CLOSED_SHARE), (others, AWAY_SHARE)], chance):
        return True
    if most_away is not None and most_away < ALONE_SHARE:
        return exceeds_usual([(at_all, most_away)], chance)
    if is_awake:
        return False
    if lines.votes < THRESHOLDS.votes or lines.share < LINES_SHARE:
        return False
    return exceeds_usual([(at_all, ALONE_SHARE)], max(chance, _FIRST_NIGHT_CHANCE))


def exceeds_usual(groups: Sequence[tuple[VoteCount, float]], chance: float) -> bool:
    """Return whether chance does not explain the hits, given each group's usual share."""
    chances = [share for votes, share in groups for _ in range(round(votes.votes))]
    return upper_tail(chances, round(sum(votes.hits for votes, _ in groups))) <= chance


def _is_flapping(fallen: Sequence[VantagePresence], now_us: int) -> bool:
    """Return whether sessions break and come back, and too few stay silent for long."""
    if have_returns_ceased(fallen, now_us - LASTING_US, now_us):
        return False
    is_short = count_steady(fallen, now_us).share < THRESHOLDS.confirm_share
    return is_short and is_unsteady(fallen, now_us - FLAP_US, fallen)


def exclude_brief(vantages: Iterable[VantagePresence], now_us: int) -> Iterator[VantagePresence]:
    """Leave out brief silences, because sessions that break and return are no outage."""
    for vantage in vantages:
        if not vantage.is_silent or now_us - vantage.lost_us >= LASTING_US:
            yield vantage
