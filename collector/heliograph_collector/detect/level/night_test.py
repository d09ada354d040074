"""Decide from a cell's earlier nights whether the silent may be asleep.

Theory of operation. By day few switch off, so the burst channel and the darkness of a fall decide.
At other hours a burst that may become a national outage, and a fall, are nights while chance
makes such nights once a year (nights.py): they stay suspected until people who sleep are back by
habit, or tell what they measured. Five people do not go to bed within a minute.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

from heliograph.units import HOUR_US, MINUTE_US, SECOND_US
from heliograph_collector.detect.level.cell_counts import (
    ABSENT_US,
    DARK_SHARE,
    FALLEN_SHARE,
    LEARNED_DAYS,
    CellCount,
    CellTest,
    Sample,
    count_absent,
)
from heliograph_collector.detect.level.cell_level import CellLevel
from heliograph_collector.detect.level.darkness import (
    ALONE_SHARE,
    CUT_HOUR_CHANCE,
    exceeds_usual,
    exclude_brief,
)
from heliograph_collector.detect.level.local_time import is_busy_hour, is_waking_hour
from heliograph_collector.detect.level.nights import NIGHT_CHANCE, RARE_CHANCE, compute_chance
from heliograph_collector.detect.level.part_contrast import list_gone_alone
from heliograph_collector.detect.silence.cell_members import build_part
from heliograph_collector.detect.silence.evasion import have_moved
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.slow_parts import SUDDEN_US
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.detect.stats.ranks import MEMBERS
from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.model.scope import Scope

# Assumed, all of them:
_AT_ONCE_US = 60 * SECOND_US  # in which four fifths of a cut fall, in nights as dark as some are
_CURFEW_US = 15 * MINUTE_US  # … at or beside cuts; people go to bed over an hour or two
_BEFORE_US = 300 * SECOND_US  # a burst's first: the last of many who go in it may seem at once
_MOST = 0.8
_UP_US = 4 * HOUR_US  # since a long absence; the alarms of a night take less
_NOBODY_SHARE = 0.9  # of a country; on a holiday those stay who are on day and night


def is_habit_known(cell: CellLevel, test: CellTest, sample: Sample, since_us: int) -> bool:
    """Return whether what people do at this time is known, and is none of this."""
    if test.have_stayers_gone:
        return True
    is_known = is_small(test, sample) or test.is_learned or cell.had_quiet_day(since_us)
    return is_known and not may_be_night(cell, test, sample, since_us)


def may_be_night(cell: CellLevel, test: CellTest, sample: Sample, since_us: int) -> bool:
    """Return whether nights as dark as a fall come more often than once a year.

    Vantages that were away before the fall count as away. In a larger cell the darkest night is a
    measure by itself (cell_counts.py).
    """
    if not is_small(test, sample):
        return False
    nights = list_cell_nights(cell, test.scope.country, since_us, sample.now_us)
    known = sample.select_fallen(test.scope, sample.now_us - ABSENT_US)
    votes = sum_silent(exclude_brief(known, sample.now_us))
    chance = compute_chance(nights, round(votes.hits), round(votes.votes))
    return chance > (CUT_HOUR_CHANCE if test.usual.is_cut_hour else NIGHT_CHANCE)


def find_fall_beginning(test: CellTest, well_us: int) -> int | None:
    """Return since when silences belong to a fall; None if too few fell.

    It is since the cell was last well. But where a country is cut at night it is as dark as usual,
    until the morning. If hardly anybody is back by day, the fall began in the evening, or later.

    Args:
        test: The counts of a cell that has fallen.
        well_us: When it was last well.
    """
    absent_us = test.sample.now_us - ABSENT_US
    if _is_nobody_back(test):
        absent = test.sample.select_fallen(test.scope, absent_us)
        lost_us = [vantage.lost_us for vantage in absent if vantage.is_silent]
        if 2 * sum(at_us >= well_us for at_us in lost_us) < len(lost_us):
            well_us = min(lost_us)
    # Of few that went one by one some were silent already when the country was last well.
    is_small = test.is_whole and test.size < test.sample.limits.few
    fallen = test.sample.select_fallen(test.scope, absent_us if is_small else well_us)
    part = build_part(test.scope, fallen)
    is_narrow = test.scope.is_national and part.networks < test.sample.limits.networks
    is_few = part.votes * part.share < test.sample.limits.burst
    return None if is_few or is_narrow else well_us


def _is_nobody_back(test: CellTest) -> bool:
    """Return whether a country is away by day; by noon, if its habit is not known yet."""
    country, now_us = test.scope.country, test.sample.now_us
    is_day = test.is_learned and is_busy_hour(country, now_us)
    is_day |= test.usual.days > 0 and is_waking_hour(country, now_us)
    return is_day and test.is_whole and test.silent >= _NOBODY_SHARE * test.size


def is_rare(nights: Sequence[float], count: CellCount) -> bool:
    """Return whether so many are absent that such a night is rarer than RARE_CHANCE."""
    return bool(nights) and compute_chance(nights, count.silent, count.size) <= RARE_CHANCE


def is_small(test: CellTest, sample: Sample) -> bool:
    """Return whether single people make the share of a cell."""
    return test.size < 2 * sample.limits.few


def list_cell_nights(cell: CellLevel, country: str, before_us: int, now_us: int) -> list[float]:
    """List the absent shares of a cell's earlier nights; by day, of earlier days."""
    is_day = is_busy_hour(country, now_us) or is_waking_hour(country, now_us)
    return cell.list_nights(before_us, is_day=is_day)


