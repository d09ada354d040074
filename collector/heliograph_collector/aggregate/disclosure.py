"""Disclosure: decide which cells the public may see. Pure; all public cells pass it.

Theory. Thresholds on single scopes do not suffice: a reader subtracts nested scopes. So no scope is
public by itself; all are sums of *atoms*. In each bin and service the persons of a country are
partitioned once:

    country ─┬─ network (ASN, access) of k or more ─┬─ region of k or more
             │                                      └─ rest: other regions and undeclared, k or more
             ├─ other networks together, if they are k or more (ASN 0, no access), split likewise
             └─ fewer than k: counted nowhere

1. Every atom has k persons or more, and every published scope is a union of atoms. So all that is
   won by adding and subtracting scopes is a union of atoms too: nobody, or k and more.
2. Those counted nowhere change nothing that is public: release(all) = release(those kept). So
   "nobody" and "too few" are the same answer, at each moment and between two of them.
3. A region is shown only with a rest of nobody or k and more; else the smallest shown region joins
   the rest. An undeclared region is in the rest, so the rest points at no region.
4. Counts are published in bands, and confidence is computed from the bands alone.
5. A wide bin reveals no more than its five-minute bins could hide: m bins of fewer than k each,
   without any one of them, hold (m - 1)(k - 1) vantages. Bins under five minutes need 2k persons,
   and have no other networks: whom they count must be counted in the five minutes too.
6. Votes and silences are two partitions. A silence has no service, and whether a place has votes
   depends on the window and the service that a reader asks for, so one partition of both would
   differ from question to question. A row of silence names a service only where its votes are
   released too.
7. The public changes at fixed instants, five minutes apart. It sees what had arrived at the last
   instant, in bins that were over then. So no cell appears or vanishes when a vantage joins or
   leaves; a bin that grows while it is read would show in which minute its k-th vantage came.

A person is a line (a /24 or /48) with an established vantage (`model.seniority`): keys are free,
two weeks and another line are not. The regions of one line are one person, and so are its types of
access, which its keys only declare. A line has another name every day, and a measurement the name
for the day on which it was made; so keys that upload on five days, or over midnight, are one person
in the bin that they measured in (`model.line_names`).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Any

from heliograph.units import SECOND_US
from heliograph_collector.aggregate.bands import band_floor, floor_tenths
from heliograph_collector.aggregate.cell_state import (
    CELL_THRESHOLDS,
    TROUBLES,
    decide_state,
    is_partial,
    list_functions,
    most_common_cause,
)
from heliograph_collector.aggregate.rollup import (
    SilentCount,
    build_cell,
    cell_key,
    sum_layers,
)
from heliograph_collector.model.records import Cell, VerdictState
from heliograph_collector.store.vote_queries import STATES

BIN_S = 300  # the narrowest bin for k persons, and the time between two instants; assumed
BIN_US = BIN_S * SECOND_US
FINE_FACTOR = 2  # times k in narrower bins; assumed
SETTLE_US = 30 * SECOND_US  # from the arrival of an envelope until its votes are stored; assumed
_STATES = STATES
_STATE_NAMES = [(state, state.value) for state in STATES]  # `value` is a slow property
_bin_of = attrgetter("country", "service", "start_us", "bin_s")
_place_of = attrgetter("country", "region", "asn", "access", "start_us", "bin_s")
_SCOPE = ("country", "region", "asn", "access", "service", "start_us")
_scope_of = attrgetter(*_SCOPE)


def find_instant(now_us: int, k: int) -> int:
    """Return the last instant of publication; now, if k is 1 and everything is public."""
    width_us = BIN_US
    return now_us if k <= 1 else (now_us - SETTLE_US) // width_us * width_us


def find_least(k: int, bin_s: int) -> int:
    """Return the persons that an atom needs in a bin."""
    return k * FINE_FACTOR if bin_s < BIN_S else k


def list_atom_fields(bin_s: int) -> tuple[str, ...]:
    """List the fields that all cells of an atom share.

    In wide bins other networks have one atom together.
    """
    return ("country", "service") if bin_s >= BIN_S else ("country", "service", "asn", "access")


@dataclass(frozen=True, slots=True)
class Disclosure:
    """The rule of what is public at an instant: k, and the services of the plan."""

    k: int
    services: Collection[str]
    now_us: int

    def release(self, cells: Iterable[Cell], merged_fields: Collection[str] = ()) -> list[Cell]:
        """Return the cells that the public may see, as sums over `merged_fields`.

        Args:
            cells: All cells of their countries, or of single networks; not of single regions.
            merged_fields: Names of place fields; none: the atoms themselves.
        """
        listed_cells = [c for c in cells if not c.service or c.service in self.services]
        if self.k <= 1:
            return _merge_cells(listed_cells, merged_fields)
        votes, silences = [
            [self._coarsen(c) for c in _merge_cells(self._list_atoms(part), merged_fields)]
            for part in (listed_cells, _list_silences(listed_cells))
        ]
        return _join_silences(votes, silences)

    def release_series(
        self,
        blank: Cell,
        cells: Iterable[Cell],
        starts: Iterable[int],
        merged_fields: Collection[str],
    ) -> list[Cell]:
        """Return one cell for each start: the public part of the scope of `blank`.

        The other cells of its network and country are needed too: they decide with it.
        """
        released = self.release(cells, merged_fields)
        key = cell_key(blank)
        # Silence has no service: it counts for every requested service.
        rows = {c.start_us: c for c in released if cell_key(c) == key._replace(service="")}
        rows |= {c.start_us: c for c in released if cell_key(c) == key}
        return [replace(rows.get(at, blank), service=blank.service, start_us=at) for at in starts]

    def _list_atoms(self, cells: Iterable[Cell]) -> list[Cell]:
        counted_cells = sorted((c for c in cells if c.counted), key=_bin_of)
        atoms: list[Cell] = []
        for (_, _, start_us, bin_s), group in groupby(counted_cells, key=_bin_of):
            limit = self._limit(start_us, bin_s)
            least = find_least(self.k, bin_s)
            members = list(group)
            is_large = sum(cell.counted for cell in members) >= least  # else no atom is
            if is_large and (limit is None or limit >= self.k):
                atoms += _split_country(members, least, has_others=bin_s >= BIN_S)
        return atoms

    def _limit(self, start_us: int, bin_s: int) -> int | None:
        """Return the largest number that a bin may reveal (theory 5); None for no limit."""
        width_us = max(bin_s, BIN_S) * SECOND_US
        if start_us // width_us * width_us + width_us > self.now_us:
            return 0
        return None if bin_s <= BIN_S else (bin_s // BIN_S - 1) * (self.k - 1)

    def _coarsen(self, cell: Cell) -> Cell:
        limit = self._limit(cell.start_us, cell.bin_s)
        names = ("vantages", "silent", *(state.value for state in _STATES))
        counts = {
            name: getattr(cell, name) if limit is None else min(limit, getattr(cell, name))
            for name in names
        }
        agreeing = cell.confidence * (cell.prefixes + 1)
        floor = band_floor(round(agreeing), self.k)
        confidence = floor / (band_floor(cell.vantages, self.k) + 1)
        return replace(
            cell, **counts, confidence=floor_tenths(min(confidence, CELL_THRESHOLDS.most))
        )


def _split_country(cells: Sequence[Cell], k: int, *, has_others: bool) -> list[Cell]:
    """Partition a country's cells of one service and bin into atoms of k persons."""
    large: list[list[Cell]] = []
    small: list[Cell] = []
    for network in _group_cells(cells, "asn", "access"):
        if _persons(network) >= k:
            large.append(network)
        else:
            small += network
    atoms = [atom for network in large for atom in _split_regions(network, k)]
    if has_others and _persons(small) >= k:
        atoms += [replace(atom, asn=0, access="") for atom in _split_regions(small, k)]
    return atoms


