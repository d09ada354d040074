"""Count the vantages of each cell, and compare the counts with the cell's habit.

A count also shows whether chance explains the silences.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from heliograph.units import DAY_US, MINUTE_US
from heliograph_collector.detect.level.habit import UsualLevel
from heliograph_collector.detect.level.nights import DOUBT_CHANCE, STEP_US, compute_chance
from heliograph_collector.detect.level.stayers import have_stayers_gone
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_silent, sum_silent
from heliograph_collector.detect.stats.localization import localize
from heliograph_collector.detect.stats.tails import upper_tail
from heliograph_collector.detect.stats.voting import VoteCount, is_established, sum_votes
from heliograph_collector.incidents.incident import HoldReason, IncidentKind
from heliograph_collector.model.scope import AffectedCell, Scope, scopes_of
from heliograph_collector.model.signals import VantageLocation
from heliograph_collector.model.thresholds import Thresholds

# Assumed, all of them:
ABSENT_US = DAY_US  # a longer silence is a departure
LEARNED_DAYS = 3
DARK_SHARE = 0.6  # lowest share of earlier days at which switching off is a habit
_NIGHT_CHANCE = 1e-3  # of so many silences in a night as dark as the darkest
FALLEN_SHARE = 0.8
ALARMS_PER_YEAR = 1.0  # budget of suspicions by chance, of all cells of a country
SPLIT_SHARE = 0.9  # of the silent votes, in parts of which each is named
WHOLE_SHARE = 0.8  # of all votes of a cell: it is named although its parts are
MIN_NOISE = 0.02  # least share of vantages that are silent by chance
# Brief silences, which most are by chance, are over after a time; the share that lasts longer
# (all but the first for whole countries alone):
LASTING_NOISE = {30 * MINUTE_US: 0.5, 60 * MINUTE_US: 0.25, 180 * MINUTE_US: 1 / 16}
_LOOKS_A_YEAR = 365.25 * DAY_US / STEP_US

VantagesByPlace = Mapping[VantageLocation, Sequence[VantagePresence]]


@dataclass(slots=True)
class CellCount:
    """Counts of live and silent vantages of a cell, without silences in an outage."""

    size: int = 0  # vantages that are known
    silent: int = 0
    lasting: Counter[int] = field(default_factory=Counter)  # by the time for which they are silent

    def add(self, size: int, silent: int, lasting: Mapping[int, int]) -> None:
        self.size += size
        self.silent += silent
        if lasting:
            self.lasting.update(lasting)


@dataclass(frozen=True, slots=True)
class CellTest:
    """The counts of one cell against its habit."""

    scope: Scope
    count: CellCount
    usual: UsualLevel
    sample: "Sample"
    nights: Sequence[float]  # shares that were away, if most are now
    have_stayers_gone: bool  # stayers: live for a day and a night, so that no habit takes them

    @property
    def is_whole(self) -> bool:
        """Return whether all people of the country are in it."""
        return self.scope in self.sample.whole_cells

    @property
    def size(self) -> int:
        return self.count.size

    @property
    def silent(self) -> int:
        return self.count.silent

    @property
    def expected(self) -> float:
        """Return the silences that habit and spread explain."""
        return self.size * max(MIN_NOISE, 1.0 - self.usual.middle + self.usual.spread)

    @property
    def is_explained(self) -> bool:
        return self.silent <= self.expected + 1

    @property
    def is_learned(self) -> bool:
        """Return whether a habit is known.

        What people do at an hour of cuts is not, nor shortly before it: without a cut they may go
        to bed earlier than in nights for which they stayed up until it came.
        """
        return self.usual.days >= LEARNED_DAYS and not self.usual.is_before_cuts

    @property
    def exceeds_world(self) -> bool:
        """Return whether the cell fell further than all countries do."""
        return self.sample.kept == 1.0 or (self.has_fallen() and not self.sample.is_world_falling)

    @property
    def is_usual(self) -> bool:
        """Return whether the share is one that the cell has by habit."""
        return self.is_near_habit or self._may_be_night()

    @property
    def is_near_habit(self) -> bool:
        """Return whether it needs no chance to be so."""
        share = 1.0 - self.silent / self.size
        least = DARK_SHARE if self.usual.is_assumed else FALLEN_SHARE * self._lowest
        return share >= least or self.silent <= self.expected

    @property
    def _lowest(self) -> float:
        earlier = self.usual.earlier_lowest
        return self.usual.middle if earlier is None else min(self.usual.middle, earlier)

    def _may_be_night(self) -> bool:
        """Return whether chance explains as many absent as in the darkest earlier night."""
        if self._lowest > DARK_SHARE or self.have_stayers_gone:
            return False
        chance = 1.0 - self._lowest
        if self.silent <= chance * self.size:
            return True
        if self.nights and compute_chance(self.nights, self.silent, self.size) <= DOUBT_CHANCE:
            return False  # the darkest night is not how each of them is
        return upper_tail([chance] * self.size, self.silent) > _NIGHT_CHANCE

    def has_fallen(self) -> bool:
        """Return whether neither chance nor earlier days explain so many silences.

        In a country of few vantages half may go one by one, or a third: by chance so many are
        silent at one time, but not for long.
        """
        if self.is_usual:
            return False
        if self._exceeds_chance(self.silent, self.expected, _LOOKS_A_YEAR):
            return True
        return any(
            self._exceeds_chance(
                self.count.lasting[lasting_us],
                max(2 * noise * MIN_NOISE * self.size, noise * self.expected),
                365.25 * DAY_US / lasting_us,
            )
            for lasting_us, noise in LASTING_NOISE.items()
            if self.is_whole or lasting_us == min(LASTING_NOISE)
        )

    def _exceeds_chance(self, silent: int, expected: float, looks_a_year: float) -> bool:
        if silent <= expected:
            return False
        here = self.size - silent
        nats = silent * math.log(silent / expected)
        nats += here * math.log(here / (self.size - expected)) if here else 0.0
        return nats >= math.log(looks_a_year * self.sample.cells / ALARMS_PER_YEAR)


@dataclass(frozen=True, slots=True)
class Sample:
    """The vantages of one country at one time, and its confirmed outages."""

    presence: PresenceTracker
    places: VantagesByPlace
    outages: Sequence[OutageEpisode]
    limits: Thresholds
    now_us: int
    cells: int  # that are tested
    whole_cells: Collection[Scope]  # all people of the country are in each (`find_whole_cells`)
    have_ways_fallen: bool  # others lost the ways of the silent in the same minutes
    kept: float  # share of their usual levels that other countries keep
    is_world_falling: bool  # others lose still, and may be as dark soon

    def have_stayers_gone(self, scope: Scope, count: CellCount, *, is_new: bool) -> bool:
        """Return whether the stayers of a cell are gone, most of whose vantages are.

        Args:
            is_new: Its nights are not known yet. Else nearly all of the stayers must be gone.
        """
        if count.silent < self.limits.confirm_share * count.size:
            return False
        inside = [v for at, counted in self.places.items() if scope.includes(at) for v in counted]
        return have_stayers_gone(inside, self.now_us, self.limits, are_all=not is_new)

    def select_fallen(self, scope: Scope, since_us: int) -> list[VantagePresence]:
        """Select the cell's vantages that are here or fell silent since then."""
        explaining = [outage for outage in self.outages if explains(outage, scope)]
        fallen: list[VantagePresence] = []
        for place, counted in self.places.items():
            if scope.includes(place):
                holding = [outage for outage in explaining if outage.holds(place)]
                fallen += [
                    vantage
                    for vantage in counted
                    if not is_absent(vantage)
                    or (vantage.lost_us >= since_us and not _is_explained(vantage, holding))
                ]
        return fallen

    def exceeds_outages(self, fallen: Sequence[VantagePresence]) -> bool:
        """Return whether half of those outside the outages are silent too."""
        outside = [
            vantage
            for vantage in fallen
            if not _is_explained(vantage, [o for o in self.outages if o.holds(vantage.place)])
        ]
        is_beside = len(outside) < len(fallen)
        return not is_beside or sum_silent(outside).share >= self.limits.suspect_share


