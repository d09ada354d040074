"""Openings of an outage: what came back, less what another outage keeps dark.

Theory of operation. In a cut vantages come back by chance, one now and then (`back_chance`). More
returns within `back_window_s` than that explains (`back_alpha`), in all of it or in one network or
region, or two fifths of the outage however slowly they came, may be an opening. It is one if they
last for `back_hold_s`: then the cells of which a fifth is back are named. Stragglers belong to the
opening before, and what comes back slowly after others is one only if it tells more than they did.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import NamedTuple

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.brackets import bracket_return, reach_into_gaps
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import (
    count_live,
    select_established,
    sum_silent,
)
from heliograph_collector.detect.stats.localization import attach_persons, localize, narrow_cells
from heliograph_collector.detect.stats.tails import upper_tail
from heliograph_collector.detect.stats.voting import (
    VoteCount,
    VotesByPlace,
    count_total,
    count_votes,
    is_established,
    sum_votes,
)
from heliograph_collector.incidents.incident import Bracket, PhaseChange, PhaseDirection
from heliograph_collector.model.scope import AffectedCell, Scope, is_in_cells
from heliograph_collector.model.signals import VantageLocation
from heliograph_collector.model.thresholds import Thresholds

# Of the votes of an outage, that are back however slowly they came, as of those who are back by a
# blocked carrier (outage.py); and that were so for a while, so that nothing is to be waited for.
_SLOW_SHARE = 0.4  # assumed
_SLOW_PART_SHARE = 0.5  # … of a network, or of lines or phones, where …
_SLOW_PART_US = 2_700 * SECOND_US  # … all came within this time, and of the rest …
_REST_SHARE = 0.1  # … hardly any are back; assumed, both
_LASTING_SHARE = 0.34  # assumed
_SPREAD_US = 900 * SECOND_US  # in which an order is carried out, as of one step; assumed
_MORE_SHARE = 0.1  # of the votes, beyond those back in earlier openings; assumed
_STRAGGLE_US = 1_800 * SECOND_US  # in which late returns belong to an opening; assumed
# Nats that a cell must explain beside those who are away anywhere: four of five where a fifth is,
# five of five where four tenths are; six of nine where three tenths are is chance. Assumed.
_DARK_NATS = 4.0


def list_dark_cells(
    votes: VotesByPlace, min_votes: float, limits: Thresholds, turns: Sequence[PhaseChange]
) -> tuple[AffectedCell, ...]:
    """Return the cells of an outage that are still dark.

    Who went to bed in a curfew is not back at its end, and in one small cell of many these are most
    by chance. So where most have come back, a cell is dark only by more than those who are away
    everywhere explain.
    """
    away_share = sum_votes(votes).share
    is_open = bool(turns) and turns[-1].way is PhaseDirection.OPENING
    if is_open and limits.noise < away_share <= 1.0 - limits.confirm_share:
        limits = replace(limits, noise=away_share, explain=_DARK_NATS)
    return localize(votes, limits.confirm_share, min_votes, limits)


def relax_limits(cells: Sequence[AffectedCell], limits: Thresholds) -> Thresholds:
    """Return limits by which cells of two votes can be dark.

    So few explain nothing by themselves: their network's votes in other countries named them.
    """
    is_small = all(cell.votes < limits.burst for cell in cells)
    return replace(limits, explain=0.0) if is_small else limits


def raise_shares(
    cells: tuple[AffectedCell, ...], votes: VotesByPlace, started: Bracket, now_us: int
) -> tuple[AffectedCell, ...]:
    """Return an outage's cells with the share silent by now, where it grew.

    A cut is confirmed while it spreads, and quoted by the share. Of those who say goodbye meanwhile
    nobody knows more: the share is of as many votes as at first, at least.
    """
    if now_us - started.latest_us > _SPREAD_US:
        return cells
    return tuple(_raise_share(cell, votes) for cell in cells)


def _raise_share(cell: AffectedCell, votes: VotesByPlace) -> AffectedCell:
    inside = {
        place: count
        for place, count in votes.items()
        if cell.scope.includes(place) and not any(scope.includes(place) for scope in cell.beyond)
    }
    count = sum_votes(inside)
    share = count.hits / max(count.votes, cell.votes)
    is_larger = math.floor(10.0 * share) > math.floor(10.0 * cell.share)  # tenths are published
    return replace(cell, share=round(share, 3)) if is_larger else cell


def select_dark(
    cells: tuple[AffectedCell, ...], dark_cells: Sequence[AffectedCell]
) -> tuple[AffectedCell, ...]:
    """Select the cells of a suspicion that are dark; all if that is unknown.

    One that waits for what its people tell may have two operators, and the first words come from
    the second to return: the first has been back for hours, and must not be published as cut off.

    Args:
        cells: The cells that were suspected.
        dark_cells: Those that were dark at the last evaluation.
    """
    dark = [
        cell
        for cell in cells
        if any(cell.scope.intersect(other.scope) is not None for other in dark_cells)
    ]
    return tuple(dark) or cells


def _exclude_dark_cells(
    cell: AffectedCell,
    other_cells: Iterable[AffectedCell],
    presence: PresenceTracker,
    now_us: int,
) -> AffectedCell:
    """Exclude still dark cells of other outages, because they have no vote here."""
    limits = presence.limits
    excluded = set(cell.beyond)
    for other_cell in other_cells:
        scope = cell.scope.intersect(other_cell.scope)
        if scope is None or scope == cell.scope:
            continue  # the cell's own votes show its return
        voters = _voters_in(presence, scope)
        deciding, _ = select_established(voters, now_us, limits, limits.witnesses)
        silent_count = sum_silent(deciding)
        if silent_count.votes >= limits.votes and silent_count.share >= limits.confirm_share:
            excluded.add(scope)
    return replace(cell, beyond=tuple(sorted(excluded)))


def is_returning(
    phases: Sequence[PhaseChange], location: VantageLocation, now_us: int, limits: Thresholds
) -> bool:
    """Return whether a place's latest phase is an opening that explains its returns."""
    for phase in reversed(phases):
        for cell in phase.parts:
            if cell.scope.includes(location):
                is_whole_cell = cell.share >= limits.confirm_share
                is_straggler = now_us - phase.seen_us < _STRAGGLE_US
                return phase.way is PhaseDirection.OPENING and (is_whole_cell or is_straggler)
    return False


