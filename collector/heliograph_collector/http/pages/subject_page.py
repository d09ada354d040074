"""Show a service across countries, a network, or a region: now, and incidents.

All three are cuts of the snapshot that the front page and the status show, so that no page
contradicts another on the same network at the same time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar
from urllib.parse import urlencode

from markupsafe import Markup

from heliograph.observation import Link
from heliograph.timestamps import format_second
from heliograph_collector.http import labels
from heliograph_collector.http.backend import NetworkNamer
from heliograph_collector.http.charts import sparkline
from heliograph_collector.http.day_range import LAST_DAYS, encode_last_days
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.pages import headlines
from heliograph_collector.http.pages.recent_incidents import (
    IncidentLine,
    RecentIncidents,
    find_headline_incident,
    find_line,
)
from heliograph_collector.http.pages.world_page import ServiceCell, build_cell, build_head
from heliograph_collector.http.snapshot import NetworkColumn, ServiceReading, Snapshot, Withheld
from heliograph_collector.http.templates import PageContent, render_page
from heliograph_collector.model.history import TROUBLE_MARKS

MAX_ROWS = 120  # of one page: more are counted, the worst are shown; assumed
_BEST_LAST = ("reachable", "nothing")  # after every trouble and doubt


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRow:
    """One service in one network."""

    title: str
    path: str
    cell: ServiceCell
    subtitle: str = ""  # the name of the network's operator


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectGroup:
    """Rows under one title, which may lead to its own page."""

    id: str
    title: str
    path: str
    facts: Sequence[str]
    rows: Sequence[SubjectRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Subject of a page, with the path and the filter of its incidents and data."""

    kind: str  # "country", "service", "network" or "region"
    title: str
    path: str
    parents: Sequence[tuple[str, str]]  # (title, path), the widest first
    filters: Mapping[str, str]  # parameters of feeds, API and archive
    timeline: Mapping[str, str]  # parameters of the timeline


