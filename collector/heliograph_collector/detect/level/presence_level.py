"""Level channel of a collector: the share of known vantages that are here, cell by cell.

Theory of operation. Every two minutes, in a country in which something changed, the share of the
established vantages that are live is compared with the habit of the same cell at this time of day.
Silences of the last day count as absent, goodbyes do not. A cell falls when its share is below
80 % of the usual one, below what it was on earlier days at this time, and when chance and the usual
spread do not explain so many silences (the generalized likelihood ratio of a Poisson count).

- quiet → suspected: it fell, twice in a row, and `burst` votes fell silent since it was last well.
- suspected → confirmed: of the votes, `confirm_share` fell silent since then and stayed so for ten
  minutes, twice in a row. Until three days at this time of day are known, people may have switched
  off: then those count who went at an hour at which few do or stay away by day, or it takes
  nearly all, lines too.
- suspected → withdrawn, confirmed → closed: the share is usual again, twice in a row.

The habit keeps the lowest share of each quarter of an hour, so that brief reconnections that are
forced every night are a habit too. Time of a confirmed cut does not enter it. When the median of
the other countries falls as well, the collector is at fault, and nothing is judged.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from heliograph.units import DAY_US, MINUTE_US
from heliograph_collector.detect.level.darkness import is_cut_off
from heliograph_collector.detect.level.fall import SAMPLE_US, LevelFall
from heliograph_collector.detect.level.habit import LevelHabit, UsualLevel
from heliograph_collector.detect.level.local_time import is_busy_hour
from heliograph_collector.detect.silence import confounders
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker, count_silent
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.localization import attach_persons, hit_networks
from heliograph_collector.detect.stats.voting import is_established, sum_votes
from heliograph_collector.incidents.incident import Bracket, incident_id
from heliograph_collector.model.line_names import count_lines
from heliograph_collector.model.scope import AffectedCell, Scope, scopes_of
from heliograph_collector.model.signals import VantageLocation
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds

# Assumed, all of them:
STEP_US = 15 * MINUTE_US  # of the habit
ABSENT_US = DAY_US  # a longer silence is a departure
POWER_SHARE = 0.2  # of the silent, whose power failed before their loss: it may be the power
HABIT = "habit"  # reason against a confirmation: people may have switched off
LEARNED_DAYS = 3
KEPT_DAYS = 15
FALLEN_SHARE = 0.8
DARK_SHARE = 0.6  # lowest share of earlier days at which switching off is this country's habit
DAY_SPREAD = 0.04  # of the share, before the habit is learned
ALARMS_PER_YEAR = 1.0  # budget of suspicions by chance, of all cells of a country
MIN_NOISE = 0.02  # least share of vantages that are silent by chance
_STEPS_A_DAY = DAY_US // STEP_US
_LOOKS_A_YEAR = 365.25 * DAY_US / STEP_US


@dataclass(slots=True)
class CellLevel:
    """The habit of one cell, and its fall while there is one."""

    habit: LevelHabit
    step: int  # number of the current step since 1970
    well_us: int  # the last sample in which chance explains all silences
    lowest: float = 1.0  # share in the current step
    share: float = 1.0  # at the last sample
    is_tainted: bool = False  # a cut was confirmed in the current step
    dark_samples: int = 0  # in a row that could confirm the fall
    well_samples: int = 0  # in a row that could end it
    fall: LevelFall | None = None
    usual: UsualLevel | None = None  # in the current step

    def sample(self, share: float, step: int, *, is_cut: bool) -> None:
        """Take a share; steps that have ended enter the habit, but those with a cut in them."""
        is_cut |= self.fall is not None and self.fall.confirmed_us is not None
        if step > self.step:
            self.habit.add(None if self.is_tainted else self.lowest)
            for _ in range(min(step - self.step - 1, self.habit.most_steps)):
                self.habit.add(None if self.is_tainted else self.share)
            self.step = step
            self.lowest = share
            self.is_tainted = False
            self.usual = _find_usual(self.habit)
        self.is_tainted |= is_cut
        self.lowest = min(self.lowest, share)
        self.share = share

    def end_fall(self, now_us: int) -> LevelFall | None:
        """Count a sample that has not fallen; return the fall if it is over."""
        self.well_samples += 1
        fall = self.fall
        if fall is None or self.well_samples < 2:
            return None
        fall.ended = Bracket(now_us - 2 * SAMPLE_US, now_us - SAMPLE_US)
        fall.closed_us = now_us
        self.fall = None
        self.well_us = now_us
        return fall


@dataclass(slots=True)
class PresenceLevels:
    """The levels of all cells, with their falls."""

    cells: dict[Scope, CellLevel] = field(default_factory=dict)
    past: list[LevelFall] = field(default_factory=list)  # that are over

    def list_falls(self) -> Iterator[LevelFall]:
        yield from self.past
        for cell in self.cells.values():
            if cell.fall is not None:
                yield cell.fall

    def forget(self, before_us: int) -> None:
        self.past = [fall for fall in self.past if (fall.closed_us or 0) >= before_us]

    def evaluate(
        self,
        presence: PresenceTracker,
        country: str,
        now_us: int,
        outages: Sequence[OutageEpisode] = (),
    ) -> None:
        """Judge the shares of a country's cells; silences in open outages are explained."""
        is_cut = any(outage.confirmed_us for outage in outages)
        limits = presence.limits
        places = {
            place: _select_unexplained(members.values(), outages, now_us, limits)
            for place, members in presence.places[country].items()
        }
        totals = {
            scope: count
            for scope, count in _count_cells(places).items()
            if count[0] >= (limits.votes if scope.is_national else limits.few)
        }
        is_common = self._is_common_mode(country)
        for scope, (known, silent) in sorted(totals.items(), key=_width_key):
            cell = self._find_cell(scope, now_us)
            cell.sample(round(1.0 - silent / known, 3), now_us // STEP_US, is_cut=is_cut)
            if is_common or cell.usual is None:
                continue
            test = _CellTest(scope, known, silent, cell.usual, len(totals))
            self._judge(cell, test, _Sample(places, limits, now_us))

    def may_be_habit(
        self, presence: PresenceTracker, country: str, now_us: int, *, is_slow: bool
    ) -> bool:
        """Return whether people who switch off may explain a burst; this channel decides then.

        They may in a country that is often dark at this hour, until it is darker than ever; before
        that is learned, in slow bursts at hours when days end.
        """
        cell = self.cells.get(Scope(country))
        usual = None if cell is None else cell.usual
        if usual is not None and usual.earlier_lowest is not None:
            lowest = usual.earlier_lowest
            share = _count_share(presence, country, now_us)  # the last sample was before the burst
            if lowest <= DARK_SHARE and share >= FALLEN_SHARE * lowest:
                return True
        is_learned = usual is not None and usual.days >= LEARNED_DAYS
        return is_slow and not is_learned and not is_busy_hour(country, now_us)

    def is_falling(self, country: str) -> bool:
        """Return whether a cell has fallen, or did at the last sample: nothing more may come.

        So has a dark cell of which nothing is usual yet.
        """
        return any(
            cell.fall is not None
            or cell.dark_samples > 0
            or (cell.usual is None and cell.share < DARK_SHARE)
            for scope, cell in self.cells.items()
            if scope.country == country
        )

    def _find_cell(self, scope: Scope, now_us: int) -> CellLevel:
        cell = self.cells.get(scope)
        if cell is None:
            habit = LevelHabit(STEP_US, keep_days=KEPT_DAYS)
            cell = self.cells[scope] = CellLevel(habit, now_us // STEP_US, now_us)
        return cell

    def _is_common_mode(self, country: str) -> bool:
        """Return whether the median of the other countries has fallen."""
        others = [
            1.0 - cell.share
            for scope, cell in self.cells.items()
            if scope.is_national and scope.country != country
        ]
        return len(others) > 1 and median(others) >= THRESHOLDS.witness_share * 2

    def _is_part(self, scope: Scope) -> bool:
        """Return whether the whole country falls, of which the cell is a part."""
        country = self.cells.get(Scope(scope.country))
        return not scope.is_national and country is not None and country.fall is not None

    def _judge(self, cell: CellLevel, test: "_CellTest", sample: "_Sample") -> None:
        if test.is_explained:
            cell.well_us = sample.now_us
        fall = cell.fall
        if fall is None:
            cell.dark_samples = cell.dark_samples + 1 if test.has_fallen() else 0
            if cell.dark_samples >= 2 and not self._is_part(test.scope):
                cell.fall = _open_fall(cell.well_us, test, sample)
                cell.dark_samples = cell.well_samples = 0
        elif test.is_usual:
            over = cell.end_fall(sample.now_us)
            self.past += [over] if over is not None else []
        else:
            cell.well_samples = 0
            _update_fall(cell, fall, test, sample)


@dataclass(frozen=True, slots=True)
class _CellTest:
    """The counts of one cell against its habit."""

    scope: Scope
    known: int
    silent: int
    usual: UsualLevel
    cells: int  # of the country that are tested

    @property
    def expected(self) -> float:
        """Return the silences that habit and spread explain."""
        return self.known * max(MIN_NOISE, 1.0 - self.usual.middle + self.usual.spread)

    @property
    def is_explained(self) -> bool:
        return self.silent <= self.expected + 1

    @property
    def is_learned(self) -> bool:
        return self.usual.days >= LEARNED_DAYS

    @property
    def is_usual(self) -> bool:
        """Return whether the share is one that the cell has by habit."""
        share = 1.0 - self.silent / self.known
        earlier = self.usual.earlier_lowest
        lowest = self.usual.middle if earlier is None else min(self.usual.middle, earlier)
        return share >= FALLEN_SHARE * lowest or self.silent <= self.expected

    def has_fallen(self) -> bool:
        """Return whether neither chance nor earlier days explain so many silences."""
        if self.is_usual:
            return False
        nats = self.silent * math.log(self.silent / self.expected) - self.silent + self.expected
        return nats >= math.log(_LOOKS_A_YEAR * self.cells / ALARMS_PER_YEAR)


@dataclass(frozen=True, slots=True)
class _Sample:
    """The vantages of one country at one time."""

    places: Mapping[VantageLocation, Sequence[VantagePresence]]
    limits: Thresholds
    now_us: int

    def select_fallen(self, scope: Scope, since_us: int) -> list[VantagePresence]:
        """Select the cell's vantages that are here or fell silent since then."""
        return [
            vantage
            for place, counted in self.places.items()
            if scope.includes(place)
            for vantage in counted
            if not _is_absent(vantage) or vantage.lost_us >= since_us
        ]


def _open_fall(since_us: int, test: _CellTest, sample: _Sample) -> LevelFall | None:
    """Open a fall; None if too few fell silent since the cell was well."""
    scope = test.scope
    limits = sample.limits
    fallen = sample.select_fallen(scope, since_us)
    part = _build_part(scope, fallen)
    is_narrow = scope.is_national and part.networks < limits.networks
    if part.votes * part.share < limits.burst or is_narrow:
        return None
    started = Bracket(since_us, sample.now_us)
    names = (vantage.witness.nym for vantage in fallen if vantage.is_silent)
    return LevelFall(
        scope=scope,
        started=started,
        suspected_us=sample.now_us,
        part=part,
        id=incident_id("level", "", scope, started, names),
        held=() if test.is_learned else (HABIT,),
        confidence=round(min(limits.low, part.share), 3),
    )


def _update_fall(cell: CellLevel, fall: LevelFall, test: _CellTest, sample: _Sample) -> None:
    """Let a fall grow, and confirm it when most have fallen silent twice in a row."""
    limits = sample.limits
    fallen = sample.select_fallen(test.scope, fall.started.earliest_us)
    part = _build_part(test.scope, fallen)
    if part.votes * part.share > fall.part.votes * fall.part.share:
        fall.part = part
    if fall.confirmed_us is not None:
        return
    is_dark = is_cut_off(fallen, sample.now_us, limits, is_learned=test.is_learned)
    cell.dark_samples = cell.dark_samples + 1 if is_dark else 0
    if cell.dark_samples < 2:
        return
    silent = [vantage for vantage in fallen if vantage.is_silent]
    failed = sum(vantage.power_failed for vantage in silent)
    if confounders.is_power_failure((part,), fallen, limits) or failed >= POWER_SHARE * len(silent):
        fall.held = (confounders.POWER,)
        return
    if confounders.find_blocked_carrier(fallen, fall.started.earliest_us, limits) is not None:
        fall.held = (confounders.CARRIER,)
        return
    fall.confirmed_us = sample.now_us
    fall.held = ()
    is_several = len(confounders.list_silent_ways(fallen, limits)) >= limits.ways
    most = limits.unwitnessed if is_several else limits.one_way
    most = most if part.votes >= limits.few else limits.low
    fall.confidence = round(min(most, part.votes * part.share / (part.votes + 1)), 3)


def _build_part(scope: Scope, fallen: Sequence[VantagePresence]) -> AffectedCell:
    """Build the affected cell of a fall; all that are counted are established."""
    votes_by_place = count_silent(fallen)
    votes = sum_votes(votes_by_place)
    networks = len(hit_networks(votes_by_place))
    lines = count_lines(vantage.witness.prefix for vantage in fallen)
    cell = AffectedCell(scope, votes.votes, round(votes.share, 3), networks, lines=lines)
    return attach_persons((cell,), count_silent(fallen, nat_votes=1))[0]


def _find_usual(habit: LevelHabit) -> UsualLevel | None:
    """Return the usual share; of a single day it is what most of it exceeded.

    The median would follow a fall of half a day.
    """
    usual = habit.find_usual()
    if usual is None or usual.days >= LEARNED_DAYS:
        return usual
    recent = sorted(value for value in habit.values[-_STEPS_A_DAY:] if value is not None)
    middle = recent[round(0.9 * (len(recent) - 1))]
    return replace(usual, middle=middle, spread=DAY_SPREAD)


def _select_counted(
    vantages: Collection[VantagePresence], now_us: int, limits: Thresholds
) -> Iterator[VantagePresence]:
    """Yield the established vantages that are here, or fell silent within a day."""
    for vantage in vantages:
        is_known = vantage.is_expected or (
            vantage.is_silent and now_us - vantage.lost_us <= ABSENT_US
        )
        if is_known and is_established(vantage.witness, now_us, limits):
            yield vantage


def _count_share(presence: PresenceTracker, country: str, now_us: int) -> float:
    """Return the share of a country's counted vantages that are here."""
    counted = list(_select_counted(presence.list_country(country), now_us, presence.limits))
    return 1.0 - sum(map(_is_absent, counted)) / max(1, len(counted))


def _is_absent(vantage: VantagePresence) -> bool:
    """Return whether a vantage is silent by itself, not by a fault of the collector."""
    return vantage.is_silent and not vantage.deferred


def _select_unexplained(
    members: Collection[VantagePresence],
    outages: Sequence[OutageEpisode],
    now_us: int,
    limits: Thresholds,
) -> list[VantagePresence]:
    """Select the counted vantages of one place; silences in open outages are explained."""
    counted = list(_select_counted(members, now_us, limits))
    if not counted or not any(outage.holds(counted[0].place) for outage in outages):
        return counted
    return [vantage for vantage in counted if not vantage.is_silent]


def _count_cells(
    places: Mapping[VantageLocation, Sequence[VantagePresence]],
) -> dict[Scope, list[int]]:
    """Count [known, silent] in the country and in its cells of one dimension."""
    totals: dict[Scope, list[int]] = {}
    for place, counted in places.items():
        silent = sum(map(_is_absent, counted))
        wide = [scope for scope in scopes_of(place) if scope.named_fields <= 1]
        for scope in wide if counted else ():
            count = totals.setdefault(scope, [0, 0])
            count[0] += len(counted)
            count[1] += silent
    return totals


def _width_key(item: tuple[Scope, list[int]]) -> tuple[int, Scope]:
    return item[0].named_fields, item[0]
