"""Voting: one vote per network, and only established vantages if they suffice.

Whatever ends, explains or contradicts an incident is counted by the same rule as what confirms it,
or a crowd of new keys could talk an outage away.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from heliograph.units import DAY_US
from heliograph_collector.model.line_names import NAME_HEAD, read_day
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.seniority import Seniority, find_seniority
from heliograph_collector.model.signals import VantageLocation, VantageRef
from heliograph_collector.model.thresholds import Thresholds

NAT_ACCESSES = ("mobile", "fixed")
_NAT_LINES = 5  # fewer may be an office with branches; assumed
_NAT_OUTSIDE = 2  # of them, outside the region of most; assumed

_VotesByGroup = dict[tuple[str, VantageLocation], list[int]]  # [vantages, hits]
_LocationsByLine = defaultdict[tuple[str, str], int]  # by prefix and country
Group = tuple[str, int]  # a region, and the vantages of one prefix in a place there


@dataclass(slots=True)
class VoteCount:
    """Weighted votes and hits; a network in several locations divides its vote.

    `lines` counts each network once: persons are no more, though one may have several votes.
    """

    votes: float = 0.0
    hits: float = 0.0
    lines: float = 0.0

    @property
    def share(self) -> float:
        return self.hits / self.votes if self.votes else 0.0

    def add(self, other: "VoteCount") -> None:
        self.votes += other.votes
        self.hits += other.hits
        self.lines += other.lines

    def without(self, part: "VoteCount") -> "VoteCount":
        return VoteCount(
            max(0.0, self.votes - part.votes),
            max(0.0, self.hits - part.hits),
            max(0.0, self.lines - part.lines),
        )


VotesByPlace = dict[VantageLocation, VoteCount]


def count_votes(
    votes: Iterable[tuple[VantageRef, bool]], nat_votes: int = 1, *, is_lower_bound: bool = True
) -> VotesByPlace:
    """Count one vote per network, divided among the locations that it claims.

    A network's vote in a location is a hit if more than half of its vantages there are hits. More
    claimed locations give it no more votes.

    Args:
        nat_votes: The votes of a carrier's NAT at most, one per vantage, wherever these are:
            whole cities share its prefix (`is_carrier_nat`).
        is_lower_bound: Votes of an AS whose names are of several days may be of the same lines.
            Together they weigh as much as those of the day that has most, unless this is False.
    """
    groups, spans = _group_votes(votes)
    return _weigh_groups(groups, spans, nat_votes, is_lower_bound=is_lower_bound)


def count_total(votes: Iterable[tuple[VantageRef, bool]], nat_votes: int = 1) -> VoteCount:
    """Return the sum of `count_votes` over all locations.

    Where each line is in one location, as nearly always, each is one vote. Only a carrier's NAT has
    more.
    """
    groups, spans = _group_votes(votes)
    if nat_votes > 1 or len(spans) < len(groups) or _have_several_days(spans):
        return sum_votes(_weigh_groups(groups, spans, nat_votes))
    hits = sum(2 * hits > group_size for group_size, hits in groups.values())
    return VoteCount(float(len(groups)), float(hits), float(len(groups)))


def _group_votes(
    votes: Iterable[tuple[VantageRef, bool]],
) -> tuple[_VotesByGroup, _LocationsByLine]:
    """Group votes by prefix and location, and count the locations of each prefix."""
    # No object per group, because detectors spend most time here and in `scopes_of`.
    groups: _VotesByGroup = {}
    spans: _LocationsByLine = defaultdict(int)
    for vantage, hit in votes:
        key = vantage.prefix, vantage.place
        group = groups.get(key)
        if group is None:
            groups[key] = [1, hit]
            spans[vantage.prefix, vantage.place.country] += 1
        else:
            group[0] += 1
            group[1] += hit
    return groups, spans


def _weigh_groups(
    groups: _VotesByGroup,
    spans: _LocationsByLine,
    nat_votes: int = 1,
    *,
    is_lower_bound: bool = True,
) -> VotesByPlace:
    """Count the votes of these groups in each location, as `count_votes` says."""
    votes_by_place: defaultdict[VantageLocation, VoteCount] = defaultdict(VoteCount)
    nats = _find_nats(groups, spans) if nat_votes > 1 else {}
    day_weights = _weigh_days(groups) if is_lower_bound and _have_several_days(spans) else {}
    is_divided = len(spans) < len(groups)
    for (prefix, location), (group_size, hits) in groups.items():
        line = day_weights.get(location.asn, 1.0) if day_weights else 1.0
        if is_divided:
            line /= spans[prefix, location.country]
        vote_count = votes_by_place[location]
        vote_count.lines += line
        nat = nats.get((prefix, location.country, location.access)) if nats else None
        if nat is not None:
            weight = line * weigh_nat(group_size, nat, nat_votes)
            vote_count.votes += weight
            vote_count.hits += weight * hits / group_size
        else:
            vote_count.votes += line
            vote_count.hits += line * (2 * hits > group_size)
    return dict(votes_by_place)


def _have_several_days(lines: Iterable[tuple[str, str]]) -> bool:
    """Return whether the names of these lines are of several days."""
    heads = {prefix[:NAME_HEAD] for prefix, _ in lines if prefix}  # of one day there is one
    return len(heads) > 1 and len(set(map(read_day, heads))) > 1


def _find_nats(
    groups: Mapping[tuple[str, VantageLocation], Sequence[int]],
    spans: Mapping[tuple[str, str], int],
) -> dict[tuple[str, str, str], list[Group]]:
    """Find the prefixes that may be carriers' NATs, with their groups.

    The keys are prefix, country and access.
    """
    shared: defaultdict[tuple[str, str, str], list[Group]] = defaultdict(list)
    for (prefix, location), (size, _) in groups.items():
        access = location.access
        is_shared = access in NAT_ACCESSES and spans[prefix, location.country] > 1
        if prefix and (access == "mobile" or is_shared):
            shared[prefix, location.country, access].append((location.region, size))
    return {key: sizes for key, sizes in shared.items() if is_carrier_nat(key[2], sizes)}


def is_carrier_nat(access: str, groups: Sequence[Group]) -> bool:
    """Return whether a prefix with these groups of one access may be a carrier's NAT.

    Phones are behind one. Lines are where several regions share their prefix, and in none of them
    are all but one: an office or a campus is in one region, but one of its agents may say another.
    """
    if access == "mobile":
        return True
    if access not in NAT_ACCESSES or len(groups) < 2:
        return False
    by_region = Counter[str]()
    for region, size in groups:
        by_region[region] += size
    everywhere = by_region.total() - by_region.pop("", 0)
    outside = everywhere - max(by_region.values(), default=0)
    return everywhere >= _NAT_LINES and outside >= _NAT_OUTSIDE


def weigh_nat(group_size: int, groups: Sequence[Group], nat_votes: int) -> float:
    """Return the votes of a NAT's vantages in one place.

    They are a share of the votes that its line has in a place.
    """
    everywhere = sum(size for _, size in groups)
    return len(groups) * min(nat_votes, everywhere) * group_size / everywhere


def _weigh_days(networks: Iterable[tuple[str, VantageLocation]]) -> dict[int, float]:
    """Return by AS the weight of a vote, where its names are of several days."""
    lines = {(location.asn, prefix) for prefix, location in networks}
    counts = Counter((asn, read_day(prefix)) for asn, prefix in lines if prefix)
    totals = Counter[int]()
    most = Counter[int]()
    for (asn, _), count in counts.items():
        totals[asn] += count
        most[asn] = max(most[asn], count)
    return {asn: most[asn] / total for asn, total in totals.items() if total > most[asn]}


def sum_votes(
    votes_by_key: Mapping[VantageLocation, VoteCount]
    | Mapping[str, VoteCount]
    | Mapping[Scope, VoteCount],
) -> VoteCount:
    """Sum the votes of all locations, countries or cells."""
    overall = VoteCount()
    for vote_count in votes_by_key.values():
        overall.add(vote_count)
    return overall


def select_voters(
    votes: Iterable[tuple[VantageRef, bool]], at_us: int, limits: Thresholds
) -> list[tuple[VantageRef, bool]]:
    """Return the votes that count: none of new vantages, and few of young ones.

    A young vantage counts where no established one of the same place and access contradicts.
    """
    votes = list(votes)
    if are_established((voter for voter, _ in votes), at_us, limits):
        return votes  # as nearly always, and this is called often
    ages = [(voter, hit, find_seniority(voter.first_us, at_us, limits)) for voter, hit in votes]
    stated = {(voter.place, hit) for voter, hit, age in ages if age is Seniority.ESTABLISHED}
    return [
        (voter, hit)
        for voter, hit, age in ages
        if age is Seniority.ESTABLISHED or (age.has_vote and (voter.place, not hit) not in stated)
    ]


def are_established(voters: Iterable[VantageRef], at_us: int, limits: Thresholds) -> bool:
    """Return whether all of these are established, to the microsecond."""
    latest_us = max((voter.first_us for voter in voters), default=0)
    return latest_us <= at_us - round(limits.established_days * DAY_US)


def is_established(voter: VantageRef, at_us: int, limits: Thresholds) -> bool:
    return at_us - voter.first_us >= limits.established_days * DAY_US  # as `find_seniority`


def established_votes(
    votes: Iterable[tuple[VantageRef, bool]],
    at_us: int,
    limits: Thresholds,
    min_votes: float | None = None,
    nat_votes: int = 1,
) -> tuple[VotesByPlace, bool]:
    """Return (votes, True if they are of established vantages only).

    If established vantages have fewer than `min_votes` (`limits.votes`), all that are heard vote.
    The caller then confirms nothing.
    """
    voters = select_voters(votes, at_us, limits)
    established = ((v, hit) for v, hit in voters if is_established(v, at_us, limits))
    counted = count_votes(established, nat_votes)
    if sum_votes(counted).votes >= (limits.votes if min_votes is None else min_votes):
        return counted, True
    return count_votes(voters, nat_votes), False
