"""Tally one country's votes about silences since a time, incrementally.

Theory of operation. An outage is compared with all other countries, at each evaluation, and its own
country may have 100,000 vantages. A vantage is therefore counted when it changes, and not when a
country is evaluated. A vantage takes part if
it is live, or fell silent since the time that is asked for. Two indexes, of losses and of
enrollments, name the vantages that another time counts otherwise; only these are counted again.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.detect.stats.voting import (
    VoteCount,
    VotesByPlace,
    is_carrier_nat,
    is_established,
    weigh_nat,
)
from heliograph_collector.model.line_names import read_day
from heliograph_collector.model.signals import VantageLocation, VantageRef
from heliograph_collector.model.thresholds import Thresholds

_FOREVER_US = 1 << 63  # after every time

_Key = TypeVar("_Key")
_Shape = tuple[int, float, float, bool]
_Sums = tuple[VoteCount, VoteCount]


class WitnessPresence(Protocol):
    """Attributes of a vantage that a tally reads."""

    witness: VantageRef
    since_us: int
    lost_us: int
    lost_by: str
    deferred: bool

    @property
    def is_live(self) -> bool: ...
    @property
    def is_silent(self) -> bool: ...


def fell_silent(vantage: WitnessPresence, since_us: int) -> bool:
    """Return whether a vantage fell silent since a time, or in a collector fault."""
    is_recent = vantage.lost_us >= since_us and (vantage.is_live or vantage.is_silent)
    return is_recent or (vantage.is_silent and vantage.deferred)


@dataclass(slots=True)
class TimeIndex:
    """The names of vantages, by one time of each."""

    times: dict[str, int] = field(default_factory=dict)
    ordered: list[tuple[int, str]] = field(default_factory=list)

    def update(self, name: str, time_us: int | None) -> None:
        previous_us = self.times.get(name)
        if previous_us == time_us:
            return
        if previous_us is not None:
            del self.ordered[bisect_left(self.ordered, (previous_us, name))]
            del self.times[name]
        if time_us is not None:
            insort(self.ordered, (time_us, name))
            self.times[name] = time_us

    def list_names(self, since_us: int, until_us: int) -> list[str]:
        """List the names of the times in [since_us, until_us)."""
        return [name for _, name in self.ordered[slice(*self._find_range(since_us, until_us))]]

    def count_names(self, since_us: int, until_us: int) -> int:
        first, last = self._find_range(since_us, until_us)
        return last - first

    def _find_range(self, since_us: int, until_us: int) -> tuple[int, int]:
        ordered = self.ordered
        return bisect_left(ordered, (since_us, "")), bisect_left(ordered, (until_us, ""))


@dataclass(slots=True)
class VoteTally:
    """The sums of `count_votes` for a changing set of votes."""

    votes: dict[str, tuple[str, VantageLocation, bool]] = field(default_factory=dict)
    # (vantages, hits) of a line in a place
    groups: defaultdict[str, dict[VantageLocation, tuple[int, int]]] = field(
        default_factory=partial(defaultdict, dict)
    )
    # by AS and place: groups by (places of the line, votes of the NAT, their hits, is a hit)
    shapes: defaultdict[int, dict[VantageLocation, Counter[_Shape]]] = field(
        default_factory=partial(defaultdict, dict)
    )
    days: defaultdict[int, Counter[str]] = field(default_factory=partial(defaultdict, Counter))
    # Sums till a change, by AS and by place: votes of lines, and votes of lines behind a NAT
    sums: dict[int, _Sums] = field(default_factory=dict)
    place_sums: dict[VantageLocation, _Sums] = field(default_factory=dict)
    total: _Sums | None = None

    def update(
        self, name: str, vote: tuple[str, VantageLocation, bool] | None, nat_votes: int
    ) -> None:
        """Replace the vote (line, place, hit) of a vantage; None is no vote."""
        previous = self.votes.get(name)
        if previous == vote:
            return
        if previous is not None and vote is not None and previous[:2] == vote[:2]:
            self._turn(*vote, nat_votes)
            self.votes[name] = vote
            return
        if previous is not None:
            self._add(*previous, -1, nat_votes)
            del self.votes[name]
        if vote is not None:
            self._add(*vote, 1, nat_votes)
            self.votes[name] = vote

    def sum(self) -> _Sums:
        """Return the sum of votes, and the same if each line behind a NAT has several."""
        if self.total is None:
            for asn in self.shapes:
                if asn not in self.sums:
                    self.sums[asn] = _add_sums(self._sum_place(place) for place in self.shapes[asn])
            self.total = _add_sums(self.sums[asn] for asn in self.shapes)
        return self.total

    def list_by_place(self) -> VotesByPlace:
        """Return the votes by place, where each line behind a NAT has several."""
        return {
            place: self._sum_place(place)[1] for places in self.shapes.values() for place in places
        }

    def _sum_place(self, place: VantageLocation) -> _Sums:
        sums = self.place_sums.get(place)
        if sums is None:
            weight = _weigh_day(self.days.get(place.asn))
            sums = VoteCount(), VoteCount()
            for (places, units, nat_hits, is_hit), count in self.shapes[place.asn][place].items():
                line = count * weight / places
                sums[0].add(VoteCount(line, line * is_hit, line))
                sums[1].add(VoteCount(line * units, line * nat_hits, line))
            self.place_sums[place] = sums
        return sums

    def _turn(self, line: str, place: VantageLocation, is_hit: bool, nat_votes: int) -> None:
        """Turn a hit into a miss, or the reverse; who takes part stays."""
        size, hits = self.groups[line][place]
        self._count_shapes(line, (place,), -1, nat_votes)
        self.groups[line][place] = (size, hits + (1 if is_hit else -1))
        self._count_shapes(line, (place,), 1, nat_votes)

    def _add(
        self, line: str, place: VantageLocation, is_hit: bool, step: int, nat_votes: int
    ) -> None:
        places = self.groups[line]
        size, hits = places.get(place, (0, 0))
        # Other places keep their share of the line, unless it may be a NAT.
        is_same_share = size > 0 and size + step > 0 and not _may_be_nat(line, places, nat_votes)
        affected = [place] if is_same_share else [*places]
        self._count_shapes(line, affected, -1, nat_votes)
        if not is_same_share:
            self._count_days(line, places, -1)
        places[place] = (size + step, hits + step * is_hit)
        if not is_same_share:
            affected = self._drop_empty(line, place)
            self._count_days(line, places, 1)
        self._count_shapes(line, affected, 1, nat_votes)

    def _drop_empty(self, line: str, place: VantageLocation) -> list[VantageLocation]:
        places = self.groups[line]
        if not places[place][0]:
            del places[place]
        if not places:
            del self.groups[line]
        return [*places]

    def _count_shapes(
        self, line: str, affected: Iterable[VantageLocation], step: int, nat_votes: int
    ) -> None:
        places = self.groups.get(line, {})
        for place in affected:
            size, hits = places[place]
            is_hit = 2 * hits > size
            is_nat = _may_be_nat(line, places, nat_votes)
            same = places.items() if is_nat else ()
            groups = [(other.region, n) for other, (n, _) in same if other.access == place.access]
            is_nat = is_nat and is_carrier_nat(place.access, groups)
            units = weigh_nat(size, groups, nat_votes) if is_nat else 1.0
            shape = len(places), units, units * hits / size if is_nat else float(is_hit), is_hit
            shapes = self.shapes[place.asn]
            counts = shapes.get(place)
            if counts is None:
                counts = shapes[place] = Counter()
            _add_count(counts, shape, step)
            if not counts:
                del shapes[place]
            self._forget_sum(place)

    def _forget_sum(self, place: VantageLocation) -> None:
        self.total = None
        self.sums.pop(place.asn, None)
        self.place_sums.pop(place, None)

    def _count_days(self, line: str, places: Iterable[VantageLocation], step: int) -> None:
        for asn in {place.asn for place in places} if line else ():
            days = self.days[asn]
            day = read_day(line)
            is_only = not days or (len(days) == 1 and day in days)
            weight = 1.0 if is_only else _weigh_day(days)
            _add_count(days, day, step)
            if not is_only and _weigh_day(days) != weight:
                for place in self.shapes[asn]:
                    self._forget_sum(place)


def _may_be_nat(line: str, places: Collection[VantageLocation], nat_votes: int) -> bool:
    if not line or nat_votes <= 1:
        return False
    return len(places) > 1 or any(place.access == "mobile" for place in places)


def _add_count(counts: Counter[_Key], key: _Key, step: int) -> None:
    counts[key] += step
    if not counts[key]:
        del counts[key]


def _add_sums(sums: Iterable[_Sums]) -> _Sums:
    total = VoteCount(), VoteCount()
    for count, nat_count in sums:
        total[0].add(count)
        total[1].add(nat_count)
    return total


def _weigh_day(days: Counter[str] | None) -> float:
    """Return the weight of a vote whose AS has names of several days (`count_votes`)."""
    return max(days.values()) / days.total() if days else 1.0


@dataclass(slots=True)
class CountryTally(ABC):
    """Vantages of a country by one carrier ("": any), indexed by what time changes."""

    limits: Thresholds
    carrier: str = ""
    since_us: int = 0  # silences since then count
    aged_us: int = 0  # who is established is decided for this time
    members: dict[str, WitnessPresence] = field(default_factory=dict)
    losses: TimeIndex = field(default_factory=TimeIndex)
    enrollments: TimeIndex = field(default_factory=TimeIndex)
    established: VoteTally = field(default_factory=VoteTally)
    updates: int = 0  # vantages counted: the work

    def note_change(self, name: str, vantage: WitnessPresence | None) -> None:
        """Count a vantage that changed; None if it has left the country."""
        if vantage is None:
            self.members.pop(name, None)
        else:
            if not self.since_us:  # begin at a time at which nearly all count as they will later
                self.since_us = vantage.since_us
                self.aged_us = vantage.since_us
            self.members[name] = vantage
        self.losses.update(name, (vantage.lost_us or None) if vantage else None)
        self.enrollments.update(name, vantage.witness.first_us if vantage else None)
        self._count(name)

    def list_lost(self, since_us: int) -> list[str]:
        """List the vantages whose last loss was since a time, also if back."""
        return self.losses.list_names(since_us, _FOREVER_US)

    def count_lost(self, since_us: int, until_us: int) -> int:
        """Count the vantages whose last loss is within [since_us, until_us], also if back."""
        return self.losses.count_names(since_us, until_us + 1)

    def move_to(self, since_us: int, aged_us: int) -> None:
        """Count again what other times count otherwise."""
        age_us = int(self.limits.established_days * DAY_US)
        lost = self.losses.list_names(*sorted((since_us, self.since_us)))
        aged: list[str] = []
        if aged_us != self.aged_us:  # a second more: seniority is computed in fractions of days
            first_us, last_us = sorted((aged_us, self.aged_us))
            oldest_us = first_us - age_us - SECOND_US
            aged = self.enrollments.list_names(oldest_us, last_us - age_us + SECOND_US)
        self.since_us = since_us
        self.aged_us = aged_us
        for name in (*lost, *aged):
            self._count(name)

    def is_established(self, vantage: WitnessPresence) -> bool:
        return is_established(vantage.witness, self.aged_us, self.limits)

    @abstractmethod
    def _count(self, name: str) -> None:
        """Update the count of one member, or drop it."""


@dataclass(slots=True)
class WitnessTally(CountryTally):
    """Tally of the vantages that fell silent since a time, even if they are back."""

    every: VoteTally | None = None  # from the first time that the established do not suffice

    def sum_established(self, since_us: int) -> tuple[VoteCount, float]:
        """Return the votes of the established, and how many they are if a NAT has several."""
        self.move_to(since_us, since_us)
        count, nat_count = self.established.sum()
        return count, nat_count.votes

    def sum_every(self, since_us: int) -> VoteCount:
        """Return the votes of all, young ones too."""
        self.move_to(since_us, since_us)
        if self.every is None:
            self.every = VoteTally()
            for name in self.members:
                self._count(name)
        return self.every.sum()[0]

    def _count(self, name: str) -> None:
        self.updates += 1
        vantage = self.members.get(name)
        vote = None if vantage is None else self._find_vote(vantage)
        is_counted = vantage is not None and self.is_established(vantage)
        self.established.update(name, vote if is_counted else None, self.limits.nat_votes)
        if self.every is not None:
            self.every.update(name, vote, self.limits.nat_votes)

    def _find_vote(self, vantage: WitnessPresence) -> tuple[str, VantageLocation, bool] | None:
        witness = vantage.witness
        is_hit = fell_silent(vantage, self.since_us)
        is_of_carrier = self.carrier in ("", witness.carrier, vantage.lost_by)
        if is_of_carrier and (is_hit or vantage.is_live):
            return witness.prefix, witness.place, is_hit
        return None


@dataclass(slots=True)
class SilenceTally(CountryTally):
    """Tally of a country's live vantages, and of those silent since a time.

    Where all are established, `established` counts what the candidate of an outage would count.
    Where some are young, whose votes depend on others, `bound_votes` shows whether to count them.
    """

    silent: VoteTally = field(default_factory=VoteTally)  # of any age: a bound of the hits
    young: set[str] = field(default_factory=set)
    carriers: Counter[str] = field(default_factory=Counter)
    carrier_of: dict[str, str] = field(default_factory=dict)

    @property
    def has_enough(self) -> bool:
        """Return whether the established have votes enough to confirm."""
        return self.established.sum()[1].votes >= self.limits.votes

    def bound_votes(self) -> VotesByPlace:
        """Return bounds of the voters' counts: at least the hits, at most the misses.

        A young vantage that is live counts only beside established ones that are live, or alone.
        """
        bound = self.silent.list_by_place()
        for place, count in self.established.list_by_place().items():
            hits = bound[place].hits if place in bound else 0.0
            bound[place] = VoteCount(hits + count.votes - count.hits, hits, count.lines)
        return bound

    def _count(self, name: str) -> None:
        self.updates += 1
        vantage = self.members.get(name)
        vote = None if vantage is None else self._find_vote(vantage)
        is_counted = vantage is not None and vote is not None and self.is_established(vantage)
        self.established.update(name, vote if is_counted else None, self.limits.nat_votes)
        self.silent.update(name, vote if vote and vote[2] else None, self.limits.nat_votes)
        if vote is None or is_counted:
            self.young.discard(name)
        else:
            self.young.add(name)
        self._count_carrier(name, None if vote is None or vantage is None else vantage)

    def _count_carrier(self, name: str, vantage: WitnessPresence | None) -> None:
        previous = self.carrier_of.pop(name, None)
        if previous is not None:
            _add_count(self.carriers, previous, -1)
        if vantage is not None:
            self.carrier_of[name] = vantage.witness.carrier
            self.carriers[vantage.witness.carrier] += 1

    def _find_vote(self, vantage: WitnessPresence) -> tuple[str, VantageLocation, bool] | None:
        witness = vantage.witness
        is_lost = vantage.is_silent and not vantage.deferred and vantage.lost_us >= self.since_us
        if self.carrier in ("", witness.carrier) and (is_lost or vantage.is_live):
            return witness.prefix, witness.place, is_lost
        return None
