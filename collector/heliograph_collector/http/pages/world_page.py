"""The front page as a pure function of a snapshot, for readers and the script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import ClassVar

from markupsafe import Markup

from heliograph.observation import Link
from heliograph.timestamps import format_second
from heliograph_collector.aggregate.cell_state import list_functions
from heliograph_collector.http import i18n, labels
from heliograph_collector.http.anonymity import format_band
from heliograph_collector.http.api.status import format_total
from heliograph_collector.http.charts import sparkline
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.incident_document import is_counted
from heliograph_collector.http.pages import headlines, world_map
from heliograph_collector.http.pages.headlines import format_clock
from heliograph_collector.http.pages.recent_incidents import (
    IncidentLine,
    RecentIncidents,
    find_just_ended,
    find_line,
)
from heliograph_collector.http.pages.world_map import CountrySummary, MapShape, format_vantages
from heliograph_collector.http.snapshot import (
    NetworkColumn,
    ServiceReading,
    Snapshot,
    Withheld,
)
from heliograph_collector.http.templates import PageContent, render_page
from heliograph_collector.incidents.published.incident import IncidentSummary
from heliograph_collector.model.records import VerdictState
from heliograph_collector.model.thresholds import Thresholds

MAX_COLUMNS = 24  # in the table of one country
_SYMBOLS = {"silent": "∅", "nothing": headlines.DASH}
_CROWDED_OPEN = 3  # from this number on, ended incidents are below the map
_WORLD_COLUMNS = 6  # a wider table would be less clear than the list of countries


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnHead:
    id: str
    country: str
    network: str
    access: str
    link: str
    link_class: str
    vantages: str
    silent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCell:
    """One cell of the table, in words."""

    id: str
    where: str
    state: str  # class name; "silent" or "nothing" without data
    symbol: str
    label: str
    cause: str
    facts: Sequence[str]
    sparkline: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRow:
    name: str
    title: Markup
    boxes: Sequence[ServiceCell]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldContent(PageContent):
    template: ClassVar[str] = "page.html"
    snapshot: Snapshot
    headline: str
    line: IncidentLine | None
    below: str
    recent: RecentIncidents
    layout: str
    is_measured: bool
    days: int
    lands: Sequence[CountrySummary]
    cut: int
    shapes: Sequence[MapShape]
    view_box: str
    symbols: Mapping[str, str]
    heads: Sequence[ColumnHead]
    rows: Sequence[ServiceRow]
    hidden: int
    query: str
    chosen: str
    code: str
    connected: int
    at: str
    entry: int
    axis: Markup
    first: str
    shape: str
    outdated: str
    vantages: str
    blind: Sequence[tuple[str, str]]
    voted: str | None


def render_world(
    world_snapshot: Snapshot,
    assets: Mapping[str, str],
    recent: RecentIncidents,
    under_way: Sequence[IncidentSummary],
    country: str,
    t: Locale,
) -> str:
    """Render HTML, for one country if given; `under_way`: the open incidents of `recent`."""
    country_columns = tuple(c for c in world_snapshot.columns if country in ("", c.group.country))
    snapshot = replace(world_snapshot, columns=country_columns)
    coverage = snapshot.coverage
    countries = world_map.summarize_countries(snapshot, under_way, t)
    columns = _select_columns(country_columns, country)
    headline, subheadline = _choose_headlines(snapshot, under_way, recent, t)
    if country and headline == headlines.describe_networks(snapshot, t):
        headline = headlines.name_country(headline, snapshot, country, t)
    return render_page(
        WorldContent(
            t=t,
            snapshot=snapshot,
            headline=headline,
            line=find_line(recent, headline),
            below=subheadline,
            recent=recent,
            layout=_choose_layout(recent, has_coverage=bool(country_columns)),
            is_measured=bool(country_columns),
            days=round(Thresholds().established_days),
            lands=countries,
            cut=sum(land.state in world_map.TROUBLED_STATES for land in countries),
            shapes=[] if country else world_map.list_shapes(countries, t),
            view_box=world_map.read_view_box(),
            symbols=world_map.SYMBOLS,
            heads=[build_head(column, world_snapshot.k, t) for column in columns],
            rows=[
                _build_row(service, title, columns, world_snapshot, t)
                for service, title in world_snapshot.services
            ],
            hidden=len(country_columns) - len(columns) if columns else 0,
            query=f"?country={country}" if country else "",
            chosen=labels.country_name(country, t.lang) if country else "",
            code=country,
            connected=coverage.agents.volunteers,
            at=format_second(world_snapshot.at_us),
            entry=world_snapshot.entry,
            axis=sparkline.draw_axis(world_snapshot.bins, t),
            first=format_clock(max(world_snapshot.since_us, coverage.began_us), t),
            shape=_hash_shape(columns, countries, snapshot, recent, t),
            outdated=headlines.describe_outdated(snapshot, t),
            assets=assets,
            vantages=format_vantages(sum(c.vantages for c in country_columns), snapshot.k, t),
            blind=[
                (format_clock(since_us, t), format_clock(until_us, t))
                for since_us, until_us in coverage.gaps
            ],
            voted=None if coverage.first_us is None else format_clock(coverage.first_us, t),
        )
    )


def _choose_headlines(
    snapshot: Snapshot,
    under_way: Sequence[IncidentSummary],
    recent: RecentIncidents,
    t: Locale,
) -> tuple[str, str]:
    """Choose (headline, subheadline), which for a day mention the end of an incident.

    The end leads if nothing is wrong any more, and else follows.
    """
    headline, subheadline = headlines.describe_world(
        snapshot, list_open(under_way, recent), recent.is_watched, t
    )
    ended = find_just_ended(recent, snapshot.at_us)
    troubles = headlines.list_troubles(snapshot.columns, snapshot.services, t)
    if ended and snapshot.columns and not recent.under_way and not troubles:
        return ended, headline
    return headline, " ".join(filter(None, (subheadline, ended)))


def list_open(
    under_way: Sequence[IncidentSummary], recent: RecentIncidents
) -> headlines.OpenIncidents:
    """Sum up the open incidents, the gravest first, for the headline."""
    counted = [i for i in under_way if is_counted(i)]
    return headlines.OpenIncidents(
        confirmed=[i.scope.country for i in counted if i.state == "confirmed"],
        is_disturbed=not counted and any(i.state == "confirmed" for i in under_way),
        suspected=[i.scope.country for i in counted if i.state == "suspected"],
        first=recent.lead.sentence if recent.lead else "",
        beside=recent.beside_lead,
    )


def _select_columns(
    country_columns: Sequence[NetworkColumn], country: str
) -> Sequence[NetworkColumn]:
    if country:
        return country_columns[:MAX_COLUMNS]
    return country_columns if len(country_columns) <= _WORLD_COLUMNS else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnavailableContent(PageContent):
    template: ClassVar[str] = "unavailable.html"
    reason: str


def render_unavailable(reason: str, assets: Mapping[str, str], t: Locale) -> str:
    """Render a page for while the store does not answer; it reloads itself."""
    return render_page(UnavailableContent(reason=reason, assets=assets, t=t))


def _choose_layout(recent: RecentIncidents, *, has_coverage: bool) -> str:
    """Choose "quiet", "apart" or "under".

    "quiet": no incidents, and the map has the full width. "apart": ended incidents are below the
    map. "under": they are below the open ones.
    """
    if has_coverage and not recent.under_way and not recent.ended:
        return "quiet"
    return "apart" if len(recent.under_way) >= _CROWDED_OPEN else "under"


def _hash_shape(
    columns: Sequence[NetworkColumn],
    countries: Sequence[CountrySummary],
    snapshot: Snapshot,
    recent: RecentIncidents,
    t: Locale,
) -> str:
    """Return a hash of rows and columns; if it changes, the script replaces the page."""
    listed = [(country_summary.code, len(country_summary.lines)) for country_summary in countries]
    layout_key = (
        [c.group for c in columns],
        listed,
        _choose_layout(recent, has_coverage=bool(snapshot.columns)),
    )
    shape_key = repr((layout_key, snapshot.services, t.lang))
    return sha256(shape_key.encode()).hexdigest()[:12]


def build_head(column: NetworkColumn, k: int, t: Locale) -> ColumnHead:
    group = column.group
    return ColumnHead(
        id=sparkline.build_slug("head", group),
        country=labels.country_name(group.country, t.lang),
        network=labels.network_name(group.asn, group.access, t.lang),
        access=labels.access_name(group.access, t.lang) if group.access else "",
        link=t("story.silent")
        if column.is_one_way
        else labels.label_code("link", column.link.value, t.lang),
        link_class=column.link.value,
        vantages=format_vantages(column.vantages, k, t),
        silent=headlines.describe_silent(column, k, t)
        or (t("now.partly_dark") if column.is_partly_dark else ""),
    )


def _build_row(
    service: str, title: str, columns: Sequence[NetworkColumn], snapshot: Snapshot, t: Locale
) -> ServiceRow:
    return ServiceRow(
        name=service,
        title=allow_breaks(title),
        boxes=[
            build_cell(
                column,
                column.readings[service],
                snapshot,
                headlines.format_group(column.group, t),
                t,
            )
            for column in columns
        ],
    )


def allow_breaks(title: str) -> Markup:
    """Allow line breaks before the dots of a name."""
    return Markup("<wbr>.").join(title.split("."))


def build_cell(
    column: NetworkColumn,
    reading: ServiceReading,
    snapshot: Snapshot,
    place_text: str,
    t: Locale,
) -> ServiceCell:
    state = reading.state
    name = state.value if state else "silent" if column.link is Link.OFFLINE else "nothing"
    has_trouble = state in (VerdictState.BLOCKED, VerdictState.DOWN)
    return ServiceCell(
        id=sparkline.build_slug("cell", column.group, reading.service),
        where=place_text,
        state=name,
        symbol=labels.SYMBOLS[state] if state else _SYMBOLS[name],
        label=t("story.silent" if column.is_one_way else "now.offline_word")
        if name == "silent"
        else labels.label_code("state", name, t.lang),
        cause=_describe_cause(column, reading, has_trouble, t),
        facts=_list_facts(reading, snapshot.k, t),
        sparkline=sparkline.draw_sparkline(reading.strip, snapshot.bins, t),
    )


def _describe_cause(
    column: NetworkColumn, reading: ServiceReading, has_trouble: bool, t: Locale
) -> str:
    if column.link is Link.OFFLINE:
        return "" if column.is_one_way else t("now.how_offline")
    if reading.withheld is Withheld.BLOCKED:
        return t("now.how_incident")
    if reading.cell is None:
        is_stale = reading.withheld in (None, Withheld.DARK)
        return t("now.how_stale" if is_stale else "now.how_awaited")
    method_text = (
        labels.describe_method(reading.cell.layer, reading.cell.method, t.lang)
        if has_trouble
        else ""
    )
    if reading.state is VerdictState.PARTIAL:
        return labels.describe_functions(list_functions(reading.cell), t.lang)
    if reading.state is VerdictState.DOWN:
        return t("now.how_both", how=method_text) if method_text else t("now.how_control")
    return _describe_doubt(column, t) if reading.state is VerdictState.UNKNOWN else method_text


def _describe_doubt(column: NetworkColumn, t: Locale) -> str:
    has_full_link = column.link in (Link.ONLINE, Link.UNKNOWN)
    return t("now.how_few") if has_full_link else t("now.how_link")


def _list_facts(reading: ServiceReading, k: int, t: Locale) -> list[str]:
    cell = reading.cell
    if cell is None:
        return [fact for fact in (headlines.describe_since(reading.since, t),) if fact]
    confidence_text = (
        ""
        if cell.state is VerdictState.UNKNOWN
        else labels.describe_confidence(cell.confidence, t.lang)
    )
    counts = _describe_counts(reading, k, t)
    votes = f"{counts} · {confidence_text}" if confidence_text else counts
    return [fact for fact in (votes, headlines.describe_since(reading.since, t)) if fact]


def _describe_counts(reading: ServiceReading, k: int, t: Locale) -> str:
    """Describe counts as "10-19 of 20-49 vantages", with en dashes.

    If both are in the same band, only one is given: "all of them" would identify a single
    dissenter.
    """
    cell = reading.cell
    if cell is None:
        return ""
    is_reached = cell.state is VerdictState.PARTIAL  # they are counted as reaching it
    count = cell.reachable if is_reached else getattr(cell, cell.state.value)
    total_text = format_vantages(cell.vantages, k, t)
    if k > 1:
        count_band = format_band(count, k)
        total_band_text = format_total(cell.vantages, k)
        return (
            total_text
            if count_band == total_band_text
            else _describe_some_of(i18n.localize_band(t.lang, count_band), total_text, t)
        )
    if count == cell.vantages:
        return total_text if count == 1 else t("now.all_of", people=total_text)
    return _describe_some_of(i18n.format_number(t.lang, count), total_text, t)


def _describe_some_of(count: str, people: str, t: Locale) -> str:
    return t("now.some_of", count=count, people=people)
