"""A country over time, by services, networks and regions. Pure.

All three are sums of the same released atoms (`aggregate.disclosure`), as in the timeline API. A
bin shows a state or a silence, and nobody and too few look the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from heliograph_collector.aggregate.disclosure import Disclosure
from heliograph_collector.http.dark_places import DarkPlaces
from heliograph_collector.http.snapshot import NetworkGroup
from heliograph_collector.model.records import Cell, VerdictState
from heliograph_collector.model.scope import Scope


class BinMark(StrEnum):
    """The display of a bin; None: no measurement."""

    REACHABLE = "reachable"
    BLOCKED = "blocked"
    DOWN = "down"
    PARTIAL = "partial"
    UNKNOWN = "unknown"
    SILENT = "silent"  # enough fell silent, and no verdict remains


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineWindow:
    """A number of bins of a width in seconds, the last one in progress."""

    bin_s: int
    bins: int

    def bin_starts(self, at_us: int) -> range:
        width = self.bin_s * 1_000_000
        until_us = (at_us // width + 1) * width
        return range(until_us - self.bins * width, until_us, width)


WINDOWS = {
    "day": TimelineWindow(bin_s=900, bins=96),
    "week": TimelineWindow(bin_s=3_600, bins=168),
    "month": TimelineWindow(bin_s=21_600, bins=120),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRow:
    """One row of the chart."""

    marks: tuple[BinMark | None, ...]  # oldest first
    shares: tuple[float, ...]  # for a bad mark, the share of the judged services with that state
    newest: Cell | None = None  # a cell of the newest bin with data, a blocked one if there is any
    blocked: int = 0  # blocked services in that bin …
    judged: int = 0  # … of this number of judged ones
    present: BinMark | None = None  # the state now, if an open silence tells it
    cuts: tuple[tuple[int, int], ...] = ()  # certain times of silences; within a bin, too

    def current_mark(self, recent_bins: int) -> BinMark | None:
        """Return the state now: of the newest bin with data, among so many."""
        return self.present or next(filter(None, reversed(self.marks[-recent_bins:])), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountryTimeline:
    starts: range
    services: Mapping[str, TimelineRow]
    networks: Mapping[NetworkGroup, TimelineRow]
    regions: Mapping[str, TimelineRow]
    instant_us: int = 0  # the instant of publication of its cells
    recent_bins: int = 1  # the newest bins, of which a row takes its state now


_RANKS = {VerdictState.BLOCKED: 2, VerdictState.PARTIAL: 1}  # of the cells that name a cause
_FRESH_BINS = 2  # bins
MERGED_FIELDS: Sequence[Mapping[str, str | int]] = (  # of the two queries
    {"region": ""},
    {},
)


def empty_timeline(starts: range) -> CountryTimeline:
    return CountryTimeline(starts=starts, services={}, networks={}, regions={})


def compose_timeline(
    disclosure: Disclosure,
    network_cells: Sequence[Cell],
    region_cells: Sequence[Cell],
    starts: range,
    names: Iterable[str],
) -> CountryTimeline:
    """Compose the rows of one country, in bins that begin at `starts`.

    Args:
        network_cells: All cells of the country, merged over regions.
        region_cells: The same, by region.
        names: The services whose rows come first.
    """
    k = disclosure.k
    country = disclosure.release(network_cells, ("asn", "access"))
    regions = disclosure.release(region_cells, ("asn", "access"))
    return CountryTimeline(
        starts=starts,
        instant_us=disclosure.now_us,
        services=_build_service_rows(country, starts, names, k),
        networks={
            NetworkGroup(c.country, c.asn, c.access): track
            for c, track in _build_place_rows(disclosure.release(network_cells), starts, k)
        },
        regions={c.region: track for c, track in _build_place_rows(regions, starts, k) if c.region},
    )


def mark_dark_rows(
    timeline: CountryTimeline, country: str, dark_places: DarkPlaces
) -> CountryTimeline:
    """Give the rows of dark and blocked places that state now, if their bins are older.

    Silent or blocked if it is confirmed, else unknown. A service has no separate place: no network
    tests it once all networks that measure are dark, and an incident of the country can spare some.
    """
    timeline = _mark_blocked_rows(timeline, country, dark_places)
    scopes = {group: Scope(country, "", group.asn, group.access) for group in timeline.networks}
    measuring = [
        scopes[group]
        for group, track in timeline.networks.items()
        if set(track.marks[-timeline.recent_bins :]) - {None, BinMark.SILENT}
    ]
    service_places = measuring or list(scopes.values()) or [Scope(country)]
    # A region is dark too where all types of access are, each by its own part.
    region_places = {
        code: [place._replace(region=code) for place in service_places] for code in timeline.regions
    }

    is_tested = any(any(track.marks) for track in timeline.services.values())

    def mark(track: TimelineRow, places: Sequence[Scope], whole: Scope) -> TimelineRow:
        cuts = tuple(dark_places.list_silent_spans(whole))
        return replace(_mark_dark_row(timeline, track, places, dark_places), cuts=cuts)

    return replace(
        timeline,
        networks={
            group: mark(track, [scopes[group]], scopes[group])
            for group, track in timeline.networks.items()
        },
        regions={
            code: mark(track, region_places[code], Scope(country, code))
            for code, track in timeline.regions.items()
        },
        services={
            name: mark(track, service_places, Scope(country))
            if any(track.marks) or not is_tested
            else track
            for name, track in timeline.services.items()
        },
    )


def _mark_blocked_rows(
    timeline: CountryTimeline, country: str, dark_places: DarkPlaces
) -> CountryTimeline:
    """Give what looks well the state of open blocks that began after the start of its bin."""
    networks = {
        group: _mark_blocked_row(
            timeline, row, dark_places, Scope(country, "", group.asn, group.access), ""
        )
        for group, row in timeline.networks.items()
    }
    services = {
        name: _mark_blocked_row(timeline, row, dark_places, Scope(country), name)
        for name, row in timeline.services.items()
    }
    return replace(timeline, networks=networks, services=services)


def _mark_blocked_row(
    timeline: CountryTimeline,
    row: TimelineRow,
    dark_places: DarkPlaces,
    place: Scope,
    service: str,
) -> TimelineRow:
    """Mark a row whose place a block covers; a service's row by its parts too."""
    mark = row.current_mark(timeline.recent_bins)
    if mark not in (BinMark.REACHABLE, BinMark.PARTIAL):
        return row
    start_us = _newest_start(timeline, row)
    if start_us < dark_places.blocked_since(place, service, only_confirmed=True):
        return replace(row, present=BinMark.BLOCKED)
    if start_us < dark_places.blocked_since(place, service):
        return replace(row, present=BinMark.UNKNOWN)
    parts = dark_places.list_blocked_parts(place.country, service) if service else []
    if any(start_us < dark_places.blocked_since(part, service) for part in parts):
        return replace(row, present=BinMark.PARTIAL)
    return row


