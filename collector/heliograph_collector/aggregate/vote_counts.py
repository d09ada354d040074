"""Count the votes of vantages by cell and bin: one vote per vantage and per network. Pure.

Votes, or the single verdicts of few, are counted here; of many verdicts the engine counts the votes
(`store/vote_queries.py`, which states the rule of the majority for all).
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from heliograph.units import SECOND_US
from heliograph_collector.aggregate.cell_state import TROUBLES, most_common_cause
from heliograph_collector.model.line_names import read_day
from heliograph_collector.model.records import Count, VerdictState, Vote
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.heard_votes import TIME, VerdictRow, merge_place, select_heard
from heliograph_collector.store.partial_votes import (
    Causes,
    PartialVote,
    count_partial,
    split_functions,
)
from heliograph_collector.store.vote_queries import STATES, find_majority

_ESTABLISHED = Seniority.ESTABLISHED.value
_REACHABLE = STATES.index(VerdictState.REACHABLE)
_POSITIONS = {state.value: position for position, state in enumerate(STATES)}
_POSITIONS[VerdictState.PARTIAL.value] = _REACHABLE


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
_HomeKey = tuple[str, int, str, str, int]  # a cell without its region, and a bin
_Voters = Mapping[str, "_Voter"]  # by pseudonym


class _Voter:
    """One vantage: its counts, its causes, and the network of its latest vote."""

    __slots__ = ("_causes", "counts", "functions", "is_established", "last_seen")

    def __init__(self) -> None:
        self.counts = [0, 0, 0, 0]  # in the order of STATES
        self._causes: dict[Sequence[object], Counter[tuple[str, str]]] | None = None
        self.functions: Counter[str] | None = None  # of partial verdicts; most have none
        self.last_seen = (0, "")  # time, line
        self.is_established = False

    def add(self, vote: Vote) -> None:
        self.is_established |= vote.seniority is Seniority.ESTABLISHED
        self.last_seen = max(self.last_seen, (vote.start_us, vote.prefix))
        numbers = (vote.reachable, vote.blocked, vote.down, vote.unknown)
        self.counts = [n + more for n, more in zip(self.counts, numbers, strict=True)]
        if vote.blocked + vote.down:
            self._add_cause((), (vote.layer, vote.method), vote.blocked + vote.down)
        if vote.partial:
            self.functions = self.functions or Counter()
            self.functions[vote.function] += vote.partial

    def add_verdict(self, row: VerdictRow) -> None:
        at_us, _, line, seniority, state, layer, method, function = row[TIME:]
        self.counts[_POSITIONS[state]] += 1
        self.last_seen = max(self.last_seen, (at_us, line))
        if seniority == _ESTABLISHED:
            self.is_established = True
        if state in TROUBLES:
            self._add_cause(row[:TIME], (layer, method), 1)
        elif state == VerdictState.PARTIAL:
            self.functions = self.functions or Counter()
            self.functions[function] += 1

    def _add_cause(self, part: Sequence[object], cause: tuple[str, str], number: int) -> None:
        self._causes = self._causes or {}
        self._causes.setdefault(part, Counter())[cause] += number

    def list_blocked_functions(self) -> tuple[str, ...]:
        """List the functions that most of the verdicts find blocked, in their commonest form."""
        counts = self.functions
        if counts is None or 2 * counts.total() <= self.counts[_REACHABLE]:
            return ()
        if find_majority(self.counts) is not VerdictState.REACHABLE:
            return ()
        return split_functions(min(counts, key=lambda names: (-counts[names], names)))

    @property
    def cause(self) -> tuple[str, str]:
        """The commonest cause; of merged places, that of the place with most failures."""
        if not self._causes:
            return ("", "")
        parts = [(-part.total(), *most_common_cause(part)) for part in self._causes.values()]
        _, layer, method = min(parts)
        return layer, method


def count_votes(votes: Iterable[Vote], since_us: int, until_us: int, bin_s: int) -> list[Count]:
    """Count the votes of each cell in each bin of [since, until)."""
    bin_us = bin_s * SECOND_US
    voters_by_cell: defaultdict[tuple[CellKey, int], defaultdict[str, _Voter]]
    voters_by_cell = defaultdict(_no_voters)
    for vote in votes:
        if since_us <= vote.start_us < until_us:
            key = CellKey(vote.country, vote.region, vote.asn, vote.access, vote.service)
            voters_by_cell[key, vote.start_us // bin_us * bin_us][vote.pseudonym].add(vote)
    return _count_cells(voters_by_cell)


def count_verdicts(
    rows: Sequence[VerdictRow],
    since_us: int,
    until_us: int,
    bin_s: int,
    merged_fields: Collection[str] = (),
) -> list[Count]:
    """Count single verdicts as `count_votes` counts the votes of `tally_votes`."""
    bin_us = bin_s * SECOND_US
    voters_by_cell: defaultdict[tuple[CellKey, int], defaultdict[str, _Voter]]
    voters_by_cell = defaultdict(_no_voters)
    places = {row[:TIME] for row in rows}  # fewer by far than the rows
    keys = {place: CellKey(*merge_place(place, merged_fields)) for place in places}
    for row in select_heard(rows, bin_s):
        start_us = row[TIME] // bin_us * bin_us
        if since_us <= start_us < until_us:
            voters_by_cell[keys[row[:TIME]], start_us][row[TIME + 1]].add_verdict(row)
    return _count_cells(voters_by_cell)


def _no_voters() -> defaultdict[str, _Voter]:
    return defaultdict(_Voter)


def _count_cells(voters_by_cell: Mapping[tuple[CellKey, int], _Voters]) -> list[Count]:
    homes = _list_line_regions(voters_by_cell)
    return [
        _count_voters(key, start_us, list(voters.values()), homes[_find_home(key, start_us)])
        for (key, start_us), voters in voters_by_cell.items()
    ]


def _find_home(key: CellKey, start_us: int) -> _HomeKey:
    return key.country, key.asn, key.access, key.service, start_us


def _list_line_regions(
    voters_by_cell: Mapping[tuple[CellKey, int], _Voters],
) -> dict[_HomeKey, dict[str, str]]:
    """Return the one region of each line: the first that established vantages declare.

    Regions are the vantages' own words, so keys of one line could claim to be in many. Of names for
    several days, only those of the day that has most in the network count.
    """
    homes: defaultdict[_HomeKey, dict[str, str]] = defaultdict(dict)
    for (key, start_us), voters in voters_by_cell.items():
        regions = homes[_find_home(key, start_us)]
        for voter in voters.values():
            if voter.is_established:
                line = voter.last_seen[1]
                regions[line] = min(key.region, regions.get(line, key.region))
    return {home: _select_best_day(regions) for home, regions in homes.items()}


def _select_best_day(regions: dict[str, str]) -> dict[str, str]:
    days = Counter(map(read_day, regions))
    if len(days) <= 1:
        return regions
    _, best = max((number, day) for day, number in days.items())
    return {line: region for line, region in regions.items() if read_day(line) == best}


def _count_voters(
    key: CellKey, start_us: int, voters: Sequence[_Voter], regions: Mapping[str, str]
) -> Count:
    votes = [find_majority(v.counts) for v in voters]
    vantages = _count_states(votes)
    networks = _network_votes(voters, votes, vantages)
    seniors = [v for v in voters if v.is_established]
    if len(seniors) == len(voters):
        senior_vantages = vantages
        senior_networks = networks
    else:
        senior_votes = [vote for v, vote in zip(voters, votes, strict=True) if v.is_established]
        senior_vantages = _count_states(senior_votes)
        senior_networks = _network_votes(seniors, senior_votes, senior_vantages)
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
        persons=sum([regions.get(line) == region for line in lines]),
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
    voters: Sequence[_Voter],
    vantage_votes: Sequence[VerdictState],
    vantages: dict[VerdictState, int],
) -> dict[VerdictState, int]:
    """Count one vote per network prefix; vantages without a prefix share one vote."""
    if len({voter.last_seen[1] for voter in voters}) == len(voters):
        return vantages
    by_network: defaultdict[str, list[VerdictState]] = defaultdict(list)
    for voter, vote in zip(voters, vantage_votes, strict=True):
        by_network[voter.last_seen[1]].append(vote)
    return _count_states([_join_votes(votes) for votes in by_network.values()])


def _join_votes(votes: Sequence[VerdictState]) -> VerdictState:
    return votes[0] if len(votes) == 1 else find_majority([votes.count(state) for state in STATES])
