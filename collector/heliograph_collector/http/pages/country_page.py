"""A country's page: incidents, services, networks and regions on one time axis."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from operator import attrgetter

from markupsafe import Markup

from heliograph.observation import Link
from heliograph.timestamps import format_second, format_time
from heliograph.units import HOUR_US, SECOND_US
from heliograph_collector.aggregate.cell_state import list_functions
from heliograph_collector.aggregate.disclosure import BIN_US, FINE_FACTOR
from heliograph_collector.http import i18n, labels
from heliograph_collector.http.backend import NetworkNamer
from heliograph_collector.http.charts import sparkline, timeline_rows
from heliograph_collector.http.dark_places import DarkPlaces, locate
from heliograph_collector.http.day_range import LAST_DAYS, encode_last_days, encode_past_days
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.incident_document import parse_us
from heliograph_collector.http.pages import headlines
from heliograph_collector.http.pages.country_content import CountryContent
from heliograph_collector.http.pages.country_timeline import (
    WINDOWS,
    BinMark,
    ChosenWindow,
    CountryTimeline,
    TimelineRow,
    list_hours,
    trim_empty_start,
)
from heliograph_collector.http.pages.present_rows import (
    add_incident_spans,
    follow_readings,
    mark_dark_rows,
    show_window,
)
from heliograph_collector.http.pages.recent_incidents import (
    RecentIncidents,
    find_headline_incident,
    find_just_ended,
    find_line,
)
from heliograph_collector.http.pages.silent_share import SilentShare
from heliograph_collector.http.pages.state_rows import RowGroup, StateRow, build_row
from heliograph_collector.http.pages.subject_page import network_path, service_path
from heliograph_collector.http.pages.world_page import allow_breaks
from heliograph_collector.http.snapshot import FRESH_BINS, NetworkGroup, Snapshot
from heliograph_collector.http.templates import render_page
from heliograph_collector.incidents.published.incident import IncidentSummary
from heliograph_collector.model.records import Cell, VerdictState

DEFAULT_WINDOW = "day"
_YOUNG_BIN_US = FRESH_BINS * BIN_US  # for this long the status includes older votes


@dataclass(frozen=True, slots=True, kw_only=True)
class CountryView:
    """The request: a country, a time window, and its incidents."""

    country: str
    window: ChosenWindow
    incidents: Sequence[IncidentSummary]
    recent: RecentIncidents
    too_much: bool = False
    has_days: bool = False  # the history has the last day or the one in progress
    names: NetworkNamer
    titles: Mapping[str, str]  # of all services, also of those that nobody tests any more
    last_days: tuple[str, str] = ("", "")  # as of a `SubjectView`


def render_country(
    snapshot: Snapshot,
    present: CountryTimeline,
    timeline: CountryTimeline,
    view: CountryView,
    t: Locale,
    assets: Mapping[str, str],
) -> str:
    """Render the page.

    Args:
        present: The bins of the last day, which give the present states.
        timeline: The bins of the chart.
    """
    country = view.country
    country_title = labels.country_name(view.country, t.lang)
    timeline = _compose_rows(snapshot, present, timeline, view)
    country_snapshot = replace(
        snapshot, columns=tuple(c for c in snapshot.columns if c.group.country == country)
    )
    groups = [group for group in _build_groups(timeline, country_snapshot, view, t) if group.rows]
    lanes = timeline_rows.draw_lanes(view.incidents, timeline.starts, t)
    headline = _choose_headline(country_snapshot, view, t)
    ended = find_just_ended(view.recent, snapshot.at_us)
    is_by_minute = view.window.name == "hour"
    return render_page(
        CountryContent(
            t=t,
            chosen=country_title,
            code=country,
            query=f"?country={country}",
            recent=view.recent,
            is_measured=bool(country_snapshot.columns),
            headline=headline,
            last_days=view.last_days,
            line=find_line(view.recent, headline),
            below=_describe_below(country_snapshot, view.recent, headline, ended, t),
            windows=_list_windows(view, snapshot.at_us),
            hours=_list_hours(view, timeline.starts, snapshot.at_us, t),
            by_minute=is_by_minute,
            minutes_from=FINE_FACTOR * snapshot.k if is_by_minute and snapshot.k > 1 else 0,
            past=encode_past_days(country, view.window.starts),
            step=t(f"chart.step_{timeline.starts.step // SECOND_US}"),
            too_much=view.too_much,
            lanes=lanes.svg,
            lanes_told=t("country.incidents_count", n=lanes.count)
            if lanes.count
            else t("country.incidents_none"),
            groups=groups,
            shape=_hash_shape(groups, view.window.name),
            networks=len(country_snapshot.columns),
            axis=timeline_rows.draw_axis(timeline.starts, t),
            at=format_second(snapshot.at_us),
            entry=snapshot.entry,
            outdated=headlines.describe_outdated(snapshot, t),
            assets=assets,
        )
    )


def _compose_rows(
    snapshot: Snapshot, present: CountryTimeline, timeline: CountryTimeline, view: CountryView
) -> CountryTimeline:
    columns = [c for c in snapshot.columns if c.group.country == view.country]
    dark_places = DarkPlaces(view.incidents, (locate(c) for c in columns if c.is_spared))
    present = replace(present, recent_bins=_count_recent_bins(snapshot, present))
    present = mark_dark_rows(follow_readings(present, columns), view.country, dark_places, columns)
    timeline = add_incident_spans(show_window(present, timeline), view.country, dark_places)
    if view.window.name == "hour":
        return timeline
    first_us = min((parse_us(i.started.earliest) for i in view.incidents), default=snapshot.at_us)
    return trim_empty_start(timeline, first_us)


def _count_recent_bins(snapshot: Snapshot, timeline: CountryTimeline) -> int:
    """Return from how many of the newest bins a row takes its state now.

    The bin in progress has too few vantages when it has only begun, and beyond k = 1 it is not
    public before it is over. The bin before it is public from the first instant after its end.
    """
    began_us = timeline.starts[-1]
    if timeline.instant_us < began_us:
        return 3
    return 2 if snapshot.k > 1 or snapshot.at_us - began_us < _YOUNG_BIN_US else 1


def _page_path(country: str, window: str) -> str:
    path = f"/countries/{country}"
    if window == "hour":
        return f"{path}?bin=1m"
    return path if window == DEFAULT_WINDOW else f"{path}?window={window}"


def _list_windows(view: CountryView, at_us: int) -> list[tuple[str, str, bool]]:
    """List (name, path, is shown) of the windows."""
    return [(n, _window_path(view, n, at_us), n == view.window.name) for n in WINDOWS]


def _window_path(view: CountryView, window: str, at_us: int) -> str:
    """Return the path of a window's link: counted days cost the store nothing."""
    days = LAST_DAYS.get(window)
    if days and view.has_days:
        return f"/countries/{view.country}?{encode_last_days(at_us, days)}"
    return _page_path(view.country, window)


