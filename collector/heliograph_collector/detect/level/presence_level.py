"""Detect falls of the share of known vantages that are live, cell by cell.

Theory of operation. Every two minutes, in a country in which something changed, the share of the
established vantages that are live is compared with the habit of the same cell at this time of day.
Silences of the last day count as absent, goodbyes do not. A cell falls when its share is below
80 % of the usual one, below what it was on earlier days at this time, and when chance and the usual
spread do not explain so many silences (the generalized likelihood ratio of a binomial count).

- quiet → suspected: it fell, twice in a row, and `burst` votes fell silent since it was last well
  (in a country of fewer than `few` vantages: in the last day).
- suspected → confirmed: of the votes, `confirm_share` fell silent since then and stayed so for ten
  minutes, twice in a row, and no part of the cell explains them. Until three days at this time of
  day are known, or a whole day and night in which few went, people may have switched off: then
  those count who went at an hour at which few do or stay away by day, or it takes nearly all, lines
  too, or more than chance makes of a night that is known, or it takes an operator and leaves its
  neighbors (part_contrast.py). It becomes an outage, or an open outage grows to it (promotion.py).
  Where other cells of one dimension explain a country's fall (all but two data centers have fixed
  lines), these fall by themselves; a single one keeps the country's name, and is one incident.
- suspected → withdrawn: the share is usual again (fall_end.py), twice in a row, or the fall that
  has its name explains the silent, or outages do that were confirmed an hour ago.

The habit keeps the lowest share of each quarter of an hour, so that brief reconnections that are
forced every night are a habit too. Time of a confirmed cut does not enter it. What the median of
the other countries lost (a tenth or more) is expected here too, and nothing is confirmed while they
lose more (common_dip.py); when that is 40 %, the collector is at fault, and nothing is judged.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from heliograph_collector.detect.level.batteries import are_in_battery_order
from heliograph_collector.detect.level.cell_counts import (
    ABSENT_US,
    DARK_SHARE,
    LEARNED_DAYS,
    CellCount,
    CellTest,
    Sample,
    count_cells,
    find_fallen_cells,
    find_whole_cells,
    select_counted,
    select_tested,
)
from heliograph_collector.detect.level.cell_level import CellLevel
from heliograph_collector.detect.level.common_dip import (
    are_falling,
    find_kept_share,
    is_common_mode,
)
from heliograph_collector.detect.level.cuts_in_habits import (
    find_beginning,
    find_cut_step,
    has_lasted,
    is_overlapped,
)
from heliograph_collector.detect.level.darkness import is_cut_off
from heliograph_collector.detect.level.dead_link_reports import (
    find_told_part,
    have_reported_dead_links,
)
from heliograph_collector.detect.level.doubts import find_doubts
from heliograph_collector.detect.level.explained_falls import do_parts_explain
from heliograph_collector.detect.level.fall import LevelFall
from heliograph_collector.detect.level.fall_end import is_usual_again
from heliograph_collector.detect.level.habit import LevelHabit, UsualLevel
from heliograph_collector.detect.level.night_test import (
    find_fall_beginning,
    is_habit_known,
    is_rare,
    is_small,
    list_cell_nights,
    may_be_habit,
)
from heliograph_collector.detect.level.nights import STEP_US
from heliograph_collector.detect.level.part_contrast import (
    is_gone_beside_others,
    is_gone_beside_peers,
)
from heliograph_collector.detect.level.promotion import (
    ConfirmedFall,
    confirm_cuts_in_faults,
    darken_outages,
    is_power_told,
    list_power_failures,
    promote_falls,
)
from heliograph_collector.detect.level.wider_fall import Levels, are_others_cut_off
from heliograph_collector.detect.silence import small_networks
from heliograph_collector.detect.silence.cell_members import build_part
from heliograph_collector.detect.silence.daily_routine import confirm_early_falls
from heliograph_collector.detect.silence.entrance_view import have_ways_fallen
from heliograph_collector.detect.silence.failed_elsewhere import confirm_lone_outages
from heliograph_collector.detect.silence.merging import list_extensible
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.incidents.incident import Bracket, HoldReason, incident_id
from heliograph_collector.model.scope import Scope

KEPT_DAYS = 15  # assumed
# Nothing explains these suspicions: their votes were too few, and the country's may be enough.
_UNEXPLAINED = ((HoldReason.FEW,), (HoldReason.YOUNG,))
_TOLD_SAMPLES = 7  # of two minutes, in which more of the returned may tell of a cut; assumed


@dataclass(slots=True)
class PresenceLevels:
    """The levels of all cells, with their falls."""

    cells: dict[Scope, CellLevel] = field(default_factory=dict)
    past: list[LevelFall] = field(default_factory=list)  # that are over
    pending: set[str] = field(default_factory=set)  # countries of networks that fell just now

    def list_falls(self) -> Iterator[LevelFall]:
        yield from self.past
        for cell in self.cells.values():
            if cell.fall is not None and not cell.fall.is_told:
                yield cell.fall

    def forget(self, before_us: int) -> None:
        self.past = [fall for fall in self.past if (fall.closed_us or 0) >= before_us]

    def evaluate(
        self,
        presence: PresenceTracker,
        country: str,
        now_us: int,
        outages: Sequence[OutageEpisode] = (),
    ) -> list[OutageEpisode]:
        """Judge the shares of a country's cells; return new outages.

        Args:
            outages: Its open outages; those inside a fall that is confirmed grow to it.
        """
        limits = presence.limits
        explaining = [o for o in outages if o.confirmed_us or o.held not in _UNEXPLAINED]
        cuts = [outage for outage in outages if outage.confirmed_us]
        self._note_cuts(country, cuts, now_us)
        darken_outages(outages, presence, now_us)
        places = {
            place: list(select_counted(members.values(), now_us, limits))
            for place, members in presence.places[country].items()
        }
        counts = count_cells(places, explaining, now_us)
        whole_cells = find_whole_cells(places, limits)
        totals = select_tested(counts, whole_cells, limits)
        others = self._list_other_countries(country)
        is_common = is_common_mode(others)
        have_fallen = have_ways_fallen(presence, country, now_us - ABSENT_US, now_us)
        if not have_fallen:
            confirm_cuts_in_faults(outages, presence, now_us)
            confirm_lone_outages(outages, presence, now_us)
            confirm_early_falls(outages, presence, now_us)
        kept = find_kept_share(others)
        sample = Sample(
            presence,
            places,
            explaining,
            limits,
            now_us,
            cells=len(totals),
            whole_cells=whole_cells,
            have_ways_fallen=have_fallen,
            kept=kept,
            is_world_falling=kept < 1.0 and are_falling(others),
        )
        confirmed: list[ConfirmedFall] = []
        for scope, count in sorted(totals.items(), key=_width_key):
            cell = self._find_cell(scope, now_us)
            share = round(1.0 - count.silent / count.size, 3)
            cell.sample(share, now_us // STEP_US, find_cut_step(scope, cuts, now_us))
            usual = cell.usual
            if usual is None or (usual.is_assumed and scope not in whole_cells):
                continue
            if not is_common:
                test = _build_test(cell, usual.scale(kept), scope, count, sample)
                fall = self._judge(cell, test, sample)
                confirmed += [fall] if fall is not None else []
        falls = small_networks.list_falls(presence, country, now_us)
        small = [] if have_fallen else small_networks.find_dead(falls, presence, outages, now_us)
        self.pending = self.pending - {country} | small_networks.find_pending(falls, now_us)
        return [*promote_falls(confirmed, outages, presence, now_us), *small]

    def may_be_habit(
        self,
        presence: PresenceTracker,
        country: str,
        burst_us: int,
        now_us: int,
        outages: Sequence[OutageEpisode],
    ) -> bool:
        """Return whether people switching off may explain a burst (night_test.py).

        If they may, this channel decides instead of the burst channel.

        Args:
            outages: The country's open ones.
        """
        cuts = [outage for outage in outages if outage.confirmed_us and not outage.is_block]
        if not all(has_lasted(cut, now_us) for cut in cuts):
            return False  # a cut grows
        recent = list_extensible(outages, now_us, presence.limits)
        from_us = min([burst_us, *(outage.from_us for outage in recent)])
        where = presence, country, burst_us, now_us
        return may_be_habit(self.cells, *where, from_us=from_us, is_beside_cut=bool(cuts))

    def is_falling(self, country: str) -> bool:
        """Return whether any cell of a country is falling, or is dark already.

        So has a dark cell of which nothing is usual yet. One that is low falls by lasting, and
        where most of a country sleep they may not be back in the morning.
        """
        return country in self.pending or any(
            cell.fall is not None
            or cell.dark_samples > 0
            or cell.is_low
            or (cell.share < DARK_SHARE and (cell.usual is None or scope.is_national))
            for scope, cell in self.cells.items()
            if scope.country == country
        )

    def _note_cuts(self, country: str, cuts: Sequence[OutageEpisode], now_us: int) -> None:
        """Record the cells of cuts; date a cut found during a fall to the fall's start."""
        parts = [part.scope for outage in cuts for part in outage.parts]
        for scope, cell in self.cells.items():
            if scope.country != country:
                continue
            cut_step = find_cut_step(scope, cuts, now_us)
            cell.note_cut(cut_step, now_us, is_here=is_overlapped(scope, parts))
            for cut in cuts:
                if any(scope.is_within(part.scope) for part in cut.parts):
                    cut.from_us = min(cut.from_us, find_beginning(cell, cut))

    def _find_cell(self, scope: Scope, now_us: int) -> CellLevel:
        cell = self.cells.get(scope)
        if cell is None:
            habit = LevelHabit(STEP_US, keep_days=KEPT_DAYS)
            cell = self.cells[scope] = CellLevel(habit, now_us // STEP_US, now_us)
        return cell

    def _list_other_countries(self, country: str) -> list[CellLevel]:
        return [
            cell
            for scope, cell in self.cells.items()
            if scope.is_national and scope.country != country
        ]

    def _is_part(self, cell: CellLevel, scope: Scope, sample: Sample) -> bool:
        """Return whether the whole country falls, of which the cell is a part.

        What explains the country's fall falls by itself, and so does what is gone beside it.
        """
        country = self.cells.get(Scope(scope.country))
        fall = None if country is None else country.fall
        is_named = scope.is_national or fall is None or scope in fall.narrower
        return not is_named and not is_gone_beside_others(scope, sample, cell.well_us)

    def _narrow_country(self, fall: LevelFall | None) -> LevelFall | None:
        """Give the country's incident to a part whose fall explains the country's."""
        country = self.cells.get(Scope(fall.scope.country)) if fall else None
        wider = country.fall if country else None
        if fall is None or wider is None or wider.narrower != (fall.scope,):
            return fall
        narrowed = replace(fall, id=wider.id, suspected_us=wider.suspected_us)
        wider.id = fall.id
        wider.is_told = True
        return narrowed

    def _judge(self, cell: CellLevel, test: CellTest, sample: Sample) -> ConfirmedFall | None:
        if test.is_explained:
            cell.well_us = sample.now_us
        fall = cell.fall
        if fall is None:
            cell.is_low = not test.is_usual
            cell.dark_samples = cell.dark_samples + 1 if test.has_fallen() else 0
            if cell.dark_samples >= 2 and not self._is_part(cell, test.scope, sample):
                cell.fall = self._narrow_country(_open_fall(cell, test, sample))
                cell.dark_samples = cell.well_samples = 0
        elif is_usual_again(fall, test, sample) or do_parts_explain(fall, sample):
            return self._end_fall(cell, fall, test, sample)
        else:
            cell.well_samples = 0
            return _update_fall(cell, fall, test, sample, self.cells)
        return None

    def _end_fall(
        self, cell: CellLevel, fall: LevelFall, test: CellTest, sample: Sample
    ) -> ConfirmedFall | None:
        """Store a fall that is over; return it for a whole country whose people report a cut.

        It waits for a quarter of an hour where some do, and too few to decide.
        """
        since_us = fall.started.earliest_us
        is_asked = test.is_whole and not fall.is_told
        fallen = sample.select_fallen(fall.scope, since_us) if is_asked else []
        is_cut = have_reported_dead_links(fallen, fall.part.share, since_us)
        if is_cut is None and cell.well_samples < _TOLD_SAMPLES:
            cell.well_samples += 1
            return None
        over = cell.end_fall(sample.now_us, is_near_habit=test.is_near_habit or fall.is_told)
        if over is None or over.is_told:
            return None
        if not is_cut:
            self.past.append(over)
            return None
        over.held = ()
        return ConfirmedFall(over, find_told_part(fallen, over.part, sample.limits), fallen)


def _build_test(
    cell: CellLevel, usual: UsualLevel, scope: Scope, count: CellCount, sample: Sample
) -> CellTest:
    """Build the test of a cell's counts, with the nights before where most are silent."""
    is_dark = count.silent >= sample.limits.suspect_share * count.size
    country = scope.country
    nights = list_cell_nights(cell, country, cell.well_us, sample.now_us) if is_dark else []
    is_new = usual.days < LEARNED_DAYS
    is_asked = scope in sample.whole_cells and (is_new or count.size < 2 * sample.limits.few)
    is_unlike = is_asked and is_rare(nights, count)
    have_stayers_gone = is_unlike and sample.have_stayers_gone(scope, count, is_new=is_new)
    return CellTest(scope, count, usual, sample, nights, have_stayers_gone)


def _open_fall(cell: CellLevel, test: CellTest, sample: Sample) -> LevelFall | None:
    """Open a fall; None if too few are silent."""
    since_us = find_fall_beginning(test, cell.well_us)
    if since_us is None:
        return None
    scope = test.scope
    fallen = sample.select_fallen(scope, since_us)
    if not sample.exceeds_outages(fallen):
        return None
    part = build_part(scope, fallen)
    started = Bracket(since_us, sample.now_us)
    names = (vantage.witness.nym for vantage in fallen if vantage.is_silent)
    return LevelFall(
        scope=scope,
        started=started,
        suspected_us=sample.now_us,
        part=part,
        id=incident_id("level", "", scope, started, names),
        held=() if is_habit_known(cell, test, sample, since_us) else (HoldReason.HABIT,),
        confidence=round(min(sample.limits.low, part.share), 3),
    )


def _update_fall(
    cell: CellLevel, fall: LevelFall, test: CellTest, sample: Sample, levels: Levels
) -> ConfirmedFall | None:
    """Let a fall grow; end and return it when most have fallen silent twice in a row."""
    limits = sample.limits
    since_us = fall.started.earliest_us
    is_known = is_habit_known(cell, test, sample, since_us)
    # In a small country those that went before it was seen to fall make it no night.
    is_all = is_known and test.is_whole and is_small(test, sample)
    fallen = sample.select_fallen(test.scope, sample.now_us - ABSENT_US if is_all else since_us)
    part = build_part(test.scope, fallen)
    if part.votes * part.share > fall.part.votes * fall.part.share:
        fall.part = part
    if test.usual.is_assumed:
        return None
    most_away = None if is_small(test, sample) else cell.find_most_away(since_us, test.size)
    is_dark = test.exceeds_world and is_cut_off(
        fallen,
        sample.now_us,
        counted=fallen if is_known else sample.select_fallen(test.scope, sample.now_us - ABSENT_US),
        is_learned=is_known or is_gone_beside_peers(test.scope, sample, since_us),
        is_cut_hour=test.usual.is_cut_hour,
        most_away=most_away,
    )
    cell.dark_samples = cell.dark_samples + 1 if is_dark else 0
    if cell.dark_samples < 2 and not test.scope.is_national:
        return None
    cells = find_fallen_cells(test.scope, fallen, limits)
    fall.narrower = cells.list_narrower() if test.scope.is_national else ()
    fall.is_told = fall.is_told and bool(fall.narrower)
    if cell.dark_samples < 2 or not cells.is_whole:
        return None
    if not are_others_cut_off(fallen, levels, test, sample):
        return None  # the rest lives: the country's fall began before the cut was confirmed
    # Lines that an open outage explains show the order too; phones may follow hours later.
    failures = list_power_failures(sample.outages, fall)
    began_us = min([since_us, *(failure.from_us for failure in failures)])
    at_home = [vantage for held in sample.places.values() for vantage in held]
    fall.in_order = are_in_battery_order(at_home, fall.scope, began_us, were_in_order=fall.in_order)
    fall.held = find_doubts(fall, part, fallen, test, is_known=is_known)
    # Its people report later whether it is our fault, unless that is over for most networks.
    is_common = sample.have_ways_fallen and fall.held == (HoldReason.COMMON,)
    is_power = fall.in_order and bool(failures)
    is_power |= is_power_told(fall, fallen, limits, sample.now_us)
    if fall.held and not (is_power or is_common):
        return None
    cell.fall = None
    cell.dark_samples = 0
    return ConfirmedFall(fall, part, fallen, is_power=is_power)


def _width_key(item: tuple[Scope, CellCount]) -> tuple[int, Scope]:
    return item[0].named_fields, item[0]