def _split_regions(cells: Sequence[Cell], k: int) -> list[Cell]:
    """Partition a network of k or more persons into regions, with an unnamed rest."""
    regions = _group_cells(cells, "region")
    large_regions = [r for r in regions if r[0].region and _persons(r) >= k]
    large_regions.sort(key=_persons, reverse=True)
    rest_cells = [cell for region in regions if region not in large_regions for cell in region]
    while large_regions and 0 < _persons(rest_cells) < k:
        rest_cells += large_regions.pop()
    rest = [_sum_cells(rest_cells, region="")] if rest_cells else []
    return [_sum_cells(region) for region in large_regions] + rest


def _persons(cells: Iterable[Cell]) -> int:
    """Return a lower bound of the persons.

    One line may declare each of its types of access.
    """
    by_access: dict[tuple[int, str], int] = {}
    for cell in cells:
        key = (cell.asn, cell.access)
        by_access[key] = by_access.get(key, 0) + cell.counted
    by_network: dict[int, int] = {}
    for (asn, _), count in by_access.items():
        by_network[asn] = max(count, by_network.get(asn, 0))
    return sum(by_network.values())


def _list_silences(cells: Iterable[Cell]) -> list[Cell]:
    """Return the silence of each place: its persons, without a service."""
    largest: dict[object, Cell] = {}
    for cell in cells:
        if cell.counted_silent:  # of no persons nothing is released
            place = _place_of(cell)
            largest[place] = max(cell, largest.get(place, cell), key=attrgetter("counted_silent"))
    return [_build_silence(cell) for cell in largest.values()]


def _build_silence(cell: Cell) -> Cell:
    persons = cell.counted_silent
    key = cell_key(cell)._replace(service="")
    silence = build_cell(key, cell.start_us, cell.bin_s, None, SilentCount(persons, persons))
    return replace(silence, established=persons)


