"""Show a subject over chosen days: incidents, our results, and others'. Pure.

Our rows come from the daily files alone. Other projects' results are another table under their name
and license: they are never counted with ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from urllib.parse import urlencode

from heliograph.timestamps import format_time
from heliograph.units import DAY_US
from heliograph_collector.http import i18n, labels
from heliograph_collector.http.backend import NetworkNamer
from heliograph_collector.http.charts import timeline_rows
from heliograph_collector.http.charts.history_chart import ChartRow, HistoryChart, list_legend
from heliograph_collector.http.dark_places import DarkPlaces
from heliograph_collector.http.day_range import DayRange
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.pages import headlines
from heliograph_collector.http.pages.country_timeline import BinMark, IncidentSpan, TimelineRow
from heliograph_collector.http.pages.history_content import DataLinks, HistoryContent
from heliograph_collector.http.pages.history_tracks import (
    Track,
    build_tracks,
    describe_track,
    rank_track,
)
from heliograph_collector.http.pages.imported_rows import (
    ImportedTable,
    build_imported_chart,
    build_imported_table,
    describe_imported,
    list_networks,
)
from heliograph_collector.http.pages.recent_incidents import build_line
from heliograph_collector.http.pages.state_rows import RowGroup, StateRow, build_row
from heliograph_collector.http.pages.subject_page import Subject, network_path, service_path
from heliograph_collector.http.snapshot import NetworkGroup
from heliograph_collector.http.templates import render_page
from heliograph_collector.incidents.published.incident import IncidentDocument
from heliograph_collector.model.history import (
    Axis,
    CellHistory,
)
from heliograph_collector.model.imported import ImportedHistory
from heliograph_collector.model.records import VerdictState
from heliograph_collector.model.scope import Scope

MAX_ROWS = 40  # of one group: more are counted, the worst are shown; assumed
_MAX_INCIDENTS = 20  # of the list; the archive has all of them
_MAX_NAMED = 8  # rows that the sentence names
_MAX_ANSWERS = 4  # lines before the table; on a phone they fill the first screen
_PLACE_ROWS = (f"days-{Axis.NETWORK}-", f"days-{Axis.REGION}-")  # of all services together
_CHART_ORDER = (*(axis for axis in Axis if "service" in axis), Axis.SITE, Axis.NETWORK_SITE,
                Axis.NETWORK, Axis.REGION)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryView:
    """A subject, the chosen days, and all that is known of them."""

    subject: Subject
    service: str = ""  # the one service that the rows are about
    days: DayRange
    history: CellHistory
    imported: ImportedHistory
    incidents: Sequence[IncidentDocument]  # newest first
    services: Mapping[str, str]  # titles
    names: NetworkNamer
    too_much: bool = False
    # Of a country: service → network → days on which it was found blocked there; of a service the
    # same by country.
    blocking_networks: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    k: int
    now_us: int


def render_history(view: HistoryView, t: Locale, assets: Mapping[str, str], base: str) -> str:
    """Render a page; `base` is our address, for what is printed."""
    subject = view.subject
    starts = view.days.starts
    tracks = build_tracks(view.history.rows, view.days)
    groups = _build_groups(tracks, view, t)
    lanes = timeline_rows.draw_lanes(view.incidents, starts, t)
    address = page_address(view)
    filters = {**subject.filters, **view.days.parameters}
    parameters = urlencode(_api_parameters(view))
    imported_query = urlencode(_imported_parameters(view))
    title = title_days(view, t)
    imported = _build_imported(view, t)
    sentence = _describe_troubles(tracks, view, t)
    if imported:  # else our sentence would hide the table below
        own = {row.title for group in groups for row in group.rows if row.state == "blocked"}
        sentence = f"{sentence} {describe_imported(imported, own, t)}".strip()
    return render_page(
        HistoryContent(
            t=t,
            assets=assets,
            base=base,
            subject=subject,
            title=title,
            summary=sentence,
            answers=_list_answers(groups, imported),
            below=_describe_archive(view, t),
            address=address,
            now_path=subject.path,
            chosen_since=view.days.parameters["since"],
            chosen_until=view.days.parameters["until"],
            chosen_service=view.service,
            archive=f"/incidents?{urlencode(filters)}",
            links=_link_data("/api/v1/history", parameters, "/charts/history", parameters),
            imported_links=_link_data(
                "/api/v1/imported", imported_query, "/charts/imported", parameters
            ),
            step=t(f"chart.step_{view.days.bin_s}"),
            lines=[build_line(incident, t) for incident in view.incidents[:_MAX_INCIDENTS]],
            incident_count=len(view.incidents),
            lanes=lanes.svg,
            lanes_told=t("country.incidents_count", n=lanes.count)
            if lanes.count
            else t("country.incidents_none"),
            groups=groups,
            axis=timeline_rows.draw_axis(starts, t),
            imported=imported,
            too_much=view.too_much,
            printed=t(
                "incident.printed",
                address=f"{base}{address}",
                when=i18n.format_day(t.lang, i18n.to_datetime(view.now_us)),
            ),
        )
    )


def _link_data(api: str, api_query: str, chart: str, chart_query: str) -> DataLinks:
    return DataLinks(
        csv=f"{api}?{api_query}&format=csv",
        json=f"{api}?{api_query}",
        picture=f"{chart}.png?{chart_query}",
        drawing=f"{chart}.svg?{chart_query}",
        frame=f"{chart}?{chart_query}",
    )


def _list_answers(
    groups: Sequence[RowGroup], imported: ImportedTable | None
) -> list[tuple[str, str]]:
    """List blocks, with times and networks, in the rows' words; others' without ours."""
    rows = [row for group in groups for row in group.rows if not row.id.startswith(_PLACE_ROWS)]
    source = ""
    if imported and not rows:
        rows = list(imported.rows)
        source = "".join(f"{publisher.name} · " for publisher in imported.sources)
    blocked = [row for row in rows if row.state == VerdictState.BLOCKED]
    return [(row.title, f"{source}{row.cause}") for row in blocked[:_MAX_ANSWERS]]


def page_address(view: HistoryView) -> str:
    """Return the one path and query of a page."""
    is_part = view.service and view.subject.kind != "service"
    service = {"service": view.service} if is_part else {}
    return f"{view.subject.path}?{urlencode({**view.days.parameters, **service})}"


def build_chart(view: HistoryView, credit: str, most: int, t: Locale) -> HistoryChart:
    """Build the image of a page: its rows, those in trouble first."""
    tracks = sorted(build_tracks(view.history.rows, view.days), key=rank_track)
    tracks.sort(key=lambda track: _CHART_ORDER.index(track.id[0]))
    rows = []
    shown = tracks[:most]
    for track, row in zip(shown, _draw_tracks(shown, view), strict=True):
        title, subtitle, _ = _name_row(track, view, t)
        description = " · ".join(filter(None, (subtitle, describe_track(track, t))))
        chart = timeline_rows.draw_row(row, view.days.starts, t)
        rows.append(ChartRow(title=title, subtitle=description, chart=chart))
    left = len(tracks) - len(rows)
    return HistoryChart(
        title=title_days(view, t),
        sentence=_describe_troubles(tracks, view, t),
        rows=rows,
        omitted=t("history.more_rows", n=left) if left else "",
        footer=credit,
        legend=list_legend(t),
        starts=view.days.starts,
    )


def build_others_chart(view: HistoryView, address: str, most: int, t: Locale) -> HistoryChart:
    """Build the image of what other projects measured."""
    return build_imported_chart(
        _build_imported(view, t),
        view.days.starts,
        most,
        t,
        title=title_days(view, t),
        address=address,
    )


def _build_imported(view: HistoryView, t: Locale) -> ImportedTable | None:
    return build_imported_table(
        view.imported,
        view.days,
        view.names,
        view.services,
        t,
        now_us=view.now_us,
        by_country=view.subject.kind == "service",
    )


def title_days(view: HistoryView, t: Locale) -> str:
    """Return the subject and the days, as "Kazakhstan · 5 January 2022"."""
    since = i18n.format_day(t.lang, i18n.to_datetime(view.days.since_us))
    until = i18n.format_day(t.lang, i18n.to_datetime(view.days.until_us - DAY_US))
    days = since if since == until else t("history.days", since=since, until=until)
    subject = view.subject.title
    if view.service and view.subject.kind != "service":
        subject = f"{subject} · {labels.service_title(view.service, view.services, t.lang)}"
    return f"{i18n.isolate_foreign(t.lang, subject)} · {days}"


def _api_parameters(view: HistoryView) -> dict[str, str]:
    service = {"service": view.service} if view.service else {}
    return {**view.subject.timeline, **service, **view.days.parameters}


def _imported_parameters(view: HistoryView) -> dict[str, str]:
    country = view.subject.filters.get("country")
    return {
        **({"country": country} if country else {}),
        "since": format_time(view.days.since_us),
        "until": format_time(view.days.until_us),
    }


def _draw_tracks(tracks: Sequence[Track], view: HistoryView) -> list[TimelineRow]:
    """Return the rows with confirmed incidents, in which a bar may look well."""
    dark_places = DarkPlaces(view.incidents)
    silences: dict[Scope, tuple[IncidentSpan, ...]] = {}  # most rows are of the same place
    rows = []
    for track in tracks:
        place = Scope(*track.id[1:5])
        if place not in silences:
            silent_spans = dark_places.list_silent_spans(place)
            silences[place] = _build_spans(BinMark.SILENT, silent_spans, view.now_us)
        blocks = dark_places.list_blocked_spans(place, track.id[5])
        spans = _build_spans(BinMark.BLOCKED, blocks, view.now_us) + silences[place]
        rows.append(replace(track.row, spans=spans))
    return rows


def _build_spans(
    mark: BinMark, spans: Sequence[tuple[int, int]], now_us: int
) -> tuple[IncidentSpan, ...]:
    return tuple(
        IncidentSpan(mark, since_us, min(until_us, now_us)) for since_us, until_us in spans
    )


def _build_groups(tracks: Sequence[Track], view: HistoryView, t: Locale) -> list[RowGroup]:
    titles = {
        "services": t("country.services"),
        "countries": t("history.countries"),
        "mobile": t("country.networks_mobile"),
        "fixed": t("country.networks_fixed"),
        "other": t("country.networks_other"),
        "regions": t("country.regions"),
        "sites": t("history.sites"),
    }
    by_group: dict[str, list[Track]] = {}
    for track in tracks:
        by_group.setdefault(_choose_group(track, view), []).append(track)
    ranked_groups = {name: sorted(by_group.get(name, ()), key=rank_track) for name in titles}
    listed = [track for ranked in ranked_groups.values() for track in ranked[:MAX_ROWS]]
    drawn = {track.id: bars for track, bars in zip(listed, _draw_tracks(listed, view), strict=True)}
    groups = []
    for name, title in titles.items():
        ranked = ranked_groups[name]
        rows = [_build_row(track, drawn[track.id], view, t) for track in ranked[:MAX_ROWS]]
        if left := len(ranked) - len(rows):
            title = f"{title} · {t('history.more_rows', n=left)}"
        if rows:
            groups.append(RowGroup(title=title, rows=rows))
    return groups


def _choose_group(track: Track, view: HistoryView) -> str:
    axis = track.id[0]
    if axis in (Axis.SITE, Axis.NETWORK_SITE) and not view.service:
        return "sites"
    if view.subject.kind == "service":
        return "countries"
    if axis is Axis.REGION:
        return "regions"
    is_network = axis is Axis.NETWORK or (view.service and view.subject.kind == "country")
    if not is_network:
        return "services"
    return track.id[4] if track.id[4] in ("mobile", "fixed") else "other"


def _build_row(track: Track, bars: TimelineRow, view: HistoryView, t: Locale) -> StateRow:
    title, subtitle, path = _name_row(track, view, t)
    state = track.worst or "nothing"
    facts = [describe_track(track, t)]
    is_service = view.subject.kind == "service"
    networks = view.blocking_networks.get(track.id[1] if is_service else track.id[5])
    if networks and state == BinMark.BLOCKED and (is_service or track.id[0] is Axis.SERVICE):
        facts += list_networks(networks, view.names, t)
    return build_row(
        "-".join(("days", *(str(part) for part in track.id))),
        title,
        subtitle,
        state,
        t,
        cause=" · ".join(facts),
        chart=timeline_rows.draw_row(bars, view.days.starts, t),
        path=path,
    )


def _name_row(track: Track, view: HistoryView, t: Locale) -> tuple[str, str, str]:
    """Return title, subtitle and path of a row; the path keeps the days."""
    axis, country, region, asn, access, service = track.id
    days = _encode_days(view.days)
    if view.subject.kind == "service":
        path = f"/countries/{country}?{days}&{urlencode({'service': service})}"
        return labels.country_name(country, t.lang), "", path
    if axis is Axis.REGION:
        name = labels.region_name(region, t.lang)
        subtitle = region if region != name else ""
        return name, subtitle, f"/countries/{country}/{region}?{days}"
    if axis is Axis.NETWORK or (view.service and view.subject.kind == "country"):
        title = headlines.format_network(NetworkGroup(country, asn, access), t)
        name = i18n.isolate_foreign(t.lang, view.names.name_network(asn))
        path = network_path(asn)
        return title, name or ("" if asn else t("country.others")), path and f"{path}?{days}"
    title = labels.service_title(service, view.services, t.lang)
    subtitle = labels.country_name(country, t.lang) if view.subject.kind == "network" else ""
    return title, subtitle, _service_days_path(track, view)


def _service_days_path(track: Track, view: HistoryView) -> str:
    """Return the path of a service's row: its networks in a country, else itself."""
    service = track.id[5]
    days = _encode_days(view.days)
    if view.subject.kind == "country":
        return f"/countries/{track.id[1]}?{days}&{urlencode({'service': service})}"
    path = service_path(service)
    return f"{path}?{days}" if path else ""


