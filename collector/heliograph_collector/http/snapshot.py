"""The current state as one value, shared by page, status and live events."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from operator import attrgetter

from heliograph.observation import Link
from heliograph_collector.aggregate.disclosure import BIN_US, find_instant
from heliograph_collector.http import labels
from heliograph_collector.http.backend import AgentCounts, LinkCount
from heliograph_collector.http.i18n import DEFAULT
from heliograph_collector.http.network_presence import count_silent, find_link
from heliograph_collector.model.records import Cell, VerdictState

HISTORY_S = 6 * 3600
FRESH_BINS = 4  # bins; an older reading is not shown


@dataclass(frozen=True, slots=True, order=True)
class NetworkGroup:
    """Vantages of one network that are shown together.

    (country, 0, "") is "other networks".
    """

    country: str
    asn: int
    access: str


@dataclass(frozen=True, slots=True)
class ChangeBracket:
    """A change between two times; `earliest_us` None: before the window."""

    earliest_us: int | None
    latest_us: int


class Withheld(StrEnum):
    """Why a reading is not shown: an open incident outdates it."""

    BLOCKED = "blocked"  # a confirmed block, which is public
    DOUBTED = "doubted"  # a suspected block, or later results contradict an open confirmed one
    DARK = "dark"  # an open silence
    AWAITED = "awaited"  # the place is back, and its first results are not yet public


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceReading:
    """One service in one group; `cell` None: no fresh data."""

    service: str
    cell: Cell | None
    since: ChangeBracket | None
    strip: tuple[VerdictState | None, ...]  # oldest first; None without measurements
    withheld: Withheld | None = None  # only without a cell
    confidence: float = 0.0  # of the open block that withholds it, and gives its state

    @property
    def state(self) -> VerdictState | None:
        withheld_state = VerdictState.BLOCKED if self.withheld is Withheld.BLOCKED else None
        return self.cell.state if self.cell else withheld_state


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkColumn:
    group: NetworkGroup
    link: Link
    vantages: int
    silent: int  # fell silent lately, and are not back
    readings: Mapping[str, ServiceReading]
    connected: int = 0
    is_spared: bool = False  # connected, though a silence of a wider place is open
    regions: Mapping[str, int] = field(default_factory=dict)  # vantages by region; "": others
    is_one_way: bool = False  # offline by silences of one way to us alone: silent, for all we know
    dark_regions: Mapping[str, Link] = field(default_factory=dict)  # under an open silence

    @property
    def is_partly_dark(self) -> bool:
        return bool(self.dark_regions)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotCoverage:
    agents: AgentCounts
    vantages: int  # in the shown groups
    first_us: int | None  # first vote in the window
    gaps: tuple[tuple[int, int], ...]  # (from, until) after it without any vote
    country_gaps: Mapping[str, tuple[tuple[int, int], ...]]  # the same by shown country
    began_us: int = 0  # when the collector began; 0 if before the window


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    at_us: int
    since_us: int
    k: int
    services: tuple[tuple[str, str], ...]  # (name, title)
    columns: tuple[NetworkColumn, ...]
    coverage: SnapshotCoverage
    entry: int = 0  # of the log, the newest one whose incidents hide readings here
    is_outdated: bool = False  # the store has not answered for a while

    @property
    def bins(self) -> range:
        return range(self.since_us, self.at_us, BIN_US)


def history_window(at_us: int) -> tuple[int, int]:
    """Return (since, until) of the history with the bin in progress, aligned to bins."""
    width = BIN_US
    until = (at_us // width + 1) * width
    return until - HISTORY_S * 1_000_000, until


def compose_snapshot(
    at_us: int,
    k: int,
    titles: Mapping[str, str],
    shown_cells: Sequence[Cell],
    links: Sequence[LinkCount],
    agents: AgentCounts,
    region_cells: Sequence[Cell] = (),
) -> Snapshot:
    """Build a snapshot of released cells (`aggregate.disclosure`).

    Args:
        region_cells: Vantages that measured in the fresh bins, by network and region.
    """
    since_us, until_us = history_window(at_us)
    bins = range(since_us, until_us, BIN_US)
    ended_us = at_us if k <= 1 else find_instant(at_us, k)
    public_bins = range(since_us, ended_us // bins.step * bins.step, bins.step)
    groups = sorted({_group_of(c) for c in shown_cells if c.vantages or c.silent})
    links_by_group = _count_links(links, groups, k)
    groups = sorted({*groups, *links_by_group}, key=_group_order)
    by_key = _index_cells(shown_cells)
    services = _list_services(titles, shown_cells)
    fresh_cells = [c for c in shown_cells if c.vantages and c.start_us >= bins[-FRESH_BINS]]
    if k > 1:
        fresh_cells = list_disjoint_cells(fresh_cells, links_by_group)
    fresh_by_key = _index_cells(fresh_cells)
    all_columns = [
        _build_column(g, services, by_key, fresh_by_key, bins, links_by_group.get(g, Counter()))
        for g in groups
    ]
    regions = _count_regions(region_cells)
    named = {g.country for g in groups if not _is_rest(g)}
    columns = tuple(
        replace(column, regions=regions.get(column.group, {}))
        for column in all_columns
        if not _is_empty_rest(column, named)
    )
    voted_starts = {c.start_us for c in shown_cells if c.vantages}
    coverage = SnapshotCoverage(
        agents=agents,
        vantages=sum(column.vantages for column in columns),
        first_us=min(voted_starts, default=None),
        gaps=_find_gaps(public_bins, voted_starts),
        country_gaps=_find_country_gaps(public_bins, shown_cells),
    )
    return Snapshot(
        at_us=at_us, since_us=since_us, k=k, services=services, columns=columns, coverage=coverage
    )


def _group_order(group: NetworkGroup) -> tuple[str, bool, NetworkGroup]:
    return group.country, _is_rest(group), group


def _group_of(cell: Cell) -> NetworkGroup:
    return NetworkGroup(cell.country, cell.asn, cell.access)


def _index_cells(cells: Iterable[Cell]) -> dict[tuple[NetworkGroup, str], dict[int, Cell]]:
    cells_by_key: dict[tuple[NetworkGroup, str], dict[int, Cell]] = {}
    for cell in cells:
        cells_by_key.setdefault((_group_of(cell), cell.service), {})[cell.start_us] = cell
    return cells_by_key


def _list_services(titles: Mapping[str, str], cells: Iterable[Cell]) -> tuple[tuple[str, str], ...]:
    untitled = {c.service for c in cells if c.service} - set(titles)
    return tuple(
        (name, labels.service_title(name, titles, DEFAULT)) for name in (*titles, *sorted(untitled))
    )


def _count_regions(region_cells: Iterable[Cell]) -> dict[NetworkGroup, dict[str, int]]:
    """Count the vantages of each network by region, in the newest bin that shows it."""
    newest: dict[NetworkGroup, dict[str, int]] = {}
    starts: dict[NetworkGroup, int] = {}
    for cell in sorted(region_cells, key=attrgetter("start_us")):
        group = _group_of(cell)
        if starts.setdefault(group, cell.start_us) != cell.start_us:
            starts[group] = cell.start_us
            newest[group] = {}
        newest.setdefault(group, {})[cell.region] = cell.vantages
    return newest


def _count_links(
    counts: Iterable[LinkCount], shown_groups: Sequence[NetworkGroup], k: int
) -> dict[NetworkGroup, Counter[Link]]:
    """Count links by group; a group without a released cell only if k is 1.

    A session costs nothing, so connected vantages alone do not make a network public. Fewer than k
    are nobody: "0-4" beside a shown silence would show that somebody is still there.
    """
    links_by_group: dict[NetworkGroup, Counter[Link]] = {}
    for row in counts:
        group = NetworkGroup(row.country, row.asn, row.access)
        if k <= 1 or group in shown_groups:
            links_by_group.setdefault(group, Counter())[row.link] += row.vantages
    return {group: links for group, links in links_by_group.items() if links.total() >= k}


def list_disjoint_cells(
    fresh_cells: Iterable[Cell], connected: Collection[NetworkGroup]
) -> list[Cell]:
    """List the cells of which no two count the same vantage under two groups.

    Each bin and service has its own partition (`aggregate/disclosure.py`): a network of which
    too few measured is among the other networks there, and has its own cell beside them. Of two
    such cells the newer is kept. A network that `connected` vantages or another cell of the bin
    show is by itself, so the other networks of that cell are unknown.
    """
    by_country: dict[str, dict[int, list[Cell]]] = {}
    for cell in fresh_cells:
        bins = by_country.setdefault(cell.country, {})
        bins.setdefault(cell.start_us, []).append(cell)
    disjoint_cells: list[Cell] = []
    for country, bins in by_country.items():
        named_groups = {g for g in connected if g.country == country and not _is_rest(g)}
        disjoint_cells += _choose_disjoint([bins[at] for at in sorted(bins)], named_groups)
    return disjoint_cells


def _choose_disjoint(
    bins: Sequence[Sequence[Cell]], connected: Collection[NetworkGroup]
) -> list[Cell]:
    """Choose among the cells of one country, the newest bin first."""
    chosen_cells: list[Cell] = []
    named_groups = set(connected)
    is_merged_later = False  # a newer bin may count a missing network among the others
    for cells in reversed(bins):
        named_cells = [
            cell
            for cell in cells
            if not _is_rest(_group_of(cell))
            and (_group_of(cell) in named_groups or not is_merged_later)
        ]
        named_groups |= {_group_of(cell) for cell in named_cells}
        apart = {(_group_of(cell), cell.service) for cell in named_cells}
        rest_cells = [
            cell
            for cell in cells
            if _is_rest(_group_of(cell)) and all((g, cell.service) in apart for g in named_groups)
        ]
        is_merged_later = is_merged_later or bool(rest_cells)
        chosen_cells += [*named_cells, *rest_cells]
    return chosen_cells


def _is_rest(group: NetworkGroup) -> bool:
    return not group.asn and not group.access


def _is_empty_rest(column: NetworkColumn, named: Collection[str]) -> bool:
    """Return whether a column of other networks has nothing of theirs alone.

    A bin counts among them who fell silent in `named` networks, each in too few to be shown: of
    those alone there is no network.
    """
    has_reading = any(reading.cell for reading in column.readings.values())
    has_silent = bool(column.silent) and column.group.country not in named
    return _is_rest(column.group) and not (has_reading or has_silent or column.connected)


def _build_column(
    group: NetworkGroup,
    services: Sequence[tuple[str, str]],
    by_key: Mapping[tuple[NetworkGroup, str], Mapping[int, Cell]],
    fresh_by_key: Mapping[tuple[NetworkGroup, str], Mapping[int, Cell]],
    bins: range,
    links: Counter[Link],
) -> NetworkColumn:
    readings = {
        name: _build_reading(
            name, by_key.get((group, name), {}), fresh_by_key.get((group, name), {}), bins
        )
        for name, _ in services
    }
    fresh_cells = [r.cell for r in readings.values() if r.cell]
    connected = links.total()
    vantages = max([connected, *(c.vantages for c in fresh_cells)])
    silent = max(_recent_silences(group, by_key, bins), default=0)
    return NetworkColumn(
        group=group,
        link=find_link(links),
        vantages=vantages,
        silent=count_silent(silent, connected, vantages if fresh_cells else None),
        readings=readings,
        connected=connected,
    )


def _recent_silences(
    group: NetworkGroup, by_key: Mapping[tuple[NetworkGroup, str], Mapping[int, Cell]], bins: range
) -> list[int]:
    recent = bins[-FRESH_BINS:]
    return [
        cell.silent
        for (cell_group, _), cells in by_key.items()
        if cell_group == group
        for cell in (cells.get(start) for start in recent)
        if cell
    ]


def _build_reading(
    service: str, cells: Mapping[int, Cell], fresh_cells: Mapping[int, Cell], bins: range
) -> ServiceReading:
    row_cells = [cells.get(start) for start in bins]
    strip = tuple(c.state if c and c.vantages else None for c in row_cells)
    cell = _choose_freshest([fresh_cells[at] for at in bins if at in fresh_cells], bins[-1])
    since = find_bracket(strip, bins, cell.state) if cell else None
    return ServiceReading(
        service=service,
        cell=cell,
        since=since,
        strip=strip,
    )


def _choose_freshest(cells: Sequence[Cell], in_progress_us: int) -> Cell | None:
    """Return the newest cell, or the one before while most votes are missing.

    That is the case if the newest is of the bin in progress.
    """
    if not cells:
        return None
    newest = cells[-1]
    if len(cells) > 1 and newest.start_us == in_progress_us:
        previous = cells[-2]
        return previous if newest.vantages * 2 < previous.vantages else newest
    return newest


def find_bracket(
    strip: Sequence[VerdictState | None], bins: range, state: VerdictState
) -> ChangeBracket | None:
    """Find the bracket of a change: the last bin of another state, the first of this.

    Unknown states and bins without data neither end nor start a run, unless `state` is unknown.
    """
    doubt_states = () if state is VerdictState.UNKNOWN else (VerdictState.UNKNOWN,)
    first: int | None = None
    for index in reversed(range(len(strip))):
        bin_state = strip[index]
        if bin_state is state:
            first = index
        elif bin_state is not None and bin_state not in doubt_states and first is not None:
            return ChangeBracket(bins[index], bins[first] + bins.step)
    return None if first is None else ChangeBracket(None, bins[first] + bins.step)


def _find_country_gaps(
    public_bins: range, shown_cells: Iterable[Cell]
) -> dict[str, tuple[tuple[int, int], ...]]:
    """List the gaps of each shown country; who fell silent is known, and so no gap."""
    starts_by_country: dict[str, set[int]] = {}
    for cell in shown_cells:
        if cell.vantages or cell.silent:
            starts_by_country.setdefault(cell.country, set()).add(cell.start_us)
    return {code: _find_gaps(public_bins, starts) for code, starts in starts_by_country.items()}


def _find_gaps(public_bins: range, voted: set[int]) -> tuple[tuple[int, int], ...]:
    """List gaps after the first vote, among the bins that are public and over."""
    gaps: list[tuple[int, int]] = []
    has_begun = False
    for start in public_bins:
        has_begun = has_begun or start in voted
        if start in voted or not has_begun:
            continue
        if gaps and gaps[-1][1] == start:
            gaps[-1] = (gaps[-1][0], start + public_bins.step)
        else:
            gaps.append((start, start + public_bins.step))
    return tuple(gaps)
