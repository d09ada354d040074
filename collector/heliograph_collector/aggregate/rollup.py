"""Roll up votes into cells: one vote per vantage and per network. Pure.

Rows of votes are counted here (`count_votes`); a long window is counted by the engine instead
(`store/vote_queries.py`, which states the rule of the majority for both). Everything that follows
from the counts, as the thresholds and the confidence, is here alone.

A cell is (country, region, ASN, access, service) in one time bin. Every cell of the window has a
row in every bin, including bins without a measurement. `disclosure` decides what is public.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from heliograph_collector.aggregate.cell_state import (
    TROUBLES,
    CellVerdict,
    StateCounts,
    judge_cell,
    most_common_cause,
)
from heliograph_collector.aggregate.wider_scopes import widen_silences
from heliograph_collector.model.line_names import read_day
from heliograph_collector.model.records import Cell, Count, SilenceCount, VerdictState, Vote
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.partial_votes import PartialVote, count_partial, split_functions
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


class SilentCount(NamedTuple):
    """Silent vantages of a place: all, and the established ones as persons (`Cell`)."""

    vantages: int = 0
    established: int = 0

    def largest(self, other: "SilentCount") -> "SilentCount":
        return SilentCount(
            max(self.vantages, other.vantages), max(self.established, other.established)
        )


NOBODY_SILENT = SilentCount()
NO_VERDICT = CellVerdict(VerdictState.UNKNOWN, 0.0, "", "")


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
        return split_functions(min(counts, key=lambda names: (-counts[names], names)))

    @property
    def cause(self) -> tuple[str, str]:
        return most_common_cause(self.causes) if self.causes else ("", "")


def roll_up(
    votes: Iterable[Vote],
    silences: Iterable[SilenceCount],
    since_us: int,
    until_us: int,
    bin_s: int,
) -> list[Cell]:
    """Return a row for each cell with data in [since, until) and each bin, in order."""
    counts = count_votes(votes, since_us, until_us, bin_s)
    return _cells_in_window(counts, silences, since_us, until_us, bin_s)


def roll_up_bins(
    counts: Iterable[Count],
    silences: Iterable[SilenceCount],
    since_us: int,
    until_us: int,
    bin_s: int,
) -> list[Cell]:
    """Return the cells to store; a bin depends only on data within it.

    `fill_bins` adds the rows without votes.
    """
    bin_us = bin_s * 1_000_000
    counts_by_start: defaultdict[int, list[Count]] = defaultdict(list)
    for count in counts:
        counts_by_start[count.start_us // bin_us * bin_us].append(count)
    silences_by_start: defaultdict[int, list[SilenceCount]] = defaultdict(list)
    for silence in silences:
        silences_by_start[silence.start_us // bin_us * bin_us].append(silence)
    return [
        cell
        for start_us in sorted(counts_by_start.keys() | silences_by_start.keys())
        if since_us <= start_us < until_us
        for cell in _cells_in_window(
            counts_by_start[start_us],
            silences_by_start[start_us],
            start_us,
            start_us + bin_us,
            bin_s,
        )
    ]


def fill_bins(
    stored: Iterable[Cell], since_us: int, until_us: int, bin_s: int, *, empty: bool = True
) -> list[Cell]:
    """Extend the stored cells of a window to the rows of `roll_up`.

    Each key gets a row in every bin. Rows without votes or silences are included only if `empty`.
    """
    bin_us = bin_s * 1_000_000
    cells_by_bin = {
        (cell_key(c), c.start_us): c for c in stored if since_us <= c.start_us < until_us
    }
    silent_by_bin: defaultdict[tuple[PlaceKey, int], SilentCount] = defaultdict(SilentCount)
    for (key, start_us), cell in cells_by_bin.items():
        if cell.silent:
            place_bin = (key.place, start_us)
            silent = SilentCount(cell.silent, cell.counted_silent)
            silent_by_bin[place_bin] = silent_by_bin[place_bin].largest(silent)
    voted_cells = {cell_bin: cell for cell_bin, cell in cells_by_bin.items() if cell.vantages}
    return [
        voted_cells.get((key, start_us))
        or build_cell(
            key, start_us, bin_s, None, silent_by_bin.get((key.place, start_us), NOBODY_SILENT)
        )
        for key in sorted(_cell_keys(voted_cells, silent_by_bin))
        for start_us in range(since_us // bin_us * bin_us, until_us, bin_us)
        if empty or (key, start_us) in voted_cells or (key.place, start_us) in silent_by_bin
    ]


def changed_cells(stored: Iterable[Cell], cells: Iterable[Cell]) -> list[Cell]:
    """Return the rows to write so that `stored` becomes `cells`, with emptied ones."""
    stored_by_bin = {(cell_key(c), c.start_us): c for c in stored}
    cells_by_bin = {(cell_key(c), c.start_us): c for c in cells}
    emptied = [
        empty_cell(c)
        for cell_bin, c in stored_by_bin.items()
        if cell_bin not in cells_by_bin and person_count(c)
    ]
    return [c for cell_bin, c in cells_by_bin.items() if stored_by_bin.get(cell_bin) != c] + emptied


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
    senior_votes = [decide_majority(v.counts) for v in seniors]
    causes = zip(votes, (v.cause for v in voters), strict=True)
    return Count(
        **key._asdict(),
        start_us=start_us,
        vantages=Counter(votes),
        networks=_network_votes(voters, votes),
        established_vantages=Counter(senior_votes),
        established_networks=_network_votes(seniors, senior_votes),
        persons=sum(
            regions.get((key._replace(region=""), start_us, prefix)) == key.region
            for prefix in {v.last_seen[1] for v in seniors}
        ),
        causes=Counter((s, *cause) for s, cause in causes if s in TROUBLES)
        + count_partial(
            PartialVote(v.last_seen[1], vote, v.is_established, v.list_blocked_functions())
            for v, vote in zip(voters, votes, strict=True)
        ),
    )


def _cells_in_window(
    counts: Iterable[Count],
    silences: Iterable[SilenceCount],
    since_us: int,
    until_us: int,
    bin_s: int,
) -> list[Cell]:
    bin_us = bin_s * 1_000_000
    counts_by_bin = {(cell_key(count), count.start_us): count for count in counts}
    silent_by_bin = _silent_by_bin(silences, since_us, until_us, bin_us)
    return [
        build_cell(
            key,
            start_us,
            bin_s,
            counts_by_bin.get((key, start_us)),
            silent_by_bin.get((key.place, start_us), NOBODY_SILENT),
        )
        for key in sorted(_cell_keys(counts_by_bin, silent_by_bin))
        for start_us in range(since_us // bin_us * bin_us, until_us, bin_us)
    ]


def _silent_by_bin(
    silences: Iterable[SilenceCount], since_us: int, until_us: int, bin_us: int
) -> Mapping[tuple[PlaceKey, int], SilentCount]:
    """Count silent vantages by place and bin, as the maximum of the finer bins.

    A sum would count a vantage once for each finer bin in which it is silent.
    """
    silent_by_bin: defaultdict[tuple[PlaceKey, int], SilentCount] = defaultdict(SilentCount)
    for silence in widen_silences(silences):
        if since_us <= silence.start_us < until_us:
            place_bin = (_place_key(silence), silence.start_us // bin_us * bin_us)
            silent = SilentCount(silence.vantages, silence.counted)
            silent_by_bin[place_bin] = silent_by_bin[place_bin].largest(silent)
    return silent_by_bin


def _cell_keys(
    voted_bins: Iterable[tuple[CellKey, int]], silent_bins: Iterable[tuple[PlaceKey, int]]
) -> set[CellKey]:
    """Return the keys with votes, and service "" for places with silence only."""
    keys = {key for key, _ in voted_bins}
    voted_places = {key.place for key in keys}
    return keys | {
        CellKey(*place_key, "") for place_key, _ in silent_bins if place_key not in voted_places
    }


def build_cell(
    key: CellKey,
    start_us: int,
    bin_s: int,
    count: Count | None,
    silent: SilentCount = NOBODY_SILENT,
) -> Cell:
    """Build a cell from the votes in it; None for no votes."""
    vantages = Counter({} if count is None else count.vantages)
    verdict = NO_VERDICT if count is None else judge_cell(count)
    causes = {} if count is None else count.causes
    return Cell(
        **key._asdict(),
        start_us=start_us,
        bin_s=bin_s,
        vantages=vantages.total(),
        reachable=vantages[VerdictState.REACHABLE],
        blocked=vantages[VerdictState.BLOCKED],
        down=vantages[VerdictState.DOWN],
        unknown=vantages[VerdictState.UNKNOWN],
        silent=silent.vantages,
        state=verdict.state,
        confidence=verdict.confidence,
        layer=verdict.layer,
        method=verdict.method,
        prefixes=0 if count is None else sum(count.networks.values()),
        established=0 if count is None else count.persons,
        silent_established=silent.established,
        layers=sum_layers((layer, n) for (s, layer, _), n in causes.items() if s in TROUBLES),
    )


def sum_layers(counts: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    layers: Counter[str] = Counter()
    for layer, n in counts:
        layers[layer] += n
    return tuple(sorted(layers.items()))


def _network_votes(voters: Sequence[_Voter], vantage_votes: Sequence[VerdictState]) -> StateCounts:
    """Count one vote per network prefix; vantages without a prefix share one vote."""
    votes_by_network: defaultdict[str, StateCounts] = defaultdict(Counter)
    for voter, vote in zip(voters, vantage_votes, strict=True):
        votes_by_network[voter.last_seen[1]][vote] += 1
    return Counter(decide_majority(network_votes) for network_votes in votes_by_network.values())


def empty_cell(cell: Cell) -> Cell:
    """Return the row without its numbers."""
    return build_cell(cell_key(cell), cell.start_us, cell.bin_s, None)


def person_count(cell: Cell) -> int:
    """Return a lower bound: silent vantages may have measured earlier in the bin."""
    return max(cell.vantages, cell.silent)


def cell_key(cell: Cell | Count) -> CellKey:
    return CellKey(cell.country, cell.region, cell.asn, cell.access, cell.service)


def _place_key(silence: SilenceCount) -> PlaceKey:
    return (silence.country, silence.region, silence.asn, silence.access)


def blank_cell(key: CellKey, bin_s: int) -> Cell:
    """Return a row without measurements."""
    return build_cell(key, 0, bin_s, None)