def may_be_habit(
    cells: Mapping[Scope, CellLevel],
    presence: PresenceTracker,
    country: str,
    burst_us: int,
    now_us: int,
    *,
    from_us: int,
    is_beside_cut: bool,
) -> bool:
    """Return whether people who switch off may explain a burst in a country.

    They may in a country that is often dark at this hour, until it is darker than ever; before
    that is learned, in slow bursts at hours when days end (slower ones beside a cut, or a day
    after one), and at an hour of cuts in such that leave as many as are up at night. Five who go at
    once do not sleep, nor most of one operator beside others who stay.

    Args:
        cells: The levels of all cells.
        burst_us: The first silence of the burst.
        from_us: The first silence of it, or of what it may extend.
        is_beside_cut: Part of the country is cut off for a day or longer.
    """
    if have_moved(presence, country, burst_us) or _went_at_once(presence, country, burst_us):
        return False  # people who come by another way do not sleep
    national = Scope(country)
    cell = cells.get(national)
    usual = None if cell is None else cell.usual
    if usual is not None and usual.is_cut_hour:
        fallen = presence.list_silent(country, from_us)
        is_slow = _measure_most([vantage.lost_us for vantage in fallen]) > _CURFEW_US
        silent, size = count_absent(presence, national, now_us)
        absent = VoteCount(votes=size, hits=silent)
        return is_slow and not exceeds_usual([(absent, ALONE_SHARE)], CUT_HOUR_CHANCE)
    lowest = None if usual is None else usual.earlier_lowest
    is_learned = usual is not None and usual.days >= LEARNED_DAYS
    has_part_gone = partial(_has_part_gone, cells, presence, country, burst_us, now_us)
    if lowest is not None and lowest <= DARK_SHARE:
        silent, size = count_absent(presence, national, now_us)  # the last sample was before it
        if size - silent >= FALLEN_SHARE * lowest * size:
            return not (is_learned and has_part_gone())
    if is_busy_hour(country, now_us):
        return False
    if cell is None or not is_learned:
        may_be_cut = is_beside_cut or (cell is not None and cell.was_cut_yesterday())
        slow_us = _CURFEW_US if may_be_cut else SUDDEN_US
        return presence.measure_spread(country, burst_us) > slow_us
    silent, size = count_absent(presence, national, now_us)
    nights = list_cell_nights(cell, country, burst_us, now_us)
    is_most = silent >= presence.limits.confirm_share * size
    is_night = is_most and compute_chance(nights, silent, size) > NIGHT_CHANCE
    return is_night and not has_part_gone()


def _has_part_gone(
    cells: Mapping[Scope, CellLevel],
    presence: PresenceTracker,
    country: str,
    burst_us: int,
    now_us: int,
) -> bool:
    """Return whether a part went beside others that stayed, darker than ever at this hour.

    Who came on for an alarm, and is off again, was not up.
    """
    recent = presence.list_recent(country, burst_us - HOUR_US)
    up = [v for v in recent if v.is_live or v.heard_us - v.seen_us >= _UP_US]
    for scope in list_gone_alone(country, up):
        usual = cells[scope].usual if scope in cells else None
        lowest = None if usual is None else usual.earlier_lowest
        silent, size = count_absent(presence, scope, now_us)
        if lowest is not None and size - silent < FALLEN_SHARE * lowest * size:
            return True
    return False


def _went_at_once(presence: PresenceTracker, country: str, burst_us: int) -> bool:
    """Return whether five or more went, of whom four fifths did within a minute.

    Somebody may have gone by chance shortly before. Where many did, one by one, these are only the
    last of them, five of whom may go in a minute. An order may also take one operator after
    another: then each of its networks went within a minute, and people of one do not go to bed
    together.
    """
    silent = presence.list_silent(country, burst_us - _BEFORE_US)
    if len(silent) < presence.limits.votes:
        return False
    if _measure_most([vantage.lost_us for vantage in silent]) <= _AT_ONCE_US:
        return True
    by_network: defaultdict[int, list[int]] = defaultdict(list)
    for vantage in silent:
        by_network[vantage.place.asn].append(vantage.lost_us)
    at_once = [
        times_us
        for times_us in by_network.values()
        if len(times_us) > 1 and _measure_most(times_us) <= _AT_ONCE_US
    ]
    are_several = sum(len(times_us) >= MEMBERS for times_us in at_once) > 1
    return are_several and sum(map(len, at_once)) >= _MOST * len(silent)


def _measure_most(times_us: Sequence[int]) -> int:
    """Measure the shortest time in which four fifths of these are."""
    ordered = sorted(times_us)
    latest_us = ordered[math.ceil(_MOST * len(ordered)) - 1 :]
    spans = (last - first for first, last in zip(ordered, latest_us, strict=False))
    return min(spans, default=0)
