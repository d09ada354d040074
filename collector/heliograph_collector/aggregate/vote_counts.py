"""Count the votes of vantages by cell and bin: one vote per vantage and per network. Pure.

Rows of votes are counted here; of many the engine counts them (`store/vote_queries.py`, which
states the rule of the majority for both).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from heliograph_collector.aggregate.cell_state import TROUBLES, most_common_cause
from heliograph_collector.model.line_names import read_day
from heliograph_collector.model.records import Count, VerdictState, Vote
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.partial_votes import (
    Causes,
    PartialVote,
    count_partial,
    split_functions,
)
from heliograph_collector.store.vote_queries import STATES, decide_majority


class CellKey(NamedTuple):
    """The identity of a cell within a bin."""

    country: str
    region: str
    asn: int
    access: str
    service: str

    @property
    def place(self) -> "PlaceKey":
        return self[:4]


PlaceKey = tuple[str, str, int, str]
PrefixKey = tuple[CellKey, int, str]  # a cell without its region, a bin and a line


@dataclass(slots=True)
class _Voter:
    """One vantage: its counts, its causes, and the network of its latest vote."""

    counts: dict[VerdictState, int] = field(default_factory=dict)
    causes: Counter[tuple[str, str]] | None = None  # most voters have none, and there are many
    functions: Counter[str] | None = None  # that partial verdicts name; as many as those verdicts
    last_seen: tuple[int, str] = (0, "")
    is_established: bool = False

    def add(self, vote: Vote) -> None:
        self.is_established |= vote.seniority is Seniority.ESTABLISHED
        last_seen = (vote.start_us, vote.prefix)
        if last_seen > self.last_seen:
            self.last_seen = last_seen
        numbers = (vote.reachable, vote.blocked, vote.down, vote.unknown)  # in the order of STATES
        if self.counts:
            for state, number in zip(STATES, numbers, strict=True):
                self.counts[state] += number
        else:  # the only vote of most
            self.counts = dict(zip(STATES, numbers, strict=True))
        if vote.blocked + vote.down:
            self.causes = self.causes or Counter()
            self.causes[vote.layer, vote.method] += vote.blocked + vote.down
        if vote.partial:
            self.functions = self.functions or Counter()
            self.functions[vote.function] += vote.partial

    def list_blocked_functions(self) -> tuple[str, ...]:
        """List the functions that most of the verdicts find blocked, in their commonest form."""
        counts = self.functions
        if counts is None or 2 * counts.total() <= self.counts[VerdictState.REACHABLE]:
            return ()
        if decide_majority(self.counts) is not VerdictState.REACHABLE:
            return ()
        return split_functions(min(counts, key=lambda names: (-counts[names], names)))

    @property
    def cause(self) -> tuple[str, str]:
        return most_common_cause(self.causes) if self.causes else ("", "")


def count_votes(votes: Iterable[Vote], since_us: int, until_us: int, bin_s: int) -> list[Count]:
    """Count the votes of each cell in each bin of [since, until)."""
    bin_us = bin_s * 1_000_000
    voters_by_cell: defaultdict[tuple[CellKey, int], dict[str, _Voter]] = defaultdict(dict)
    for vote in votes:
        if since_us <= vote.start_us < until_us:
            key = CellKey(vote.country, vote.region, vote.asn, vote.access, vote.service)
            voters = voters_by_cell[key, vote.start_us // bin_us * bin_us]
            voter = voters.get(vote.pseudonym)
            if voter is None:
                voter = voters[vote.pseudonym] = _Voter()
            voter.add(vote)
    regions = _list_prefix_regions(voters_by_cell)
    return [
        _count_voters(key, start_us, list(v.values()), regions)
        for (key, start_us), v in voters_by_cell.items()
    ]


def _list_prefix_regions(
    voters_by_cell: Mapping[tuple[CellKey, int], Mapping[str, _Voter]],
) -> dict[PrefixKey, str]:
    """Return the one region of each line: the first that established vantages declare.

    Regions are the vantages' own words, so keys of one line could claim to be in many. Of names for
    several days, only those of the day that has most in the network count.
    """
    regions: dict[PrefixKey, str] = {}
    for (key, start_us), voters in voters_by_cell.items():
        home_key = key._replace(region="")
        for voter in voters.values():
            if voter.is_established:
                prefix_key = (home_key, start_us, voter.last_seen[1])
                regions[prefix_key] = min(key.region, regions.get(prefix_key, key.region))
    proven = Counter((key, start_us, read_day(prefix)) for key, start_us, prefix in regions)
    best_days: dict[tuple[CellKey, int], tuple[int, str]] = {}
    for (key, start_us, day), count in proven.items():
        best_days[key, start_us] = max((count, day), best_days.get((key, start_us), (0, "")))
    return {
        (key, start_us, prefix): region
        for (key, start_us, prefix), region in regions.items()
        if read_day(prefix) == best_days[key, start_us][1]
    }


def _count_voters(
    key: CellKey, start_us: int, voters: Sequence[_Voter], regions: Mapping[PrefixKey, str]
) -> Count:
    votes = [decide_majority(v.counts) for v in voters]
    networks = _network_votes(voters, votes)
    vantages = _count_states(votes)
    seniors = [v for v in voters if v.is_established]
    if len(seniors) == len(voters):
        senior_vantages = vantages
        senior_networks = networks
    else:
        senior_votes = [vote for v, vote in zip(voters, votes, strict=True) if v.is_established]
        senior_vantages = _count_states(senior_votes)
        senior_networks = _network_votes(seniors, senior_votes)
    home_key = key._replace(region="")
    lines = {v.last_seen[1] for v in seniors}
    country, region, asn, access, service = key
    return Count(
        country=country,
        region=region,
        asn=asn,
        access=access,
        service=service,
        start_us=start_us,
        vantages=vantages,
        networks=networks,
        established_vantages=senior_vantages,
        established_networks=senior_networks,
        persons=sum([regions.get((home_key, start_us, line)) == region for line in lines]),
        causes=_count_causes(voters, votes),
    )


def _count_states(states: Iterable[VerdictState]) -> dict[VerdictState, int]:
    """Count as a Counter does, which takes longer to make than the few states of most cells."""
    counts: dict[VerdictState, int] = {}
    for state in states:
        counts[state] = counts.get(state, 0) + 1
    return counts


def _count_causes(voters: Sequence[_Voter], votes: Sequence[VerdictState]) -> Causes:
    """Count what is behind troubles; most cells have none."""
    pairs = list(zip(voters, votes, strict=True))
    troubles = [(vote, *v.cause) for v, vote in pairs if vote in TROUBLES]
    causes: Causes = Counter(troubles) if troubles else Counter()
    if any(v.functions for v in voters):
        causes += count_partial(
            PartialVote(v.last_seen[1], vote, v.is_established, v.list_blocked_functions())
            for v, vote in pairs
        )
    return causes


def _network_votes(
    voters: Sequence[_Voter], vantage_votes: Sequence[VerdictState]
) -> dict[VerdictState, int]:
    """Count one vote per network prefix; vantages without a prefix share one vote."""
    by_network: dict[str, list[VerdictState]] = {}
    for voter, vote in zip(voters, vantage_votes, strict=True):
        by_network.setdefault(voter.last_seen[1], []).append(vote)
    return _count_states(
        votes[0] if len(votes) == 1 else decide_majority(_count_states(votes))
        for votes in by_network.values()
    )
