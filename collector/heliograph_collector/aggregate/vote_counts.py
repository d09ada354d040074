"""Count votes by cell and bin: one for each vantage and each network. Pure.

Votes, or the single verdicts of few, are counted here; of many verdicts the engine counts the votes
(`store/vote_queries.py`, which states the rule of the majority for all).
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from heliograph.units import SECOND_US
from heliograph_collector.aggregate.cell_state import TROUBLES, most_common_cause
from heliograph_collector.model.line_names import read_day
from heliograph_collector.model.records import Count, VerdictState, Vote
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.heard_votes import TIME, VerdictRow, merge_places, select_heard
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


class _VantageVote(NamedTuple):
    """Vote of one vantage in a cell and bin."""

    state: VerdictState
    line: str  # of its latest vote
    is_established: bool
    cause: tuple[str, str]  # layer and method of a trouble
    functions: tuple[str, ...]  # that it finds blocked


_Votes = Mapping[tuple[CellKey, int], Sequence[_VantageVote]]  # by cell and bin


class _Voter:
    """Vantage with several verdicts: their counts and causes, and the latest network."""

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
        """List the functions that most verdicts find blocked, in their commonest form."""
        counts = self.functions
        if counts is None or 2 * counts.total() <= self.counts[_REACHABLE]:
            return ()
        if find_majority(self.counts) is not VerdictState.REACHABLE:
            return ()
        return split_functions(min(counts, key=lambda names: (-counts[names], names)))

    def decide(self) -> _VantageVote:
        return _VantageVote(
            find_majority(self.counts),
            self.last_seen[1],
            self.is_established,
            self.find_cause(),
            self.list_blocked_functions(),
        )

    def find_cause(self) -> tuple[str, str]:
        """Return the commonest cause; of merged places, that with the most failures."""
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
    return _count_cells(
        {cell: [v.decide() for v in voters.values()] for cell, voters in voters_by_cell.items()}
    )


def count_verdicts(
    rows: Sequence[VerdictRow],
    since_us: int,
    until_us: int,
    bin_s: int,
    merged_fields: Collection[str] = (),
) -> list[Count]:
    """Count single verdicts as `count_votes` counts the votes of `tally_votes`."""
    bin_us = bin_s * SECOND_US
    rows_by_cell: defaultdict[tuple[tuple[Any, ...], int], list[VerdictRow]] = defaultdict(list)
    heard = select_heard(rows, bin_s)
    for row, place in zip(heard, merge_places(heard, merged_fields), strict=True):
        start_us = row[TIME] // bin_us * bin_us
        if since_us <= start_us < until_us:
            rows_by_cell[place, start_us].append(row)
    return _count_cells(
        {
            (CellKey._make(place), start_us): _list_votes(cell_rows)
            for (place, start_us), cell_rows in rows_by_cell.items()
        }
    )


def _no_voters() -> defaultdict[str, _Voter]:
    return defaultdict(_Voter)


def _list_votes(rows: Sequence[VerdictRow]) -> list[_VantageVote]:
    """List the vote of each vantage in one cell and bin.

    Most vantages have a single verdict there.
    """
    by_vantage: defaultdict[str, list[VerdictRow]] = defaultdict(list)
    for row in rows:
        by_vantage[row[TIME + 1]].append(row)
    return [
        _read_vote(own_rows[0]) if len(own_rows) == 1 else _join_verdicts(own_rows)
        for own_rows in by_vantage.values()
    ]


def _read_vote(row: VerdictRow) -> _VantageVote:
    _, _, line, seniority, state, layer, method, function = row[TIME:]
    return _VantageVote(
        STATES[_POSITIONS[state]],
        line,
        seniority == _ESTABLISHED,
        (layer, method) if state in TROUBLES else ("", ""),
        split_functions(function) if state == VerdictState.PARTIAL else (),
    )


def _join_verdicts(rows: Sequence[VerdictRow]) -> _VantageVote:
    voter = _Voter()
    for row in rows:
        voter.add_verdict(row)
    return voter.decide()


def _count_cells(votes_by_cell: _Votes) -> list[Count]:
    homes = _list_line_regions(votes_by_cell)
    return [
        _count_votes(key, start_us, votes, homes[_find_home(key, start_us)])
        for (key, start_us), votes in votes_by_cell.items()
    ]


def _find_home(key: CellKey, start_us: int) -> _HomeKey:
    return key.country, key.asn, key.access, key.service, start_us


def _list_line_regions(votes_by_cell: _Votes) -> dict[_HomeKey, dict[str, str]]:
    """Return the one region of each line: the first that established vantages declare.

    Regions are the vantages' own words, so keys of one line could claim to be in many. Of names for
    several days, only those of the day that has most in the network count.
    """
    homes: defaultdict[_HomeKey, dict[str, str]] = defaultdict(dict)
    for (key, start_us), votes in votes_by_cell.items():
        regions = homes[_find_home(key, start_us)]
        for vote in votes:
            if vote.is_established:
                regions[vote.line] = min(key.region, regions.get(vote.line, key.region))
    return {home: _select_best_day(regions) for home, regions in homes.items()}


def _select_best_day(regions: dict[str, str]) -> dict[str, str]:
    days = Counter(map(read_day, regions))
    if len(days) <= 1:
        return regions
    _, best = max((number, day) for day, number in days.items())
    return {line: region for line, region in regions.items() if read_day(line) == best}


def _count_votes(
    key: CellKey, start_us: int, votes: Sequence[_VantageVote], regions: Mapping[str, str]
) -> Count:
    vantages = _count_states([vote.state for vote in votes])
    networks = _network_votes(votes, vantages)
    seniors = [vote for vote in votes if vote.is_established]
    if len(seniors) == len(votes):
        senior_vantages = vantages
        senior_networks = networks
    else:
        senior_vantages = _count_states([vote.state for vote in seniors])
        senior_networks = _network_votes(seniors, senior_vantages)
    lines = {vote.line for vote in seniors}
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
        causes=_count_causes(votes),
    )


def _count_states(states: Iterable[VerdictState]) -> dict[VerdictState, int]:
    """Count states in a dictionary.

    A Counter takes longer to make than to count the few states of most cells.
    """
    counts: dict[VerdictState, int] = {}
    for state in states:
        counts[state] = counts.get(state, 0) + 1
    return counts


def _count_causes(votes: Sequence[_VantageVote]) -> Causes:
    """Count the causes of troubles; most cells have none."""
    troubles = [(vote.state, *vote.cause) for vote in votes if vote.state in TROUBLES]
    causes: Causes = Counter(troubles) if troubles else Counter()
    if any(vote.functions for vote in votes):
        causes += count_partial(
            PartialVote(vote.line, vote.state, vote.is_established, vote.functions)
            for vote in votes
        )
    return causes


def _network_votes(
    votes: Sequence[_VantageVote], vantages: dict[VerdictState, int]
) -> dict[VerdictState, int]:
    """Count one vote per network prefix; vantages without a prefix share one vote."""
    if len({vote.line for vote in votes}) == len(votes):
        return vantages
    by_network: defaultdict[str, list[VerdictState]] = defaultdict(list)
    for vote in votes:
        by_network[vote.line].append(vote.state)
    return _count_states([_join_votes(states) for states in by_network.values()])


def _join_votes(votes: Sequence[VerdictState]) -> VerdictState:
    return votes[0] if len(votes) == 1 else find_majority([votes.count(state) for state in STATES])
