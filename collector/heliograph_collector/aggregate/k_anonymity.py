"""k-anonymity of the feed: merge, withhold or blank the cells of few vantages.

Pure. Every published cell passes it: the feed, the dump, the timelines on the pages.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter

from heliograph_collector.aggregate.rollup import (
    CellKey,
    build_cell,
    cell_key,
    empty_cell,
    person_count,
    sum_layers,
)
from heliograph_collector.model.records import Cell, Count, VerdictState

INSUFFICIENT = "insufficient"  # the method of a cell that hides a number below k


def merge_small_cells(cells: Sequence[Cell], k: int) -> list[Cell]:
    """Merge cells of fewer than `k` vantages into their country's other networks.

    The merged cell (ASN 0, no access) must not be under `k`, or a reader could subtract: if it is,
    the smallest publishable cells join it. A country under `k` becomes `insufficient`. An empty row
    stays if another bin shows its cell. If `k` vantages or more fell silent and fewer than `k`
    still measure, the row shows the silence without a verdict, because the verdict would be that of
    the few. Confidence is rounded down to tenths: the exact value would reveal the number of
    networks and the difference of nested cells.
    """
    shown_keys = {cell_key(c) for c in cells if person_count(c) >= k}
    by_bin = attrgetter("country", "service", "start_us", "bin_s")
    merged = [
        cell
        for _, group in groupby(sorted(cells, key=by_bin), key=by_bin)
        for cell in _merge_bin(list(group), k, shown_keys)
    ]
    return merged if k <= 1 else [_hide_small_numbers(c, k) for c in merged]


def fill_starts(
    blank: Cell, measured: Sequence[Cell], shown_cells: Sequence[Cell], starts: Iterable[int]
) -> list[Cell | None]:
    """Return a cell for each start; None where a measured cell may not be shown.

    If no bin may be shown, empty bins look like small ones. Otherwise a reader would learn the
    minutes in which the only volunteer of a network measured.
    """
    visible = {c.start_us: c for c in shown_cells if cell_key(c) == cell_key(blank)}
    is_published = any(c.vantages or c.silent for c in visible.values())
    busy = {c.start_us for c in measured if c.vantages} if is_published else set()
    rows: list[Cell | None] = []
    for start in starts:
        cell = visible.get(start)
        withheld = start in busy and (cell is None or not cell.vantages)
        rows.append(None if withheld else cell or replace(blank, start_us=start))
    return rows


def _merge_bin(group: Sequence[Cell], k: int, shown_keys: set[CellKey]) -> list[Cell]:
    """Merge the cells of one country, service and bin."""
    others = CellKey(group[0].country, "", 0, "", group[0].service)
    shown_cells: list[Cell] = []
    small_cells: list[Cell] = []
    for cell in group:
        is_kept = cell_key(cell) != others and _is_shown(cell, k, shown_keys)
        (shown_cells if is_kept else small_cells).append(cell)
    spare_cells = sorted(filter(person_count, shown_cells), key=_rank_size)
    while small_cells and 0 < sum(map(person_count, small_cells)) < k and spare_cells:
        small_cells.append(spare_cells.pop(0))
        shown_cells.remove(small_cells[-1])
    if not small_cells:
        return list(group)
    if (
        len(small_cells) == 1
        and cell_key(small_cells[0]) == others
        and person_count(small_cells[0]) >= k
    ):
        return [*small_cells, *shown_cells]
    return [_merge_cells(others, small_cells, k), *shown_cells]


def _rank_size(cell: Cell) -> tuple[int, CellKey]:
    return person_count(cell), cell_key(cell)


def _is_shown(cell: Cell, k: int, shown_keys: set[CellKey]) -> bool:
    persons = person_count(cell)
    return persons >= k or (persons == 0 and cell_key(cell) in shown_keys)


def _merge_cells(key: CellKey, small: Sequence[Cell], k: int) -> Cell:
    persons = sum(map(person_count, small))
    if persons < max(k, 1):
        template = replace(small[0], **key._asdict())
        return empty_cell(template, INSUFFICIENT if persons else "")
    counts = {state: sum(getattr(c, state.value) for c in small) for state in VerdictState}
    causes: Counter[tuple[VerdictState, str, str]] = Counter()
    for c in small:
        causes[c.state, c.layer, c.method] += c.vantages
    start_us = small[0].start_us
    count = Count(
        **key._asdict(), start_us=start_us, vantages=counts, networks=counts, causes=causes
    )
    merged = build_cell(key, start_us, small[0].bin_s, count, sum(c.silent for c in small))
    prefixes = sum(c.prefixes for c in small)
    return replace(
        merged,
        confidence=min(merged.confidence, _max_confidence(prefixes)),
        prefixes=prefixes,
        layers=sum_layers(pair for c in small for pair in c.layers),
    )


def _hide_small_numbers(cell: Cell, k: int) -> Cell:
    if 0 < cell.vantages < k:
        silence = replace(empty_cell(cell, INSUFFICIENT), silent=cell.silent)
        return replace(silence, vantages=cell.vantages, unknown=cell.vantages)
    return replace(cell, confidence=_floor_tenths(cell.confidence))


def _floor_tenths(confidence: float) -> float:
    """Round down to tenths, so that the result never exceeds the votes' confidence."""
    return round(confidence * 1_000) // 100 / 10


def _max_confidence(prefixes: int) -> float:
    """Return the confidence of this number of networks in full agreement."""
    return round(prefixes / (prefixes + 1), 3)
