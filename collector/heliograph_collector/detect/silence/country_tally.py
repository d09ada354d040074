"""Tally one country's votes about silences since a time, incrementally.

Theory of operation. An outage is compared with all other countries, at each evaluation, and its own
country may have 100,000 vantages. A vantage is therefore counted when it changes, and not when a
country is evaluated. A vantage takes part if it is live, or fell silent since the time that is
asked for. Two indexes, of losses and of enrollments, name the vantages that another time counts
otherwise; only these are counted again.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left, insort
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.detect.silence.vote_tally import VoteTally, add_count
from heliograph_collector.detect.stats.voting import VoteCount, VotesByPlace, is_established
from heliograph_collector.model.signals import VantageLocation, VantageRef
from heliograph_collector.model.thresholds import Thresholds

_FOREVER_US = 1 << 63  # after every time


class TalliedPresence(Protocol):
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


def fell_silent(vantage: TalliedPresence, since_us: int) -> bool:
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
class CountryTally(ABC):
    """Vantages of a country by one carrier ("": any), indexed by what time changes."""

    limits: Thresholds
    carrier: str = ""
    since_us: int = 0  # silences since then count
    aged_us: int = 0  # who is established is decided for this time
    members: dict[str, TalliedPresence] = field(default_factory=dict)
    losses: TimeIndex = field(default_factory=TimeIndex)
    enrollments: TimeIndex = field(default_factory=TimeIndex)
    established: VoteTally = field(default_factory=VoteTally)
    updates: int = 0  # vantages counted: the work

    def note_change(self, name: str, vantage: TalliedPresence | None) -> None:
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

    def is_established(self, vantage: TalliedPresence) -> bool:
        return is_established(vantage.witness, self.aged_us, self.limits)

    @abstractmethod
    def _count(self, name: str) -> None:
        """Update the count of one member, or drop it."""


@dataclass(slots=True)
class FallenTally(CountryTally):
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

    def _find_vote(self, vantage: TalliedPresence) -> tuple[str, VantageLocation, bool] | None:
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

    def _count_carrier(self, name: str, vantage: TalliedPresence | None) -> None:
        previous = self.carrier_of.pop(name, None)
        if previous is not None:
            add_count(self.carriers, previous, -1)
        if vantage is not None:
            self.carrier_of[name] = vantage.witness.carrier
            self.carriers[vantage.witness.carrier] += 1

    def _find_vote(self, vantage: TalliedPresence) -> tuple[str, VantageLocation, bool] | None:
        witness = vantage.witness
        is_lost = vantage.is_silent and not vantage.deferred and vantage.lost_us >= self.since_us
        if self.carrier in ("", witness.carrier) and (is_lost or vantage.is_live):
            return witness.prefix, witness.place, is_lost
        return None