def _join_silences(votes: Sequence[Cell], silences: Sequence[Cell]) -> list[Cell]:
    """Give each row of votes the silence of its place, and the other silences a row."""
    silent_by_place = {_place_of(c): c.silent for c in silences}
    voted_places = {_place_of(c) for c in votes}
    rows = [replace(c, silent=silent_by_place.get(_place_of(c), 0)) for c in votes]
    return rows + [c for c in silences if _place_of(c) not in voted_places]


def _merge_cells(cells: Sequence[Cell], merged_fields: Collection[str]) -> list[Cell]:
    """Return the sums of cells over place fields."""
    if not merged_fields:
        return list(cells)
    kept_fields = [name for name in _SCOPE if name not in merged_fields]
    sums = [_sum_cells(group) for group in _group_cells(cells, *kept_fields)]
    return sorted((_merge_fields(c, merged_fields) for c in sums), key=_scope_of)


def _merge_fields(cell: Cell, names: Collection[str]) -> Cell:
    return replace(
        cell,
        country="" if "country" in names else cell.country,
        region="" if "region" in names else cell.region,
        asn=0 if "asn" in names else cell.asn,
        access="" if "access" in names else cell.access,
    )


def _group_cells(cells: Iterable[Cell], *fields: str) -> list[list[Cell]]:
    groups: dict[Any, list[Cell]] = {}
    key_of = attrgetter(*fields)
    for cell in cells:
        groups.setdefault(key_of(cell), []).append(cell)
    return [groups[key] for key in sorted(groups)]


def _sum_cells(cells: Sequence[Cell], region: str | None = None) -> Cell:
    """Sum cells of different vantages under the place of the first, or a region of it."""
    first = cells[0]
    if region is not None and first.region != region:  # only what changes is copied
        first = replace(first, region=region)
    if len(cells) == 1:
        return first
    networks: Counter[VerdictState] = Counter()
    for cell in cells:
        # As `update` does, in half of the time; the typed Counter has whole numbers alone.
        for voted, share in _estimate_networks(cell).items():
            networks[voted] = networks.get(voted, 0) + share  # type: ignore[assignment]
    state = decide_state(networks)
    layer, method = _find_cause(cells, state) if state in TROUBLES else ("", "")
    total = networks.total()
    agreeing: float = networks[state]
    functions = _merge_functions(cells, networks) if state is VerdictState.REACHABLE else []
    if functions:
        agreeing = _count_partial(cells)
        state = VerdictState.PARTIAL
        method = ",".join(functions)
    return replace(
        first,
        **{name: sum([getattr(c, name) for c in cells]) for _, name in _STATE_NAMES},
        vantages=sum(c.vantages for c in cells),
        silent=sum(c.silent for c in cells),
        established=sum(c.counted for c in cells),
        state=state,
        confidence=0.0 if state is VerdictState.UNKNOWN else agreeing / (total + 1),
        layer=layer,
        method=method,
        prefixes=sum(c.prefixes for c in cells),
        layers=sum_layers(pair for c in cells for pair in c.layers),
    )


def _find_cause(cells: Sequence[Cell], state: VerdictState) -> tuple[str, str]:
    """Return the layer and method of most vantages in the cells of a state."""
    causes: Counter[tuple[str, str]] = Counter()
    for cell in cells:
        if cell.state is state and cell.vantages:
            causes[cell.layer, cell.method] += cell.vantages
    return most_common_cause(causes)


def _count_partial(cells: Sequence[Cell]) -> float:
    """Count the networks that find functions blocked, from cells' confidence."""
    partial_cells = (c for c in cells if c.state is VerdictState.PARTIAL)
    return sum(min(c.confidence * (c.prefixes + 1), c.prefixes) for c in partial_cells)


def _merge_functions(cells: Sequence[Cell], networks: Counter[VerdictState]) -> list[str]:
    """List blocked functions of merged cells, none if too few networks are partial.

    A function counts if more than half of the vantages concerned found it blocked, as for methods.
    """
    if not is_partial(_count_partial(cells), networks):
        return []
    vantages: Counter[str] = Counter()
    for cell in cells:
        vantages.update(dict.fromkeys(list_functions(cell), cell.vantages))
    half = sum(c.vantages for c in cells if c.state is VerdictState.PARTIAL) / 2
    return sorted(function for function, n in vantages.items() if n > half)


def _estimate_networks(cell: Cell) -> dict[VerdictState, float]:
    """Return the network votes by state.

    Those of the cell's state are exact, the others in proportion to vantages. Confidence is
    agreeing networks over all of them plus one (`compute_confidence`).
    """
    agreeing = min(cell.confidence * (cell.prefixes + 1), cell.prefixes)
    counts = {s: getattr(cell, name) for s, name in _STATE_NAMES}
    # Of the networks that reach a partial service, some find all of it working.
    if cell.state in (VerdictState.UNKNOWN, VerdictState.PARTIAL):
        agreeing = 0.0
    else:
        counts[cell.state] = 0
    total = sum(counts.values())
    left = cell.prefixes - agreeing
    shares = {s: left * count / total if total else 0.0 for s, count in counts.items()}
    if agreeing:
        shares[cell.state] = agreeing
    return shares
