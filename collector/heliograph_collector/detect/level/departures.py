"""Decide whether a slow fall is people leaving or removing the app from phones.

Theory of operation. The slowest cuts known have taken nine tenths after four hours (Iran 2019 and
2026). An app that a store withdraws, or that people are asked to remove, goes from phones over a
day, while lines live on. Nothing that phones say tells the two apart: they say nothing. So phones
alone, most of which never went within that time, confirm nothing. Where people of all kinds leave
one by one, as after arrests, not even two fifths of a day's losses come within four hours.

Lines of homes are switched off for the night, within hours and, of a few dozen, all of them. Before
nights are known, lines that go so while phones stay are asleep.

Where they leave faster, as before a holiday, some shut their machines down, and these say goodbye.
In a cut nobody can: of those who go by day hardly any say so. In the evening many do each day.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from heliograph.units import DAY_US, HOUR_US, MINUTE_US
from heliograph_collector.detect.level.local_time import is_busy_hour, is_waking_hour
from heliograph_collector.detect.silence.vantage_presence import PresenceStatus, VantagePresence
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.detect.stats.tails import measure_spread
from heliograph_collector.detect.stats.voting import is_established
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.thresholds import THRESHOLDS

_BEDTIME_US = 30 * MINUTE_US  # in which the middle three fifths go to bed, at least; assumed
_SLOWEST_US = 4 * HOUR_US  # in which a cut has taken nine tenths
_MOST = 0.7  # of a day's losses within that time are no removal; assumed
_SPREAD = 0.4  # … and fewer than these are one by one; of even losses it is a sixth; assumed
_LEFT_SHARE = 0.2  # of those going by day say goodbye where people leave; assumed …
_PART_SHARE = 0.1  # … and of a part of a country of which so many do; assumed


def may_be_removal(scope: Scope, fallen: Sequence[VantagePresence], lasts_us: int) -> bool:
    """Return whether a cell's silent phones may be removals of the app.

    Some vantages of a slow fall were gone when it was first seen, so the whole day counts. What has
    fallen for longer than that has lost its first ones from sight.
    """
    silent = [vantage for vantage in fallen if vantage.is_silent]
    is_phones = all(vantage.witness.place.access == "mobile" for vantage in silent)
    if scope.is_national or not silent or not is_phones:
        return False
    if lasts_us > DAY_US:
        return True
    return _count_most(silent) < _MOST * len(silent)


def may_be_departures(
    fallen: Sequence[VantagePresence], of_a_day: Sequence[VantagePresence]
) -> bool:
    """Return whether people may have left one by one, of whatever kind of access.

    Args:
        fallen: Those that fell silent since a fall began.
        of_a_day: Those of its cell that fell silent in the last day. Where they are fewer than half
            of the others, the fall was before, and says nothing of how it came.
    """
    silent = [vantage for vantage in of_a_day if vantage.is_silent]
    is_seen = 2 * len(silent) >= sum(vantage.is_silent for vantage in fallen)
    return bool(silent) and is_seen and _count_most(silent) < _SPREAD * len(silent)


def are_phones_up(at_home: Sequence[VantagePresence]) -> bool:
    """Return whether most phones of a country are here, as lines of homes are switched off.

    In a fade they go with the lines.
    """
    phones = sum_silent([v for v in at_home if v.place.access == "mobile"])
    return phones.votes >= THRESHOLDS.witnesses and phones.share < THRESHOLDS.confirm_share


def are_lines_switched_off(scope: Scope, fallen: Sequence[VantagePresence], now_us: int) -> bool:
    """Return whether a part's lines alone went one by one, as for a night.

    In the first nights it is not known how many are. An order takes them at once, or phones too.
    """
    if scope.is_national or is_waking_hour(scope.country, now_us):
        return False
    silent = [vantage for vantage in fallen if vantage.is_silent]
    are_lines = all(vantage.place.access == "fixed" for vantage in fallen)
    by_day = sum(is_busy_hour(scope.country, vantage.lost_us) for vantage in silent)
    if not are_lines or by_day >= THRESHOLDS.confirm_share * len(silent):
        return False
    return measure_spread([vantage.lost_us for vantage in silent], 0.2) > _BEDTIME_US


def have_said_goodbye(
    members: Iterable[VantagePresence],
    silent: Sequence[VantagePresence],
    since_us: int,
    *,
    is_part: bool = False,
) -> bool:
    """Return whether many that left by day since a time said goodbye.

    Args:
        members: All vantages of a cell, also those that are away.
        silent: Those of them that fell silent.
        since_us: When the cell began to fall.
        is_part: Enough of its country said so; of a part one does for chance.
    """
    by_day = sum(_is_day(v, v.heard_us) for v in silent)
    left = sum(_has_left(v, since_us) for v in members)
    is_most = 2 * by_day >= len(silent)
    least, share = (1, _PART_SHARE) if is_part else (THRESHOLDS.burst, _LEFT_SHARE)
    return is_most and left >= max(least, share * (left + by_day))


def _has_left(vantage: VantagePresence, since_us: int) -> bool:
    has_left = vantage.status is PresenceStatus.AWAY and vantage.left_us >= since_us
    is_known = has_left and is_established(vantage.witness, since_us, THRESHOLDS)
    return is_known and _is_day(vantage, vantage.left_us)


def _is_day(vantage: VantagePresence, at_us: int) -> bool:
    country = vantage.place.country
    return is_busy_hour(country, at_us) or is_waking_hour(country, at_us)


def _count_most(silent: Sequence[VantagePresence]) -> int:
    """Return how many went within the time that the slowest cut takes, at most."""
    lost_us = sorted(vantage.lost_us for vantage in silent)
    return max(
        bisect_left(lost_us, since_us + _SLOWEST_US) - number
        for number, since_us in enumerate(lost_us)
    )