def _voters_in(presence: PresenceTracker, scope: Scope) -> list[VantagePresence]:
    return [
        s
        for s in presence.list_country(scope.country)
        if (s.is_live or s.is_silent)
        and scope.includes(s.place)
        and (scope.access == "hosting" or s.place.access != "hosting")
    ]


class Returns(NamedTuple):
    """Returns that chance does not make."""

    seen_us: int
    first_us: int
    dated_us: int  # the first of those that date them: some may be in an earlier opening …
    earlier: tuple[PhaseChange, ...] = ()  # … by these openings, to which these must add


def find_returns(
    vantages: Sequence[VantagePresence],
    turns: Sequence[PhaseChange],
    started: Bracket,
    now_us: int,
    limits: Thresholds,
) -> Returns | None:
    """Find more returns than chance makes, or many slow ones; None without either."""
    returned = _list_returned(vantages, turns, started, now_us, limits)
    if not _exceed_chance(vantages, returned, limits.back_alpha, limits):
        returned = _select_back_parts(vantages, returned, limits)
    if returned:
        first_us = min(s.back_us for s in returned)
        return Returns(now_us, first_us, first_us)
    times = turns, started, now_us, limits
    return _find_slow(vantages, *times) or _find_slow_parts(vantages, *times)


def _exceed_chance(
    vantages: Sequence[VantagePresence],
    returned: Sequence[VantagePresence],
    alpha: float,
    limits: Thresholds,
) -> bool:
    """Return whether more of some vantages returned than do by chance."""
    if len(returned) < limits.burst:
        return False
    count = _count_returned(vantages, returned, limits)
    chances = [limits.back_chance] * round(count.votes)
    return count.hits >= limits.burst and upper_tail(chances, round(count.hits)) <= alpha


