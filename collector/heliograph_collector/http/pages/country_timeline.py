"""A country over time, by services, networks and regions. Pure.

All three are sums of the same released atoms (`aggregate.disclosure`), as in the timeline API. A
bin shows a state or a silence, and nobody and too few look the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from heliograph.units import HOUR_US, SECOND_US
from heliograph_collector.aggregate.disclosure import Disclosure
from heliograph_collector.http.snapshot import NetworkGroup
from heliograph_collector.model.history import MARKS
from heliograph_collector.model.records import Cell, VerdictState


class BinMark(StrEnum):
    """The display of a bin; None: no measurement."""

    REACHABLE = "reachable"
    BLOCKED = "blocked"
    DOWN = "down"
    PARTIAL = "partial"
    UNKNOWN = "unknown"
    SILENT = "silent"  # enough fell silent, and no verdict remains


HOUR_MARKS = (None, *(BinMark(mark) for mark in MARKS if mark))  # by the byte of an hour


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineWindow:
    """A number of bins of a width in seconds, the last one in progress."""

    bin_s: int
    bins: int

    def bin_starts(self, at_us: int) -> range:
        width = self.bin_s * 1_000_000
        until_us = (at_us // width + 1) * width
        return range(until_us - self.bins * width, until_us, width)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenWindow:
    """The window of a request; `until_us`: the end of a past hour."""

    name: str
    starts: range
    until_us: int | None = None


WINDOWS = {
    "hour": TimelineWindow(bin_s=60, bins=60),
    "day": TimelineWindow(bin_s=900, bins=96),
    "week": TimelineWindow(bin_s=3_600, bins=168),
    "month": TimelineWindow(bin_s=21_600, bins=120),
}


@dataclass(frozen=True, slots=True)
class IncidentSpan:
    """A time of an incident in a row, microseconds UTC; it may be shorter than a bin."""

    mark: BinMark
    since_us: int
    until_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRow:
    """One row of the chart."""

    marks: tuple[BinMark | None, ...]  # oldest first
    shares: tuple[float, ...]  # for a bad mark, the share of the judged services with that state
    newest: Cell | None = None  # a cell of the newest bin with data, a blocked one if there is any
    blocked: int = 0  # blocked services in that bin …
    judged: int = 0  # … of this number of judged ones
    present: BinMark | None = None  # the state now, if an open silence gives it
    spans: tuple[IncidentSpan, ...] = ()
    is_by_network: bool = False  # `blocked` and `judged` count networks, not services

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


@dataclass(frozen=True, slots=True, kw_only=True)
class CountryBin:
    """The rows of a country in one bin that were measured or fell silent in it."""

    services: Mapping[str, TimelineRow]
    networks: Mapping[NetworkGroup, TimelineRow]
    regions: Mapping[str, TimelineRow]
    is_silent: bool = False  # enough fell silent, and no service was measured


_NOTHING = TimelineRow(marks=(None,), shares=(1.0,))
_SILENT = TimelineRow(marks=(BinMark.SILENT,), shares=(1.0,))
_RANKS = {VerdictState.BLOCKED: 2, VerdictState.PARTIAL: 1}  # of the cells that name a cause
_FRESH_BINS = 2  # bins
_LATER_HOURS = 11  # after a past hour, which so stands in the middle of a day
_LEAST_BINS = 8  # of a chart: two hours of the day; assumed
MERGED_FIELDS: Sequence[Sequence[str]] = (("region",), ())  # of the two queries


def blank_timeline(
    starts: range, services: Iterable[str], networks: Iterable[NetworkGroup]
) -> CountryTimeline:
    """Return rows of known services and networks, whose bins are unknown."""
    row = TimelineRow(marks=(None,) * len(starts), shares=(1.0,) * len(starts))
    return CountryTimeline(
        starts=starts,
        services=dict.fromkeys(services, row),
        networks=dict.fromkeys(networks, row),
        regions={},
    )


def move_window(timeline: CountryTimeline, starts: range) -> CountryTimeline:
    """Return an older timeline in a later window, whose newest bins are unknown yet."""
    offset = min(max((starts.start - timeline.starts.start) // starts.step, 0), len(starts))
    if not offset:
        return timeline

    def move(row: TimelineRow) -> TimelineRow:
        marks = (*row.marks[offset:], *(None,) * offset)
        return replace(row, marks=marks, shares=(*row.shares[offset:], *(1.0,) * offset))

    return replace(
        timeline,
        starts=starts,
        services={key: move(row) for key, row in timeline.services.items()},
        networks={key: move(row) for key, row in timeline.networks.items()},
        regions={key: move(row) for key, row in timeline.regions.items()},
    )


def choose_window(name: str, until_us: int | None, at_us: int) -> ChosenWindow:
    """Choose the bins; an hour, by the minute, may be past, and then ends on the hour."""
    if name == "hour" and until_us is not None:
        end_us = -(-until_us // HOUR_US) * HOUR_US
        if end_us <= at_us:
            width_us = WINDOWS[name].bin_s * SECOND_US
            return ChosenWindow(
                name=name, starts=range(end_us - HOUR_US, end_us, width_us), until_us=end_us
            )
    return ChosenWindow(name=name, starts=WINDOWS[name].bin_starts(at_us))


def list_hours(window: ChosenWindow, starts: range, at_us: int) -> range:
    """List the ends of hours: those of the chart, or around a past hour; 24 at most.

    Args:
        starts: The bins of the chart.
    """
    last_us = at_us // HOUR_US * HOUR_US
    first_us = last_us - 23 * HOUR_US
    if window.until_us is not None:
        last_us = min(last_us, window.until_us + _LATER_HOURS * HOUR_US)
        first_us = last_us - 23 * HOUR_US
    elif window.name != "hour":
        first_us = max(first_us, (starts.start // HOUR_US + 1) * HOUR_US)
    return range(first_us, last_us + 1, HOUR_US)


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


def compose_bin(
    disclosure: Disclosure, network_cells: Sequence[Cell], region_cells: Sequence[Cell], bin_: range
) -> CountryBin:
    """Compose the rows of one country in a single bin: `compose_timeline` in parts.

    No row depends on two bins, but for the services that are silent; `join_bins` decides those.
    """
    timeline = compose_timeline(disclosure, network_cells, region_cells, bin_, ())
    country_cells = disclosure.release(network_cells, ("asn", "access"))
    return CountryBin(
        services=timeline.services,
        networks=timeline.networks,
        regions=timeline.regions,
        is_silent=not timeline.services and bool(_silent_bins(country_cells, disclosure.k)),
    )


def drop_details(old: CountryBin) -> CountryBin:
    """Return a bin with its marks alone: later bins have the details of the present."""
    return replace(
        old,
        services={key: _plain_row(row.marks, row.shares) for key, row in old.services.items()},
        networks={key: _plain_row(row.marks, row.shares) for key, row in old.networks.items()},
        regions={key: _plain_row(row.marks, row.shares) for key, row in old.regions.items()},
    )


@lru_cache(maxsize=1024)  # a day of the world has a hundred thousand rows, and few that differ
def _plain_row(marks: tuple[BinMark | None, ...], shares: tuple[float, ...]) -> TimelineRow:
    return TimelineRow(marks=marks, shares=shares)


def join_bins(
    bins: Mapping[int, CountryBin], starts: range, names: Iterable[str], instant_us: int
) -> CountryTimeline:
    """Join a country's bins, by start, as `compose_timeline` does with their cells.

    Args:
        names: The services whose rows come first.
        instant_us: The instant of publication of the newest bin.
    """
    listed = [bins.get(start) for start in starts]
    tested = {name for part in listed if part for name in part.services}
    services = {}
    for name in (*names, *sorted(tested - set(names))):
        is_silent_too = name in tested or not tested
        gap = _SILENT if is_silent_too else _NOTHING
        services[name] = _join_rows(
            [_NOTHING if p is None else p.services.get(name, gap if p.is_silent else _NOTHING)
             for p in listed]
        )  # fmt: skip
    networks = {group for part in listed if part for group in part.networks}
    regions = {code for part in listed if part for code in part.regions}
    return CountryTimeline(
        starts=starts,
        instant_us=instant_us,
        services=services,
        networks={
            group: _join_rows([p.networks.get(group, _NOTHING) if p else _NOTHING for p in listed])
            for group in sorted(networks)
        },
        regions={
            code: _join_rows([p.regions.get(code, _NOTHING) if p else _NOTHING for p in listed])
            for code in sorted(regions)
        },
    )


def _join_rows(rows: Sequence[TimelineRow]) -> TimelineRow:
    """Join the bins of one row; the newest two give causes and counts."""
    fresh = next((row for row in reversed(rows[-_FRESH_BINS:]) if row.newest), _NOTHING)
    return TimelineRow(
        marks=tuple(row.marks[0] for row in rows),
        shares=tuple(row.shares[0] for row in rows),
        newest=fresh.newest,
        blocked=fresh.blocked,
        judged=fresh.judged,
    )


def trim_empty_start(timeline: CountryTimeline, since_us: int) -> CountryTimeline:
    """Leave out bins before the first with data, so that young data fill the chart.

    Args:
        since_us: The first time that must stay, because an incident begins there.
    """
    rows = [*timeline.services.values(), *timeline.networks.values(), *timeline.regions.values()]
    starts = timeline.starts
    firsts = [i for i in range(len(starts)) if any(row.marks[i] for row in rows)][:1]
    if not firsts:
        return timeline
    first = min(
        firsts[0], max((since_us - starts.start) // starts.step, 0), len(starts) - _LEAST_BINS
    )

    def trim(row: TimelineRow) -> TimelineRow:
        return replace(row, marks=row.marks[first:], shares=row.shares[first:])

    return replace(
        timeline,
        starts=starts[first:],
        services={key: trim(row) for key, row in timeline.services.items()},
        networks={key: trim(row) for key, row in timeline.networks.items()},
        regions={key: trim(row) for key, row in timeline.regions.items()},
    )


def _build_service_rows(
    shown_cells: Sequence[Cell], starts: range, names: Iterable[str], k: int
) -> dict[str, TimelineRow]:
    """Build services' rows; one that is not tested here is not shown as silent.

    If none is tested in the whole window, the silence may be the cause, and all show it. If one is
    measured in a bin, some vantages still report, and the others have no data, as in history.
    """
    measured_cells = [c for c in shown_cells if c.service and c.vantages >= max(k, 1)]
    tested = {c.service for c in measured_cells}
    silent_bins = _silent_bins(shown_cells, k) - {c.start_us for c in measured_cells}
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
