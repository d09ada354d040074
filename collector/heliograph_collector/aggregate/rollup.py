"""Roll up votes into cells: one vote per vantage and per network. Pure.

Everything that follows from the counts (`vote_counts`, or the engine's), as the thresholds and the
confidence, is here alone.

A cell is (country, region, ASN, access, service) in one time bin. Every cell of the window has a
row in every bin, including bins without a measurement. `disclosure` decides what is public.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from heliograph_collector.aggregate.cell_state import TROUBLES, CellVerdict, judge_cell
from heliograph_collector.aggregate.vote_counts import CellKey, PlaceKey, count_votes
from heliograph_collector.aggregate.wider_scopes import widen_silences
from heliograph_collector.model.records import Cell, Count, SilenceCount, VerdictState, Vote


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


def fill_bins(stored: Iterable[Cell], since_us: int, until_us: int, bin_s: int) -> list[Cell]:
    """Extend a window's stored cells to the rows of `roll_up`: each key in every bin."""
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
    vantages = count.vantages if count else {}
    causes = count.causes if count else {}
    verdict = judge_cell(count) if count else NO_VERDICT
    layers = ((layer, n) for (s, layer, _), n in causes.items() if s in TROUBLES)
    return Cell(
        country=key.country,
        region=key.region,
        asn=key.asn,
        access=key.access,
        service=key.service,
        start_us=start_us,
        bin_s=bin_s,
        vantages=sum(vantages.values()),
        reachable=vantages.get(VerdictState.REACHABLE, 0),
        blocked=vantages.get(VerdictState.BLOCKED, 0),
        down=vantages.get(VerdictState.DOWN, 0),
        unknown=vantages.get(VerdictState.UNKNOWN, 0),
        silent=silent.vantages,
        state=verdict.state,
        confidence=verdict.confidence,
        layer=verdict.layer,
        method=verdict.method,
        prefixes=sum(count.networks.values()) if count else 0,
        established=count.persons if count else 0,
        silent_established=silent.established,
        layers=sum_layers(layers) if causes else (),
    )


def sum_layers(counts: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    layers: Counter[str] = Counter()
    for layer, n in counts:
        layers[layer] += n
    return tuple(sorted(layers.items()))


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