def _list_hours(
    view: CountryView, starts: range, at_us: int, t: Locale
) -> list[tuple[str, str, bool]]:
    """List (label, path, is shown) of hours that the chart shows by the minute."""
    if view.window.name not in ("hour", DEFAULT_WINDOW):
        return []
    return [
        (
            i18n.format_clock(t.lang, i18n.to_datetime(end_us - HOUR_US)),
            f"{_page_path(view.country, 'hour')}&until={format_time(end_us)}",
            end_us == view.window.until_us,
        )
        for end_us in list_hours(view.window, starts, at_us)
    ]


def _hash_shape(groups: Sequence[RowGroup], window: str) -> str:
    """Return a hash of the row ids; when it changes, the script replaces the table."""
    shape_key = repr((window, [[row.id for row in group.rows] for group in groups]))
    return sha256(shape_key.encode()).hexdigest()[:12]


def _choose_headline(country_snapshot: Snapshot, view: CountryView, t: Locale) -> str:
    """Choose the gravest open incident as headline, or the current state.

    Votes from before a silence stay fresh for a while, so the state can look good. Where all is
    well again, a reader asks whether it is over: for a day the headline tells that.
    """
    troubles = headlines.list_troubles(country_snapshot.columns, country_snapshot.services, t)
    lead = find_headline_incident(view.recent, has_troubles=bool(troubles))
    if lead:
        return lead.sentence
    ended = find_just_ended(view.recent, country_snapshot.at_us)
    if ended and country_snapshot.columns and not troubles and not view.recent.under_way:
        return ended
    headline = headlines.describe_networks(country_snapshot, t)
    return headlines.name_country(headline, country_snapshot, view.country, t)


def _describe_below(
    snapshot: Snapshot, recent: RecentIncidents, headline: str, ended: str, t: Locale
) -> str:
    """Return other troubles beside an incident as the headline, and ended ones."""
    beside = []
    if find_line(recent, headline) is not None:
        down = headlines.describe_down(snapshot.columns, snapshot.services, t)
        beside = [recent.beside_lead, *(f"{sentence}." for sentence in down)]
    return " ".join(filter(None, (*beside, "" if headline == ended else ended)))


def _build_groups(
    timeline: CountryTimeline, country_snapshot: Snapshot, view: CountryView, t: Locale
) -> list[RowGroup]:
    # 0, an unknown network, comes last
    numbers = sorted(timeline.networks, key=attrgetter("asn"))
    named = [group for group in numbers if group.asn] + [g for g in numbers if not g.asn]
    networks = [(group, timeline.networks[group]) for group in named]

    def build_network_rows(accesses: Sequence[str]) -> list[StateRow]:
        return [
            _build_network_row(g, track, timeline, view.names, t)
            for g, track in networks
            if g.access in accesses
        ]

    other_accesses = sorted({group.access for group in timeline.networks} - {"mobile", "fixed"})
    return [
        RowGroup(
            title=t("country.services"),
            rows=_build_service_rows(timeline, country_snapshot, view.titles, t),
        ),
        RowGroup(title=t("country.networks_mobile"), rows=build_network_rows(["mobile"])),
        RowGroup(title=t("country.networks_fixed"), rows=build_network_rows(["fixed"])),
        RowGroup(title=t("country.networks_other"), rows=build_network_rows(other_accesses)),
        RowGroup(
            title=t("country.regions"), rows=_build_region_rows(timeline, country_snapshot, t)
        ),
    ]


