"""Voting: one vote per network, and only established vantages if they suffice."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from heliograph.units import DAY_US
from heliograph_collector.model.signals import VantageLocation, VantageRef
from heliograph_collector.model.thresholds import Thresholds


@dataclass(slots=True)
class VoteCount:
    """Weighted votes and hits; a network in several locations divides its vote."""

    votes: float = 0.0
    hits: float = 0.0

    @property
    def share(self) -> float:
        return self.hits / self.votes if self.votes else 0.0

    def add(self, other: "VoteCount") -> None:
        self.votes += other.votes
        self.hits += other.hits

    def without(self, part: "VoteCount") -> "VoteCount":
        return VoteCount(max(0.0, self.votes - part.votes), max(0.0, self.hits - part.hits))


VotesByPlace = dict[VantageLocation, VoteCount]


def count_votes(votes: Iterable[tuple[VantageRef, bool]]) -> VotesByPlace:
    """Count one vote per network, divided among the locations that it claims.

    A network's vote in a location is a hit if more than half of its vantages there are hits. More
    claimed locations give it no more votes.
    """
    # No object per group, because detectors spend most time here and in `scopes_of`.
    groups: dict[tuple[str, VantageLocation], list[int]] = {}  # [vantages, hits]
    spans: defaultdict[tuple[str, str], int] = defaultdict(int)
    for vantage, hit in votes:
        key = vantage.prefix, vantage.place
        group = groups.get(key)
        if group is None:
            groups[key] = [1, hit]
            spans[vantage.prefix, vantage.place.country] += 1
        else:
            group[0] += 1
            group[1] += hit
    votes_by_place: defaultdict[VantageLocation, VoteCount] = defaultdict(VoteCount)
    for (prefix, location), (group_size, hits) in groups.items():
        weight = 1.0 / spans[prefix, location.country]
        vote_count = votes_by_place[location]
        vote_count.votes += weight
        vote_count.hits += weight * (2 * hits > group_size)
    return dict(votes_by_place)


def sum_votes(
    votes_by_key: Mapping[VantageLocation, VoteCount] | Mapping[str, VoteCount],
) -> VoteCount:
    """Sum the votes of all locations or countries."""
    overall = VoteCount()
    for vote_count in votes_by_key.values():
        overall.add(vote_count)
    return overall


def seniority_weight(vantage: VantageRef, at_us: int) -> float:
    """Return 1 - 1/days for a vantage known for so many days; at least 0."""
    days = (at_us - vantage.first_us) / DAY_US
    return max(0.0, 1.0 - 1.0 / days) if days > 0 else 0.0


def established_votes(
    votes: Iterable[tuple[VantageRef, bool]], at_us: int, limits: Thresholds
) -> tuple[VotesByPlace, bool]:
    """Return (votes, True if they are of established vantages only).

    A vantage is established after `standing_days`. If established vantages have too few votes to
    confirm anything, all vantages vote, and the caller reports low confidence.
    """
    all_votes = list(votes)
    needed = 1.0 - 1.0 / limits.standing_days
    established_only = count_votes(
        (w, hit) for w, hit in all_votes if seniority_weight(w, at_us) >= needed
    )
    if sum_votes(established_only).votes >= limits.votes:
        return established_only, True
    return count_votes(all_votes), False