@lru_cache(maxsize=16)  # each row of a page has them in its link
def _encode_days(days: DayRange) -> str:
    return urlencode(days.parameters)


def _describe_troubles(tracks: Sequence[Track], view: HistoryView, t: Locale) -> str:
    """Return the page's sentence: what was blocked, or silent, in which rows."""
    if not tracks:
        return t("history.nothing")
    blocked = [track for track in tracks if track.worst == "blocked"]
    named = [_name_row(track, view, t)[0] for track in sorted(blocked, key=rank_track)]
    if view.subject.kind == "country" and not view.service:
        pairs = zip(sorted(blocked, key=rank_track), named, strict=True)
        named = [name for track, name in pairs if track.id[0] in (Axis.SERVICE, Axis.SITE)]
    if named:
        listed = named[:_MAX_NAMED]
        if left := len(named) - len(listed):
            return t("history.blocked_more", names=t("list.comma").join(listed), n=left)
        return t("history.blocked", names=i18n.join_names(t.lang, listed))
    if any(track.worst == "silent" for track in tracks):
        return t("history.silent")
    return t("history.none_blocked")


def _describe_archive(view: HistoryView, t: Locale) -> str:
    """Return which of the chosen days have our data at all."""
    first_us = view.history.first_us
    last_us = view.history.last_us
    if first_us is None or last_us is None:
        return t("history.no_archive")
    return t(
        "history.archive",
        since=i18n.format_day(t.lang, i18n.to_datetime(first_us)),
        until=i18n.format_day(t.lang, i18n.to_datetime(last_us)),
    )
