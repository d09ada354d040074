"""Witness tally: the votes of one country about silences since a time, kept up incrementally.

Theory of operation. An outage is compared with all other countries, at each evaluation. A vantage
is therefore counted when it changes, and not when a country is evaluated. A vantage takes part if
it is live, or fell silent since the time that is asked for. Two indexes, of losses and of
enrollments, name the vantages that another time counts otherwise; only these are counted again.
"""

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.detect.stats.voting import VoteCount, is_established
from heliograph_collector.model.line_names import read_day
from heliograph_collector.model.signals import VantageLocation, VantageRef
from heliograph_collector.model.thresholds import Thresholds

_Key = TypeVar("_Key")


class WitnessPresence(Protocol):
    """What a tally reads of a vantage."""

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
    """Return whether a vantage fell silent since a time, or in a fault of the collector."""
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
        first = bisect_left(self.ordered, (since_us, ""))
        return [name for _, name in self.ordered[first : bisect_left(self.ordered, (until_us, ""))]]


@dataclass(slots=True)
class VoteTally:
    """The sums of `count_votes` for a changing set of votes."""

    votes: dict[str, tuple[str, VantageLocation, bool]] = field(default_factory=dict)
    # (vantages, hits) of a line in a place
    groups: defaultdict[str, dict[VantageLocation, tuple[int, int]]] = field(
        default_factory=partial(defaultdict, dict)
    )
    # by AS: groups by (places of the line, votes of the NAT, whether it is a hit)
    shapes: defaultdict[int, Counter[tuple[int, int, bool]]] = field(
        default_factory=partial(defaultdict, Counter)
    )
    days: defaultdict[int, Counter[str]] = field(default_factory=partial(defaultdict, Counter))
    sums: dict[int, tuple[VoteCount, float]] = field(default_factory=dict)  # by AS, till a change

    def update(
        self, name: str, vote: tuple[str, VantageLocation, bool] | None, nat_votes: int
    ) -> None:
        """Replace the vote (line, place, hit) of a vantage; None is no vote."""
        previous = self.votes.get(name)
        if previous == vote:
            return
        if previous is not None:
            self._add(*previous, -1, nat_votes)
            del self.votes[name]
        if vote is not None:
            self._add(*vote, 1, nat_votes)
            self.votes[name] = vote

    def sum(self) -> tuple[VoteCount, float]:
        """Return the sum of votes, and the votes if each line behind a NAT had several."""
        total = VoteCount()
        nat_total = 0.0
        for asn in self.shapes:
            if asn not in self.sums:
                self.sums[asn] = self._sum_network(asn)
            count, nat_votes = self.sums[asn]
            total.add(count)
            nat_total += nat_votes
        return total, nat_total

    def _sum_network(self, asn: int) -> tuple[VoteCount, float]:
        total = VoteCount()
        nat_total = 0.0
        weight = _weigh_day(self.days.get(asn))
        for (places, units, is_hit), count in self.shapes[asn].items():
            line = count * weight / places
            total.add(VoteCount(line, line * is_hit, line))
            nat_total += line * units
        return total, nat_total

    def _add(
        self, line: str, place: VantageLocation, is_hit: bool, step: int, nat_votes: int
    ) -> None:
        places = self.groups[line]
        size, hits = places.get(place, (0, 0))
        is_same_share = size > 0 and size + step > 0  # other places keep their share of the line
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
        for place in affected:
            places = self.groups[line]
            size, hits = places[place]
            units = min(nat_votes, size) if line and place.access == "mobile" else 1
            self.sums.pop(place.asn, None)
            _add_count(self.shapes[place.asn], (len(places), units, 2 * hits > size), step)

    def _count_days(self, line: str, places: Iterable[VantageLocation], step: int) -> None:
        for asn in {place.asn for place in places} if line else ():
            self.sums.pop(asn, None)
            _add_count(self.days[asn], read_day(line), step)


def _add_count(counts: Counter[_Key], key: _Key, step: int) -> None:
    counts[key] += step
    if not counts[key]:
        del counts[key]


def _weigh_day(days: Counter[str] | None) -> float:
    """Return the weight of a vote whose AS has names of several days (`count_votes`)."""
    return max(days.values()) / days.total() if days else 1.0


@dataclass(slots=True)
class WitnessTally:
    """The votes of one country by one carrier ("": any): of established vantages and of all."""

    limits: Thresholds
    carrier: str = ""
    since_us: int = 0
    members: dict[str, WitnessPresence] = field(default_factory=dict)
    losses: TimeIndex = field(default_factory=TimeIndex)
    enrollments: TimeIndex = field(default_factory=TimeIndex)
    established: VoteTally = field(default_factory=VoteTally)
    every: VoteTally | None = None  # from the first time that the established do not suffice
    updates: int = 0  # vantages counted: the work

    def note_change(self, name: str, vantage: WitnessPresence | None) -> None:
        """Count a vantage that changed; None if it has left the country."""
        if vantage is None:
            self.members.pop(name, None)
        else:
            if not self.since_us:  # begin at a time at which nearly all count as they will later
                self.since_us = vantage.since_us
            self.members[name] = vantage
        self.losses.update(name, vantage.lost_us if vantage else None)
        self.enrollments.update(name, vantage.witness.first_us if vantage else None)
        self._count(name)

    def sum_established(self, since_us: int) -> tuple[VoteCount, float]:
        """Return the votes of the established, and how many they are if a NAT has several."""
        self._move_to(since_us)
        return self.established.sum()

    def sum_every(self, since_us: int) -> VoteCount:
        """Return the votes of all, young ones too."""
        self._move_to(since_us)
        if self.every is None:
            self.every = VoteTally()
            for name in self.members:
                self._count(name)
        return self.every.sum()[0]

    def list_silent(self, since_us: int, until_us: int) -> list[str]:
        """List the silent vantages that were lost within [since_us, until_us]."""
        names = self.losses.list_names(since_us, until_us + 1)
        return [name for name in names if self.members[name].is_silent]

    def _move_to(self, since_us: int) -> None:
        """Count again what another time counts otherwise."""
        first_us = min(since_us, self.since_us)
        last_us = max(since_us, self.since_us)
        if first_us == last_us:
            return
        self.since_us = since_us
        age_us = int(self.limits.established_days * DAY_US)
        # A second more, as seniority is computed in fractions of days.
        oldest_us = first_us - age_us - SECOND_US
        aged = self.enrollments.list_names(oldest_us, last_us - age_us + SECOND_US)
        for name in (*self.losses.list_names(first_us, last_us), *aged):
            self._count(name)

    def _count(self, name: str) -> None:
        self.updates += 1
        vantage = self.members.get(name)
        vote = None if vantage is None else self._find_vote(vantage)
        is_counted = vantage is not None and is_established(
            vantage.witness, self.since_us, self.limits
        )
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
