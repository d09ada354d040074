"""Combine present states with a country's bars and its incidents' times. Pure.

A bar is a quarter of an hour or wider, so that the newest one still contains what is over. The
status is current: its readings overrule the bars, and open incidents, which are public at once,
overrule both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import TypeVar

from heliograph.observation import Link
from heliograph_collector.http.dark_places import DarkPlaces
from heliograph_collector.http.pages.country_timeline import (
    BinMark,
    CountryTimeline,
    IncidentSpan,
    TimelineRow,
)
from heliograph_collector.http.snapshot import NetworkColumn, ServiceReading
from heliograph_collector.model.records import VerdictState
from heliograph_collector.model.scope import Scope

_Key = TypeVar("_Key")
_Rows = dict[_Key, TimelineRow]


_WORST_FIRST = (  # in the order of the map
    VerdictState.BLOCKED,
    VerdictState.DOWN,
    VerdictState.PARTIAL,
    VerdictState.REACHABLE,
    VerdictState.UNKNOWN,
)
_TROUBLES = (BinMark.BLOCKED, BinMark.DOWN, BinMark.PARTIAL)


def follow_readings(timeline: CountryTimeline, columns: Sequence[NetworkColumn]) -> CountryTimeline:
    """Set each network's state by its readings, and the other rows' by all networks.

    A service that is in trouble by its bars alone is so no longer.

    Args:
        columns: The networks of the country, as the status has them.
    """
    by_group = {column.group: list(column.readings.values()) for column in columns}
    offline = {column.group for column in columns if column.link is Link.OFFLINE}
    by_service = {
        name: [c.readings[name] for c in columns if name in c.readings]
        for name in timeline.services
    }
    by_region = {
        code: [
            min(column.readings.values(), key=_rank_reading)
            for column in columns
            if code in column.regions and column.readings
        ]
        for code in timeline.regions
    }
    return replace(
        timeline,
        networks={
            group: replace(row, present=BinMark.SILENT)
            if group in offline
            else _follow(timeline, row, by_group.get(group, []))
            for group, row in timeline.networks.items()
        },
        services={
            name: _follow(timeline, row, by_service[name], is_by_network=True)
            if row.current_mark(timeline.recent_bins) in _TROUBLES
            or _is_common(by_service[name])
            or not any(row.marks)  # as of bins that the store has not given
            else row
            for name, row in timeline.services.items()
        },
        regions={
            code: _follow(timeline, row, by_region[code], is_by_network=True)
            if _is_common(by_region[code])
            else row
            for code, row in timeline.regions.items()
        },
    )


def _rank_reading(reading: ServiceReading) -> int:
    return _WORST_FIRST.index(reading.state) if reading.state else len(_WORST_FIRST)


def _is_common(readings: Sequence[ServiceReading]) -> bool:
    """Return whether all that is judged is the same trouble."""
    states = {r.state for r in readings if r.state not in (None, VerdictState.UNKNOWN)}
    return states in ({VerdictState.BLOCKED}, {VerdictState.DOWN})


def _follow(
    timeline: CountryTimeline,
    row: TimelineRow,
    readings: Sequence[ServiceReading],
    *,
    is_by_network: bool = False,
) -> TimelineRow:
    """Return a row with the worst of the readings.

    Of readings that are withheld otherwise nothing works, and nothing is in trouble any more.
    """
    withheld = [reading.withheld for reading in readings if reading.withheld]
    states = [reading.state for reading in readings if reading.state]
    if not states:
        is_marked = row.current_mark(timeline.recent_bins) in (*_TROUBLES, BinMark.REACHABLE)
        return replace(row, present=BinMark.UNKNOWN) if withheld and is_marked else row
    worst = next(state for state in _WORST_FIRST if state in states)
    judged = [state for state in states if state is not VerdictState.UNKNOWN]
    return replace(
        row,
        present=BinMark(worst.value),
        newest=next((r.cell for r in readings if r.state is worst), None),
        blocked=judged.count(VerdictState.BLOCKED),
        judged=len(judged),
        is_by_network=is_by_network,
    )


def mark_dark_rows(
    timeline: CountryTimeline,
    country: str,
    dark_places: DarkPlaces,
    columns: Sequence[NetworkColumn],
) -> CountryTimeline:
    """Set rows of dark and blocked places to that state, if their bins are older.

    Silent or blocked if it is confirmed, else unknown. A service has no separate place: no network
    tests it once all networks that measure are dark, and an incident of the country can spare some.

    Args:
        columns: The networks of the country, as the status has them, with their regions.
    """
    timeline = _mark_blocked_rows(timeline, country, dark_places)
    scopes = {group: Scope(country, "", group.asn, group.access) for group in timeline.networks}
    measuring = [
        scopes[group]
        for group, track in timeline.networks.items()
        if set(track.marks[-timeline.recent_bins :]) - {None, BinMark.SILENT}
    ]
    # Services that a spared network still reaches are no state of a dark country.
    reached = [place for place in measuring if not dark_places.is_spared(place)]
    service_places = reached or measuring or list(scopes.values()) or [Scope(country)]
    # A region is dark too where all types of access are, each by its own part.
    region_places = {}
    for code in timeline.regions:
        here = {scopes.get(column.group) for column in columns if code in column.regions}
        places = [place for place in service_places if place in here]
        places = places or [place for place in scopes.values() if place in here] or service_places
        region_places[code] = [place._replace(region=code) for place in places]

    is_tested = any(any(track.marks) for track in timeline.services.values())

    def mark(track: TimelineRow, places: Sequence[Scope]) -> TimelineRow:
        row = _mark_returned_row(timeline, track, places, dark_places)
        return _mark_dark_row(timeline, row, places, dark_places)

    return replace(
        timeline,
        networks={
            group: mark(track, [scopes[group]]) for group, track in timeline.networks.items()
        },
        regions={
            code: mark(track, region_places[code]) for code, track in timeline.regions.items()
        },
        services={
            name: mark(track, service_places) if any(track.marks) or not is_tested else track
            for name, track in timeline.services.items()
        },
    )


def add_incident_spans(
    timeline: CountryTimeline, country: str, dark_places: DarkPlaces
) -> CountryTimeline:
    """Give each row the times of the incidents in it, in which a bar may look well.

    A region or the country is silent while all its networks are, each by its own part.
    """
    scopes = {g: Scope(country, "", g.asn, g.access) for g in timeline.networks}
    named = [
        scope
        for scope in scopes.values()
        if (scope.asn or scope.access) and not dark_places.is_spared(scope)
    ] or [Scope(country)]

    def add(row: TimelineRow, place: Scope, parts: Sequence[Scope], service: str) -> TimelineRow:
        silent = _intersect_spans([dark_places.list_silent_spans(part) for part in parts])
        blocked = dark_places.list_blocked_spans(place, service)
        spans = [IncidentSpan(BinMark.BLOCKED, *span) for span in blocked]
        spans += [IncidentSpan(BinMark.SILENT, *span) for span in silent]
        return replace(row, spans=tuple(spans))

    is_tested = any(any(row.marks) for row in timeline.services.values())
    return replace(
        timeline,
        services={
            name: add(row, Scope(country), named, name)
            if any(row.marks) or row.present or not is_tested
            else row
            for name, row in timeline.services.items()
        },
        regions={
            code: add(
                row, Scope(country, code), [scope._replace(region=code) for scope in named], ""
            )
            for code, row in timeline.regions.items()
        },
        networks={
            group: add(row, scopes[group], [scopes[group]], "")
            for group, row in timeline.networks.items()
        },
    )


def _intersect_spans(lists: Sequence[Sequence[tuple[int, int]]]) -> Sequence[tuple[int, int]]:
    common = lists[0]
    for spans in lists[1:]:
        pairs = [
            (max(first[0], second[0]), min(first[1], second[1]))
            for first, second in product(common, spans)
        ]
        common = [(since, until) for since, until in pairs if since <= until]
    return common


def show_window(present: CountryTimeline, window: CountryTimeline) -> CountryTimeline:
    """Return a window's bars beside the present states, which no window changes.

    Args:
        present: The newest bins; its rows have their final states.
    """
    nothing = TimelineRow(marks=(None,) * len(window.starts), shares=(1.0,) * len(window.starts))

    def join(now: TimelineRow | None, then: TimelineRow | None) -> TimelineRow:
        bars = then or nothing
        if now is None:
            return bars
        state = now.current_mark(present.recent_bins)
        return replace(now, present=state, marks=bars.marks, shares=bars.shares)

    def join_rows(now: Mapping[_Key, TimelineRow], then: Mapping[_Key, TimelineRow]) -> _Rows[_Key]:
        return {key: join(now.get(key), then.get(key)) for key in {**now, **then}}

    return replace(
        window,
        services=join_rows(present.services, window.services),
        networks=join_rows(present.networks, window.networks),
        regions=join_rows(present.regions, window.regions),
    )


def _mark_blocked_rows(
    timeline: CountryTimeline, country: str, dark_places: DarkPlaces
) -> CountryTimeline:
    """Set rows that look well to blocked, if an open block began after their bin."""
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
    regions = {
        code: _mark_blocked_row(timeline, row, dark_places, Scope(country, code), "")
        for code, row in timeline.regions.items()
    }
    return replace(timeline, networks=networks, services=services, regions=regions)


def _mark_blocked_row(
    timeline: CountryTimeline,
    row: TimelineRow,
    dark_places: DarkPlaces,
    place: Scope,
    service: str,
) -> TimelineRow:
    """Mark a row whose place a block covers; a service's row by its parts too."""
    mark = row.current_mark(timeline.recent_bins)
    start_us = _newest_start(timeline, row)
    # A network follows its readings, which know it.
    follows_bins = bool(service or place.region)
    if mark is BinMark.BLOCKED and follows_bins and _is_over(dark_places, place, service, start_us):
        return replace(row, present=BinMark.UNKNOWN)
    parts = dark_places.list_blocked_parts(place.country, service) if service else []
    if mark is BinMark.UNKNOWN and parts:  # as blocked and reachable vantages are about as many
        return replace(row, present=BinMark.PARTIAL)
    if mark not in (BinMark.REACHABLE, BinMark.PARTIAL):
        return row
    if start_us < dark_places.blocked_since(place, service, only_confirmed=True):
        blocked = max(row.blocked, len(dark_places.list_blocked_services(place)))
        return replace(row, present=BinMark.BLOCKED, blocked=blocked)
    doubted_us = max(dark_places.blocked_since(place, service), dark_places.isolated_since(place))
    if start_us < doubted_us:
        return replace(row, present=BinMark.UNKNOWN)
    if dark_places.blocked_since(place, service, only_confirmed=True):
        return replace(row, present=BinMark.UNKNOWN)  # newer results contradict the block
    if parts:  # a newer bin that works is of the others: a blocked network may be dark by now
        return replace(row, present=BinMark.PARTIAL)
    return row


def _is_over(dark_places: DarkPlaces, place: Scope, service: str, start_us: int) -> bool:
    """Return whether a block ended in a row's newest bin or later, and none is open.

    Args:
        service: "" is any, as of a region.
    """
    is_open = dark_places.blocked_since(place, service) or dark_places.list_blocked_parts(
        place.country, service
    )
    return not is_open and dark_places.unblocked_at(place, service) > start_us


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

    Such a bin ended after a place came back. In a dark place it is a blocked bin that began one
    width after the cut or later: some vantages still measure there, but nothing is shown as well.
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


def _mark_returned_row(
    timeline: CountryTimeline,
    row: TimelineRow,
    places: Sequence[Scope],
    dark_places: DarkPlaces,
) -> TimelineRow:
    """Remove the silence of a bin in which the places came back: results are awaited."""
    if row.current_mark(timeline.recent_bins) is not BinMark.SILENT:
        return row
    if min(map(dark_places.returned_at, places)) <= _newest_start(timeline, row):
        return row
    return replace(row, present=BinMark.UNKNOWN)