def _newest_start(timeline: CountryTimeline, row: TimelineRow) -> int:
    """Return the start of the bin that gives a row its state now."""
    recent = slice(-timeline.recent_bins, None)
    marked = zip(timeline.starts[recent], row.marks[recent], strict=True)
    return max((start for start, mark in marked if mark), default=timeline.starts[-1])


def _mark_dark_row(
    timeline: CountryTimeline,
    track: TimelineRow,
    places: Sequence[Scope],
    dark_places: DarkPlaces,
) -> TimelineRow:
    """Mark a row unless it has a bin from after the silence.

    That is one which ended after a place came back. In a dark place it is a blocked bin that began
    one width after the cut or later: who still measures there is heard, but nothing looks well.
    """
    width_us = timeline.starts.step
    mark = next(filter(None, reversed(track.marks[-timeline.recent_bins :])), None)
    start_us = _newest_start(timeline, track)
    if min(dark_places.dark_until(place) for place in places) < start_us + width_us:
        return track
    since_us = max(dark_places.dark_since(place) for place in places)
    if mark is BinMark.BLOCKED and start_us >= since_us + width_us:
        return track
    is_confirmed = all(dark_places.is_dark(place, only_confirmed=True) for place in places)
    return replace(track, present=BinMark.SILENT if is_confirmed else BinMark.UNKNOWN)


