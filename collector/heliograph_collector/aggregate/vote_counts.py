"""Count the votes of vantages by cell and bin: one vote per vantage and per network. Pure.

Rows of votes are counted here; of many the engine counts them (`store/vote_queries.py`, which
states the rule of the majority for both).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from heliograph_collector.aggregate.cell_state import TROUBLES, StateCounts, most_common_cause
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

    counts: dict[VerdictState, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    causes: Counter[tuple[str, str]] | None = None  # most voters have none, and there are many
    functions: Counter[str] | None = None  # that partial verdicts name; as many as those verdicts
    last_seen: tuple[int, str] = (0, "")
    is_established: bool = False

    def add(self, vote: Vote) -> None:
        self.is_established |= vote.seniority is Seniority.ESTABLISHED
        self.last_seen = max(self.last_seen, (vote.start_us, vote.prefix))
        self.counts[VerdictState.REACHABLE] += vote.reachable
        self.counts[VerdictState.BLOCKED] += vote.blocked
        self.counts[VerdictState.DOWN] += vote.down
        self.counts[VerdictState.UNKNOWN] += vote.unknown
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
        for voter in voters.values():
            if voter.is_established:
                prefix_key = (key._replace(region=""), start_us, voter.last_seen[1])
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
    seniors = [v for v in voters if v.is_established]
    senior_votes = [vote for v, vote in zip(voters, votes, strict=True) if v.is_established]
    networks = _network_votes(voters, votes)
    home_key = key._replace(region="")
    return Count(
        **key._asdict(),
        start_us=start_us,
        vantages=Counter(votes),
        networks=networks,
        established_vantages=Counter(senior_votes),
        established_networks=networks
        if len(seniors) == len(voters)
        else _network_votes(seniors, senior_votes),
        persons=sum(
            regions.get((home_key, start_us, prefix)) == key.region
            for prefix in {v.last_seen[1] for v in seniors}
        ),
        causes=_count_causes(voters, votes),
    )


def _count_causes(voters: Sequence[_Voter], votes: Sequence[VerdictState]) -> Causes:
    """Count what is behind troubles; most cells have none."""
    pairs = list(zip(voters, votes, strict=True))
    causes: Causes = Counter((vote, *v.cause) for v, vote in pairs if vote in TROUBLES)
    if any(v.functions for v in voters):
        causes += count_partial(
            PartialVote(v.last_seen[1], vote, v.is_established, v.list_blocked_functions())
            for v, vote in pairs
        )
    return causes


def _network_votes(voters: Sequence[_Voter], vantage_votes: Sequence[VerdictState]) -> StateCounts:
    """Count one vote per network prefix; vantages without a prefix share one vote."""
    by_network: dict[str, list[VerdictState]] = {}
    for voter, vote in zip(voters, vantage_votes, strict=True):
        by_network.setdefault(voter.last_seen[1], []).append(vote)
    return Counter(
        votes[0] if len(votes) == 1 else decide_majority(Counter(votes))
        for votes in by_network.values()
    )