def select_counted(
    vantages: Iterable[VantagePresence], now_us: int, limits: Thresholds
) -> Iterator[VantagePresence]:
    """Yield the established vantages that are here, or fell silent within a day."""
    for vantage in vantages:
        is_known = vantage.is_expected or (
            vantage.is_silent and now_us - vantage.lost_us <= ABSENT_US
        )
        if is_known and is_established(vantage.witness, now_us, limits):
            yield vantage


def count_absent(presence: PresenceTracker, scope: Scope, now_us: int) -> tuple[int, int]:
    """Count the vantages of a cell that are silent, and all that are counted."""
    counted = list(select_counted(presence.list_inside(scope), now_us, presence.limits))
    return sum(map(is_absent, counted)), len(counted)


def is_absent(vantage: VantagePresence) -> bool:
    """Return whether a vantage is silent by itself, not by a fault of the collector."""
    return vantage.is_silent and not vantage.deferred


def _is_explained(vantage: VantagePresence, outages: Iterable[OutageEpisode]) -> bool:
    """Return whether one of these outages explains the vantage's silence.

    A block of a way to the collector explains only the vantages that use that way.
    """
    carrier = vantage.lost_by if vantage.is_silent else vantage.witness.carrier
    return any(outage.explains((carrier,)) for outage in outages)