def _select_back_parts(
    vantages: Sequence[VantagePresence], returned: Sequence[VantagePresence], limits: Thresholds
) -> list[VantagePresence]:
    """Select those returned in the networks and regions in which that is no chance.

    An order is lifted by operator or by region, and a small one is lost among the returns that
    chance makes in a country. As many tests as there are parts share the tail probability.
    """
    if len(returned) < limits.burst:
        return []  # as nearly always
    selected: set[str] = set()
    for read_part in (attrgetter("place.asn"), attrgetter("place.region")):
        members = _group_by(read_part, vantages)
        alpha = limits.back_alpha / (2 * len(members))
        for part, back in _group_by(read_part, returned).items():
            if _exceed_chance(members[part], back, alpha, limits):
                selected.update(v.witness.nym for v in back)
    return [v for v in returned if v.witness.nym in selected]


def _group_by(
    read_part: Callable[[VantagePresence], int | str], vantages: Iterable[VantagePresence]
) -> dict[int | str, list[VantagePresence]]:
    groups: defaultdict[int | str, list[VantagePresence]] = defaultdict(list)
    for vantage in vantages:
        groups[read_part(vantage)].append(vantage)
    return groups


def _find_slow(
    vantages: Sequence[VantagePresence],
    turns: Sequence[PhaseChange],
    started: Bracket,
    now_us: int,
    limits: Thresholds,
    share: float = _SLOW_SHARE,
) -> Returns | None:
    """Find returns that come one by one; None until enough vantages are back.

    Earlier openings since the cut must have reported less: operators that came back in turn, or a
    part of each. An opening that reported enough by itself is not repeated.
    """
    cuts = [index for index, turn in enumerate(turns) if turn.way is PhaseDirection.CUT]
    earlier = turns[cuts[-1] + 1 :] if cuts else turns
    since_us = turns[cuts[-1]].when.latest_us if cuts else started.latest_us
    returned = [s for s in vantages if s.is_live and s.back_us >= since_us]
    count = _count_returned(vantages, returned, limits)
    enough = share * count.votes
    covered_votes = _count_covered(vantages, earlier, limits) + (
        _MORE_SHARE * count.votes if earlier else 0.0
    )
    is_covered = any(_count_covered(vantages, (turn,), limits) >= enough for turn in earlier)
    if is_covered or count.hits < max(limits.burst, enough, covered_votes):
        return None
    lately = [s for s in returned if s.back_us >= now_us - _STRAGGLE_US] if earlier else returned
    if earlier and _count_returned(vantages, lately, limits).hits < _MORE_SHARE * count.votes:
        return None  # since the last opening some are back by themselves
    held_us = now_us - int(limits.back_hold_s * SECOND_US)
    lasting = [s for s in returned if s.back_us <= held_us]
    has_lasted = _count_returned(vantages, lasting, limits).share >= _LASTING_SHARE
    seen_us = held_us if has_lasted else now_us
    first_us = min(s.back_us for s in returned)
    return Returns(seen_us, first_us, _date_returns(lately, earlier), tuple(earlier))


def _find_slow_parts(
    vantages: Sequence[VantagePresence],
    turns: Sequence[PhaseChange],
    started: Bracket,
    now_us: int,
    limits: Thresholds,
) -> Returns | None:
    """Find returns one by one of half a network, or of half the lines or phones, alone.

    Returns that follow an opening need two fifths of all.
    """
    if turns and turns[-1].way is PhaseDirection.OPENING:
        return None
    since_us = turns[-1].when.latest_us if turns else started.latest_us
    since_us = max(since_us, now_us - _SLOW_PART_US)
    returned = [v for v in vantages if v.is_live and v.back_us >= since_us]
    if len(returned) < limits.votes:
        return None  # as nearly always
    for read_part in (attrgetter("place.asn"), attrgetter("place.access")):
        members = _group_by(read_part, vantages)
        for part, back in _group_by(read_part, returned).items():
            others = len(returned) - len(back)
            are_alone = others <= _REST_SHARE * (len(vantages) - len(members[part]))
            count = _count_returned(members[part], back, limits)
            if are_alone and count.hits >= limits.votes and count.share >= _SLOW_PART_SHARE:
                return _find_slow(members[part], turns, started, now_us, limits, _SLOW_PART_SHARE)
    return None