def _build_service_rows(
    shown_cells: Sequence[Cell], starts: range, names: Iterable[str], k: int
) -> dict[str, TimelineRow]:
    """Build the rows; a service that is not tested here does not fall silent among those that are.

    Where none is tested in the whole window, the silence may be why, and all show it.
    """
    tested = {c.service for c in shown_cells if c.service and c.vantages >= max(k, 1)}
    silent_bins = _silent_bins(shown_cells, k)
    return {
        name: _build_row(
            [c for c in shown_cells if c.service == name],
            silent_bins if name in tested or not tested else set(),
            starts,
            k,
        )
        for name in (*names, *sorted(tested - set(names)))
    }


def _build_place_rows(
    shown_cells: Sequence[Cell], starts: range, k: int
) -> list[tuple[Cell, TimelineRow]]:
    """Build a row for each shown place, with one of its cells."""
    by_place: dict[tuple[str, int, str], list[Cell]] = {}
    for cell in shown_cells:
        by_place.setdefault((cell.region, cell.asn, cell.access), []).append(cell)
    return [
        (place_cells[0], _build_row(place_cells, _silent_bins(place_cells, k), starts, k))
        for _, place_cells in sorted(by_place.items())
        if any(c.vantages or c.silent >= max(k, 1) for c in place_cells)
    ]


def _silent_bins(shown_cells: Iterable[Cell], k: int) -> set[int]:
    """Return the bins in which enough vantages fell silent to be shown."""
    return {c.start_us for c in shown_cells if c.silent >= max(k, 1)}


def _build_row(shown_cells: Iterable[Cell], silent: set[int], starts: range, k: int) -> TimelineRow:
    by_start: dict[int, list[Cell]] = {}
    for cell in shown_cells:  # a cell shown only for its silence has no verdict
        if cell.vantages >= max(k, 1) and cell.service:
            by_start.setdefault(cell.start_us, []).append(cell)
    bins = [_classify_bin(by_start.get(start, ()), start in silent) for start in starts]
    fresh_cells = next(
        (by_start[at] for at in reversed(starts[-_FRESH_BINS:]) if at in by_start), []
    )
    states = [cell.state for cell in fresh_cells if cell.state is not VerdictState.UNKNOWN]
    return TimelineRow(
        marks=tuple(mark for mark, _ in bins),
        shares=tuple(share for _, share in bins),
        newest=max(fresh_cells, key=_rank_cell, default=None),
        blocked=states.count(VerdictState.BLOCKED),
        judged=len(states),
    )


def _rank_cell(cell: Cell) -> tuple[int, str]:
    return _RANKS.get(cell.state, 0), cell.service


def _classify_bin(cells: Sequence[Cell], is_silent: bool) -> tuple[BinMark | None, float]:
    states = [cell.state for cell in cells]
    judged = [state for state in states if state is not VerdictState.UNKNOWN]
    # In the order of the map.
    for bad_state in (VerdictState.BLOCKED, VerdictState.DOWN, VerdictState.PARTIAL):
        if bad_state in states:
            return BinMark(bad_state.value), states.count(bad_state) / len(judged)
    for state in (VerdictState.REACHABLE, VerdictState.UNKNOWN):
        if state in states:
            return BinMark(state.value), 1.0
    return BinMark.SILENT if is_silent else None, 1.0