def build_country(country: str, t: Locale) -> Subject:
    """Return a country as a subject."""
    return Subject(
        kind="country",
        title=labels.country_name(country, t.lang),
        path=f"/countries/{country}",
        parents=(),
        filters={"country": country},
        timeline={"country": country},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectView:
    """A subject with its part of the present, and its incidents."""

    subject: Subject
    snapshot: Snapshot  # the networks and services of the subject alone
    incidents: RecentIncidents
    silences: str = ""  # of a service: a sentence on the silent places
    names: NetworkNamer
    last_days: tuple[str, str] = ("", "")  # without present data, of the last: text, address


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectContent(PageContent):
    template: ClassVar[str] = "subject.html"
    outdated: str
    base: str
    subject: Subject
    headline: str
    line: IncidentLine | None
    below: str
    recent: RecentIncidents
    is_measured: bool
    chosen: str
    query: str
    archive: str
    windows: Sequence[tuple[str, str]]
    timeline: str
    last_days: tuple[str, str]
    groups: Sequence[SubjectGroup]
    omitted: int
    axis: Markup
    first: str
    shape: str
    k: int
    entry: int
    at: str


def render_subject(view: SubjectView, t: Locale, assets: Mapping[str, str], base: str) -> str:
    """Render a page; `base` is our address, for what programs read."""
    subject = view.subject
    groups = _GROUPERS[subject.kind](view, t)
    shown, omitted_count = _cut_groups(groups)
    headline = choose_headline(view, t)
    return render_page(
        SubjectContent(
            t=t,
            assets=assets,
            outdated=headlines.describe_outdated(view.snapshot, t),
            base=base,
            subject=subject,
            headline=headline,
            line=find_line(view.incidents, headline),
            below=_describe_rest(view, headline, t),
            recent=view.incidents,
            is_measured=bool(view.snapshot.columns),
            chosen=subject.title,
            query=f"?{urlencode(subject.filters)}",
            archive=f"/incidents?{urlencode(subject.filters)}",
            windows=[
                (name, f"{subject.path}?{encode_last_days(view.snapshot.at_us, days)}")
                for name, days in LAST_DAYS.items()
            ],
            timeline=f"/api/v1/timeline?{urlencode({**subject.timeline, 'bin': '1h'})}",
            last_days=view.last_days,
            groups=shown,
            omitted=omitted_count,
            axis=sparkline.draw_axis(view.snapshot.bins, t),
            first=headlines.format_clock(view.snapshot.since_us, t),
            shape=repr([(group.id, len(group.rows)) for group in shown]),
            k=view.snapshot.k,
            entry=view.snapshot.entry,
            at=format_second(view.snapshot.at_us),
        )
    )


def choose_headline(view: SubjectView, t: Locale) -> str:
    """Choose the headline: the gravest open incident, a trouble, or a working state."""
    troubles = headlines.list_troubles(view.snapshot.columns, view.snapshot.services, t)
    lead = find_headline_incident(view.incidents, has_troubles=bool(troubles))
    return lead.sentence if lead else _describe_present(view, t)


def _describe_present(view: SubjectView, t: Locale) -> str:
    title = view.subject.title
    columns = view.snapshot.columns
    if not columns:
        return t("subject.no_data", subject=title)
    troubles = headlines.list_troubles(columns, view.snapshot.services, t)
    if troubles:
        if view.subject.kind == "network" and len(columns) == 1:  # no "1 of 1 networks"
            return headlines.describe_group(columns[0], view.snapshot, t)
        sentence = t("now.semicolon").join(troubles)
        if view.subject.kind == "service" and title in sentence:
            return headlines.describe_present(view.snapshot, t)  # which says where
        return t("subject.told", subject=title, told=sentence)
    heard = [column for column in columns if not _is_gone(column, view.snapshot.k)]
    if headlines.has_reachable(heard):
        return t("subject.fine", subject=title, n=len(heard))
    return t("subject.unjudged", subject=title)


def _is_gone(column: NetworkColumn, k: int) -> bool:
    """Return whether nobody who may be counted is connected, of those who were lately."""
    return column.silent >= max(k, 1) > column.connected


def _describe_rest(view: SubjectView, headline: str, t: Locale) -> str:
    """Return the present state beside an incident, and the other open incidents."""
    present = _describe_present(view, t)
    if not view.snapshot.columns or present == headline:
        present = ""
    is_lead = find_line(view.incidents, headline) is not None
    beside = view.incidents.beside_lead if is_lead else ""
    if present and view.silences:
        present = f"{present.removesuffix('.')}."  # as another sentence follows
    return " ".join(filter(None, (beside, present, view.silences)))


def select_service(snapshot: Snapshot, service: str, title: str) -> Snapshot:
    """Return the networks that test a service, with it alone."""
    columns = tuple(
        replace(column, readings={service: column.readings[service]})
        for column in snapshot.columns
        if _is_measured(column.readings.get(service))
    )
    return replace(snapshot, columns=columns, services=((service, title),))


def select_network(snapshot: Snapshot, asn: int) -> Snapshot:
    """Return the columns of one network, in each country and type of access."""
    columns = tuple(column for column in snapshot.columns if column.group.asn == asn)
    return replace(snapshot, columns=columns)


def select_region(snapshot: Snapshot, country: str, region: str) -> Snapshot:
    """Return the networks of which enough vantages measured in a region.

    Where the region is dark and the rest of a network works, its readings are those of the rest.
    """
    columns = tuple(
        _darken_column(column, column.dark_regions[region])
        if region in column.dark_regions
        else column
        for column in snapshot.columns
        if column.group.country == country and region in column.regions
    )
    return replace(snapshot, columns=columns)


def _darken_column(column: NetworkColumn, link: Link) -> NetworkColumn:
    readings = {
        name: replace(reading, cell=None, since=None, withheld=Withheld.DARK)
        for name, reading in column.readings.items()
    }
    return replace(column, link=link, readings=readings, dark_regions={})


def _is_measured(reading: ServiceReading | None) -> bool:
    return reading is not None and bool(reading.cell or reading.withheld or any(reading.strip))


def _group_by_country(view: SubjectView, t: Locale) -> list[SubjectGroup]:
    """Group the networks of one service by country, the worst country first."""
    snapshot = view.snapshot
    by_country: dict[str, list[SubjectRow]] = {}
    for column in snapshot.columns:
        for service in column.readings:
            row = _build_row(
                column, service, headlines.format_network(column.group, t), snapshot, t
            )
            row = replace(
                row,
                path=network_path(column.group.asn),
                subtitle=view.names.name_network(column.group.asn),
            )
            by_country.setdefault(column.group.country, []).append(row)
    groups = [
        SubjectGroup(
            id=f"country-{code}",
            title=labels.country_name(code, t.lang),
            path=f"/countries/{code}",
            facts=[],
            rows=sorted(rows, key=_rank_row),
        )
        for code, rows in by_country.items()
    ]
    return sorted(groups, key=_rank_group)


def _group_by_network(view: SubjectView, t: Locale) -> list[SubjectGroup]:
    """Group services by network; a service's page is one step away."""
    snapshot = view.snapshot
    groups = []
    for column in snapshot.columns:
        head = build_head(column, snapshot.k, t)
        name = view.names.name_network(column.group.asn)
        rows = [
            replace(_build_row(column, service, title, snapshot, t), path=service_path(service))
            for service, title in snapshot.services
            if _is_measured(column.readings.get(service))
        ]
        groups.append(
            SubjectGroup(
                id=head.id,
                title=headlines.format_group(column.group, t),
                path=network_path(column.group.asn),
                facts=[fact for fact in (name, head.link, head.vantages, head.silent) if fact],
                rows=rows,
            )
        )
    return groups


_GROUPERS: Mapping[str, Callable[[SubjectView, Locale], list[SubjectGroup]]] = {
    "service": _group_by_country,
    "network": _group_by_network,
    "region": _group_by_network,
}


def service_path(service: str) -> str:
    """Return the path of a service's page; "" for a target that is a path itself."""
    return "" if "/" in service else f"/services/{service}"


def network_path(asn: int) -> str:
    """Return the path of a network's page; "" for unknown or other networks."""
    return f"/networks/AS{asn}" if asn else ""


def _build_row(
    column: NetworkColumn, service: str, title: str, snapshot: Snapshot, t: Locale
) -> SubjectRow:
    place = headlines.format_group(column.group, t)
    cell = build_cell(column, column.readings[service], snapshot, place, t)
    return SubjectRow(title=title, path="", cell=cell)


def _rank_row(row: SubjectRow) -> tuple[int, str]:
    return _rank_state(row.cell.state), row.title


def _rank_state(state: str) -> int:
    """Rank the classes of cells, the worst lowest; an unlisted one is a doubt."""
    if state in TROUBLE_MARKS:
        return TROUBLE_MARKS.index(state)
    doubt = len(TROUBLE_MARKS)
    return doubt + 1 + _BEST_LAST.index(state) if state in _BEST_LAST else doubt


def _rank_group(group: SubjectGroup) -> tuple[int, str]:
    return min(_rank_row(row)[0] for row in group.rows), group.title


def _cut_groups(groups: Sequence[SubjectGroup]) -> tuple[list[SubjectGroup], int]:
    """Return the first rows, and how many were left out."""
    shown: list[SubjectGroup] = []
    room = MAX_ROWS
    for group in groups:
        if room > 0:
            shown.append(replace(group, rows=group.rows[:room]))
        room -= len(group.rows)
    return shown, max(-room, 0)