def _date_returns(lately: Sequence[VantagePresence], earlier: Sequence[PhaseChange]) -> int:
    """Return the first return time of vantages that no opening covered."""
    cells = [part for turn in earlier for part in turn.parts]
    uncovered = [s for s in lately if not is_in_cells(s.place, cells)]
    covered_us = max((turn.when.latest_us for turn in earlier), default=0)
    later = uncovered or [s for s in lately if s.back_us > covered_us] or lately
    return min(s.back_us for s in later)


def _count_covered(
    vantages: Iterable[VantagePresence], earlier: Sequence[PhaseChange], limits: Thresholds
) -> float:
    """Count the votes that openings reported as back, by each cell's reported share."""
    if not earlier:
        return 0.0
    votes = count_votes([(s.witness, True) for s in vantages], limits.nat_votes)
    cells = [part for turn in earlier for part in turn.parts]
    return sum(
        count.votes * max((c.share for c in cells if c.scope.includes(place)), default=0.0)
        for place, count in votes.items()
    )


def _count_returned(
    vantages: Iterable[VantagePresence], returned: Iterable[VantagePresence], limits: Thresholds
) -> VoteCount:
    """Count the votes of those that are back, among them and the silent.

    Phones behind one NAT have as many votes as when they fell silent.
    """
    pairs = [(s.witness, True) for s in returned]
    pairs += [(s.witness, False) for s in vantages if s.is_silent]
    return count_total(pairs, limits.nat_votes)


def find_opening(
    presence: PresenceTracker,
    vantages: Collection[VantagePresence],
    returns: Returns,
    now_us: int,
    dark_cells: Sequence[AffectedCell],
) -> PhaseChange | None:
    """Find the cells of which a part is back since a time; None if there are none.

    Args:
        dark_cells: Cells of other outages, which are left out where they are still dark.
    """
    limits = presence.limits
    members = [s for s in vantages if s.is_silent or s.back_us >= returns.first_us]
    deciding, _ = select_established(members, now_us, limits, limits.witnesses)
    votes = count_live(deciding)
    cells = localize(votes, limits.back_share, limits.witnesses, limits)
    if not cells:
        return None
    established = [s for s in members if is_established(s.witness, now_us, limits)]
    cells = attach_persons(narrow_cells(cells, votes), count_live(established, nat_votes=1))
    back_us = [s.back_us for s in members if s.is_live and s.back_us >= returns.dated_us]
    returned = bracket_return(back_us, limits)
    bracket = reach_into_gaps(returned, presence.gaps, cells[0].scope.country)
    open_cells = (_exclude_dark_cells(cell, dark_cells, presence, now_us) for cell in cells)
    phase = PhaseChange(PhaseDirection.OPENING, tuple(open_cells), bracket, now_us)
    return phase if _adds_returns(members, returns.earlier, phase, limits) else None


def _adds_returns(
    vantages: Collection[VantagePresence],
    earlier: Sequence[PhaseChange],
    phase: PhaseChange,
    limits: Thresholds,
) -> bool:
    """Return whether a phase shows more returns than earlier openings had."""
    votes = count_total([(s.witness, True) for s in vantages], limits.nat_votes).votes
    more = _count_covered(vantages, (*earlier, phase), limits) - _count_covered(
        vantages, earlier, limits
    )
    return not earlier or more >= _MORE_SHARE * votes


def _list_returned(
    vantages: Iterable[VantagePresence],
    turns: Sequence[PhaseChange],
    started: Bracket,
    now_us: int,
    limits: Thresholds,
) -> list[VantagePresence]:
    """List the vantages that came back lately, and not late in an earlier opening."""
    since_us = max(now_us - int(limits.back_window_s * SECOND_US), started.latest_us)
    returned = [s for s in vantages if s.is_live and s.back_us >= since_us]
    return [s for s in returned if not is_returning(turns, s.place, now_us, limits)]