def explains(outage: OutageEpisode, scope: Scope) -> bool:
    """Return whether an outage explains silences in a cell.

    Vantages silent in a cut are silent in a wider cell too, to which the cut may grow.
    """
    is_inside = all(part.scope.is_within(scope) for part in outage.parts)
    is_wider = is_inside and not any(scope.is_within(part.scope) for part in outage.parts)
    is_cut = outage.confirmed_us is not None and outage.kind is IncidentKind.SILENCE
    return not (is_cut and is_wider and HoldReason.POWER not in outage.held)


def count_cells(
    places: VantagesByPlace, outages: Sequence[OutageEpisode], now_us: int
) -> dict[Scope, CellCount]:
    """Count the country and its cells of one dimension.

    Silences that a confirmed outage explains are in no number.
    """
    totals: defaultdict[Scope, CellCount] = defaultdict(CellCount)
    for place, counted in places.items():
        absent = [vantage for vantage in counted if is_absent(vantage)]
        lasting = _count_lasting(absent, now_us)
        holding = [outage for outage in outages if outage.holds(place)]
        for scope in _list_wide(place) if counted else ():
            count = totals[scope]
            explaining = [outage for outage in holding if explains(outage, scope)]
            if not explaining:
                count.add(len(counted), len(absent), lasting)
                continue
            rest = [vantage for vantage in absent if not _is_explained(vantage, explaining)]
            size = len(counted) - len(absent) + len(rest)
            count.add(size, len(rest), _count_lasting(rest, now_us))
    return {scope: count for scope, count in totals.items() if count.size}


@lru_cache(maxsize=65_536)
def _list_wide(place: VantageLocation) -> tuple[Scope, ...]:
    """List the country of a place, and its cells of one dimension."""
    return tuple(scope for scope in scopes_of(place) if scope.named_fields <= 1)


def find_whole_cells(places: VantagesByPlace, limits: Thresholds) -> frozenset[Scope]:
    """Return the country, and a lone network or access that all its people share.

    A national fall needs two networks or more, so a country with a single network falls as that
    network; so does one of which few people have it, and nearly all. Where all people have lines
    and a data center lives, the lines fall, and not the country.
    """
    counted = {at: len(members) for at, members in places.items() if members}
    people = {at: size for at, size in counted.items() if at.access != "hosting"}
    networks = {Scope(at.country, asn=at.asn) for at in people if at.asn}
    accesses = {Scope(at.country, access=at.access) for at in people if len(people) < len(counted)}
    lone = [cells for cells in (networks, accesses) if len(cells) == 1]
    by_network = Counter[int]()
    for at, size in people.items():
        by_network[at.asn] += size
    least = WHOLE_SHARE * by_network.total()
    lone.append({n for n in networks if limits.few > by_network[n.asn] >= least})
    return frozenset({Scope(at.country) for at in counted}.union(*lone))


def select_tested(
    counts: Mapping[Scope, CellCount], whole_cells: Collection[Scope], limits: Thresholds
) -> dict[Scope, CellCount]:
    """Select cells with enough vantages; cells of the whole country need fewer."""
    return {
        scope: count
        for scope, count in counts.items()
        if count.size >= (limits.votes if scope in whole_cells else limits.few)
    }


def _count_lasting(absent: Sequence[VantagePresence], now_us: int) -> dict[int, int]:
    if not absent:  # as nearly always, and this is called often
        return {}
    return {
        lasting_us: sum(now_us - vantage.lost_us >= lasting_us for vantage in absent)
        for lasting_us in LASTING_NOISE
    }


@dataclass(frozen=True, slots=True)
class FallenCells:
    """The cells that explain the silences of a fallen cell."""

    scope: Scope
    cells: tuple[AffectedCell, ...]
    votes: VoteCount  # of the fallen cell

    @property
    def is_whole(self) -> bool:
        """Return whether the silences are those of the cell, and not of a part of it."""
        return any(self.scope.is_within(cell.scope) for cell in self.cells) or self._is_split

    @property
    def _is_split(self) -> bool:
        """Return whether nearly all are silent, in parts of which each is named."""
        return len(self.cells) > 1 and self._are_complete and self.votes.share >= WHOLE_SHARE

    @property
    def _are_complete(self) -> bool:
        hits = sum(cell.votes * cell.share for cell in self.cells)
        return hits >= SPLIT_SHARE * self.votes.hits

    def list_narrower(self) -> tuple[Scope, ...]:
        """List the parts of which nearly all silences are; () if it is the cell itself.

        Where all volunteers but two have fixed lines, those two do not make it a country's fall.
        """
        scopes = tuple(cell.scope for cell in self.cells)
        is_each_tested = all(scope.named_fields == 1 for scope in scopes)
        return scopes if not self.is_whole and is_each_tested and self._are_complete else ()


def find_fallen_cells(
    scope: Scope, fallen: Sequence[VantagePresence], limits: Thresholds
) -> FallenCells:
    """Find the cells that explain the silences in a scope."""
    votes = count_silent(fallen)
    cells = localize(votes, limits.confirm_share, limits.votes, limits)
    return FallenCells(scope, cells, sum_votes(votes))