def _build_service_rows(
    timeline: CountryTimeline, country_snapshot: Snapshot, titles: Mapping[str, str], t: Locale
) -> list[StateRow]:
    """Build service rows; reachable ones mention the blocked and the silent networks.

    The majority of a country's vantages may reach what one operator blocks, and a vote for a
    service says nothing about the networks that are silent.
    """
    titles = {**titles, **dict(country_snapshot.services)}
    share = SilentShare(
        networks=sum(track.present is BinMark.SILENT for track in timeline.networks.values()),
        of=len(timeline.networks),
        has_dark_regions=any(column.is_partly_dark for column in country_snapshot.columns),
    )
    rows = []
    for name, track in timeline.services.items():
        title = allow_breaks(labels.service_title(name, titles, t.lang))
        row = _build_row(sparkline.build_slug("service", name), title, "", track, timeline, t)
        row = replace(row, path=service_path(name))
        if row.state == "partial" and not row.cause:
            row = replace(row, cause=t("country.blocked_parts"))
        if row.state in ("reachable", "partial", "unknown"):
            row = _add_blocked_networks(row, name, country_snapshot, t)
        rows.append(replace(row, cause=share.qualify(row.state, row.cause, t)))
    return rows


def _add_blocked_networks(
    row: StateRow, service: str, country_snapshot: Snapshot, t: Locale
) -> StateRow:
    """Return the row as blocked, or partly, if networks block it, with their number."""
    readings = [c.readings[service] for c in country_snapshot.columns if service in c.readings]
    states = [r.state for r in readings if r.state not in (None, VerdictState.UNKNOWN)]
    blocked_count = states.count(VerdictState.BLOCKED)
    if not blocked_count:
        return row
    is_everywhere = blocked_count == len(states)
    state = VerdictState.BLOCKED if is_everywhere else VerdictState.PARTIAL
    return replace(
        row,
        state=state.value,
        symbol=labels.SYMBOLS[state],
        label=labels.label_code("state", state.value, t.lang),
        cause=t("country.blocked_networks", n=blocked_count, total=len(states)),
    )


def _build_network_row(
    group: NetworkGroup,
    track: TimelineRow,
    timeline: CountryTimeline,
    names: NetworkNamer,
    t: Locale,
) -> StateRow:
    is_merged = not group.asn and not group.access
    subtitle = t("country.others") if is_merged else labels.access_name(group.access, t.lang)
    if name := names.name_network(group.asn):
        subtitle = f"{i18n.isolate_foreign(t.lang, name)} · {subtitle}"
    title = labels.network_name(group.asn, group.access, t.lang)
    row = _build_row(sparkline.build_slug("network", group), title, subtitle, track, timeline, t)
    return replace(row, path=network_path(group.asn))


def _build_region_rows(
    timeline: CountryTimeline, country_snapshot: Snapshot, t: Locale
) -> list[StateRow]:
    """Build region rows; reachable ones mention silent networks that measured there."""
    rows = []
    for code, track in timeline.regions.items():
        name = labels.region_name(code, t.lang)
        id_ = sparkline.build_slug("region", code)
        row = _build_row(id_, name, code if code != name else "", track, timeline, t)
        row = replace(row, path=f"/countries/{code[:2]}/{code}")
        links = [c.link for c in country_snapshot.columns if code in c.regions]
        share = SilentShare(networks=links.count(Link.OFFLINE), of=len(links))
        rows.append(replace(row, cause=share.qualify(row.state, row.cause, t)))
    return sorted(rows, key=attrgetter("title"))


def _build_row(
    id_: str,
    title: str | Markup,
    subtitle: str,
    track: TimelineRow,
    timeline: CountryTimeline,
    t: Locale,
) -> StateRow:
    mark = track.present
    return build_row(
        id_,
        title,
        subtitle,
        mark.value if mark else "nothing",
        t,
        cause=_describe_cause(mark, track, t),
        chart=timeline_rows.draw_row(track, timeline.starts, t),
    )


def _describe_cause(mark: BinMark | None, track: TimelineRow, t: Locale) -> str:
    if mark is BinMark.PARTIAL and track.newest is not None:
        return labels.describe_functions(list_functions(track.newest), t.lang)
    if mark is not BinMark.BLOCKED:
        return ""
    if track.judged > 1:
        counted = "country.blocked_networks" if track.is_by_network else "country.blocked_of"
        return t(counted, n=track.blocked, total=track.judged)
    causes: Iterable[Cell] = [track.newest] if track.newest else []
    return next((labels.describe_method(c.layer, c.method, t.lang) for c in causes), "")
