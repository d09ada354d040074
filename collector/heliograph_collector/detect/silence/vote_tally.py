"""Keep the sums of `count_votes` for a set of votes that changes one by one.

A line is a network prefix. Its vote is divided among its places, and a line that may be a carrier's
NAT has several votes (`stats/voting.py`). A change of one vote touches the sums of its line's
places alone.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from heliograph_collector.detect.stats.voting import (
    VoteCount,
    VotesByPlace,
    is_carrier_nat,
    weigh_nat,
)
from heliograph_collector.model.line_names import read_day
from heliograph_collector.model.signals import VantageLocation

_Key = TypeVar("_Key")
_Shape = tuple[int, float, float, bool]
_Sums = tuple[VoteCount, VoteCount]


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
            add_count(counts, shape, step)
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
            add_count(days, day, step)
            if not is_only and _weigh_day(days) != weight:
                for place in self.shapes[asn]:
                    self._forget_sum(place)


def _may_be_nat(line: str, places: Collection[VantageLocation], nat_votes: int) -> bool:
    if not line or nat_votes <= 1:
        return False
    return len(places) > 1 or any(place.access == "mobile" for place in places)


def add_count(counts: Counter[_Key], key: _Key, step: int) -> None:
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
