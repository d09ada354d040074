"""Routes of the country and incident pages, and of their embeds and share images."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aiohttp import web

from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.aggregate.disclosure import find_instant
from heliograph_collector.aggregate.query_cache import Ttl
from heliograph_collector.http import i18n, labels
from heliograph_collector.http.api import status
from heliograph_collector.http.api.incidents import find_incident
from heliograph_collector.http.api.parameters import (
    COUNTRY,
    COUNTRY_PAGE_PARAMETERS,
    INCIDENT_PAGE_PARAMETERS,
    LANG,
    LAST_DAY,
    MINUTES,
    UNTIL,
    WINDOW,
    parse,
)
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.cell_queries import feed_disclosure, query_cells, query_series
from heliograph_collector.http.charts import incident_chart, share_image
from heliograph_collector.http.charts.incident_chart import ChartView
from heliograph_collector.http.day_range import LAST_DAYS, encode_last_days
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.incident_document import IncidentFilter
from heliograph_collector.http.pages import (
    country_page,
    first_seen,
    incident_facts,
    incident_page,
    incident_text,
)
from heliograph_collector.http.pages import (
    country_timeline as panorama,
)
from heliograph_collector.http.pages.country_timeline import (
    WINDOWS,
    CountryTimeline,
    choose_window,
)
from heliograph_collector.http.pages.day_charts import AXES, DayCharts, compose_hours
from heliograph_collector.http.pages.history_routes import HistoryPages, find_last_days, wants_days
from heliograph_collector.http.pages.incident_page import PageContext, TimelineData
from heliograph_collector.http.pages.present import read_present
from heliograph_collector.http.pages.recent_incidents import select_recent
from heliograph_collector.http.pages.responses import (
    form_response,
    frame_response,
    html_response,
    png_response,
    svg_response,
    unavailable_response,
)
from heliograph_collector.http.pages.subject_page import build_country
from heliograph_collector.http.problem import Problem, render_problem, unknown_name
from heliograph_collector.http.site_address import find_site_address
from heliograph_collector.http.snapshot import Snapshot
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.incidents.published.incident import IncidentDocument
from heliograph_collector.model.history import HistoryFilter
from heliograph_collector.model.imported import ImportedHistory
from heliograph_collector.model.published.status import CellDocument
from heliograph_collector.model.scope import Scope, ScopeFilter
from heliograph_collector.store.clickhouse import StoreError, TooMuchError, TooSlowError

_DATA_TTL = Ttl(fresh_us=10_000_000, grace_us=20_000_000)
_PATIENCE_S = 3.0  # of a reader, who then gets the last answer with its age; assumed
_NEWEST_US = 2 * HOUR_US  # which the history may lack: its last hour, and the one in progress
_IMAGE_AGE_S = 60


class PageRoutes:
    def __init__(
        self,
        feed: Feed,
        incident_cache: IncidentCache,
        snapshot_cache: SnapshotCache,
        day_charts: DayCharts,
        history_pages: HistoryPages,
        assets: Mapping[str, str],
    ) -> None:
        self._feed = feed
        self._incident_cache = incident_cache
        self._snapshot_cache = snapshot_cache
        self._day_charts = day_charts
        self._history_pages = history_pages
        self._assets = assets

    async def show_country(self, request: web.Request) -> web.Response:
        t = i18n.request_locale(request)
        code = labels.find_country(request.match_info["code"])
        if not code:
            problem = unknown_name("country", request.match_info["code"], COUNTRY.allowed)
            return html_response(render_problem(problem.document, self._assets, t), 404)
        if wants_days(request):
            return await self._history_pages.respond(request, build_country(code, t))
        values = parse(request.query, COUNTRY_PAGE_PARAMETERS)
        is_by_minute = values.get(MINUTES) is not None
        name = "hour" if is_by_minute else values.get(WINDOW, country_page.DEFAULT_WINDOW)
        now_us = self._feed.clock.wall_us()
        has_days = await self._has_days(now_us)
        if has_days and name in LAST_DAYS:  # those days are counted already
            return _lead_to_days(request, code, encode_last_days(now_us, LAST_DAYS[name]))
        try:
            now = await read_present(self._snapshot_cache, self._incident_cache, code)
            snapshot = now.snapshot
        except StoreError as error:
            return unavailable_response(str(error), self._assets, t)
        window = choose_window(name, values.get(LAST_DAY), now_us)
        day_starts = WINDOWS["day"].bin_starts(now_us)
        present, is_too_much = await self._read_if_drawable(snapshot, code, day_starts)
        timeline = present  # of one question, so that nobody waits for it twice
        if window.starts != day_starts:
            timeline, is_too_much = await self._read_if_drawable(snapshot, code, window.starts)
        if not (present.instant_us or is_too_much):  # the store has not given the bins in time
            snapshot = replace(snapshot, is_outdated=True)
        in_window = IncidentFilter(since_us=min(day_starts.start, window.starts.start))
        view = country_page.CountryView(
            country=code,
            window=window,
            incidents=[incident for incident in now.incidents if in_window.matches(incident)],
            recent=select_recent(self._feed.is_watched, now.under_way, now.ended, t, [Scope(code)]),
            too_much=is_too_much,
            has_days=has_days,
            names=self._feed.network_names,
            titles=self._feed.services,
            last_days=("", "")
            if any(column.group.country == code for column in snapshot.columns)
            else await find_last_days(self._feed, build_country(code, t), t),
        )
        return form_response(
            await asyncio.to_thread(
                country_page.render_country,
                snapshot,
                present,
                timeline,
                view,
                t,
                self._assets,
            )
        )

    async def _has_days(self, now_us: int) -> bool:
        """Return whether the history is kept: it has yesterday or the day in progress."""
        filters = HistoryFilter(axes=(), since_us=now_us - DAY_US, until_us=now_us)
        try:
            last_us = (await self._feed.read_history(filters)).last_us
        except StoreError:
            return False
        return last_us is not None and last_us >= (now_us // DAY_US - 2) * DAY_US

    async def show_incident(self, request: web.Request) -> web.Response:
        """Respond with an incident's page; without the store it lacks the votes over time."""
        values = parse(request.query, INCIDENT_PAGE_PARAMETERS)
        t = i18n.request_locale(request)
        try:
            incident = self._incident_cache.add_annotations(
                find_incident(self._incident_cache, request)
            )
        except Problem:
            return self._render_missing(t)
        history = self._incident_cache.incident_history(incident.id)
        now_us = self._feed.clock.wall_us()
        minutes = (
            incident_chart.choose_minutes(incident, now_us, values.get(UNTIL))
            if values.get(MINUTES)
            else None
        )
        timeline_data = await self._read_timeline(incident, minutes)
        context = replace(self._page_context(request), imported=await self._read_imported(incident))
        content = await asyncio.to_thread(
            incident_page.render_incident,
            incident,
            history,
            timeline_data,
            context,
            t,
            self._assets,
        )
        return html_response(content)

    async def show_embed(self, request: web.Request) -> web.Response:
        """Respond with a small page for frames; its only link leads to us."""
        t = _parse_locale(request)
        try:
            incident = find_incident(self._incident_cache, request)
        except Problem:
            return self._render_missing(t)
        timeline_data = await self._read_timeline(incident)
        return frame_response(
            incident_page.render_embed(
                incident, timeline_data, self._page_context(request), t, self._assets
            )
        )

    async def send_share_svg(self, request: web.Request) -> web.Response:
        return svg_response(request, await self._draw_svg(request), max_age_s=_IMAGE_AGE_S)

    async def send_share_png(self, request: web.Request) -> web.Response:
        svg = await self._draw_svg(request)
        return await png_response(request, svg, self._snapshot_cache, max_age_s=_IMAGE_AGE_S)

    async def _draw_svg(self, request: web.Request) -> str:
        t = _parse_locale(request)
        incident = find_incident(self._incident_cache, request)
        timeline_data = await self._read_timeline(incident)
        now_us = self._feed.clock.wall_us()
        picture = incident_page.draw_picture(incident, timeline_data, now_us, t)
        return share_image.render_svg(
            share_image.ShareCard(
                sentence=incident_text.describe_incident(incident, t),
                state=incident.state,
                badge=incident_page.format_badge(incident, t),
                footer=t("share.foot", number=incident.alerts[-1].entry),
                chart=picture,
                legend=incident_page.list_legend(incident, picture, t),
                facts=[]
                if incident_chart.has_votes(timeline_data.rows)
                else incident_facts.list_brief_facts(incident, t),
                is_rtl=t.direction == "rtl",
            )
        )

    def _page_context(self, request: web.Request) -> PageContext:
        key = self._feed.public_key.hex()
        return PageContext(
            base_url=find_site_address(self._feed, request),
            public_key=key,
            now_us=self._feed.clock.wall_us(),
            publisher=self._feed.publisher,
        )

    async def _read_imported(self, incident: IncidentDocument) -> ImportedHistory:
        """Read what others measured near the start; without their file there is nothing."""
        filters = first_seen.build_filter(incident)
        if filters is None:
            return ImportedHistory()
        most = first_seen.MAX_TARGETS if incident.scope.service else 0
        try:
            return await self._feed.read_imported(filters, most)
        except StoreError:
            return ImportedHistory()

    async def _read_timeline(
        self, incident: IncidentDocument, minutes: ChartView | None = None
    ) -> TimelineData:
        """Read the rows of a chart; a short incident's by the minute where enough measured it."""
        now_us = self._feed.clock.wall_us()
        if not minutes and incident_chart.is_short(incident, now_us):
            view = incident_chart.choose_minutes(incident, now_us, None)
            by_minute = await self._read_rows(incident, view)
            if incident_chart.is_dense(by_minute.rows):
                return by_minute
        view = minutes or incident_chart.choose_view(incident, now_us)
        return await self._read_rows(incident, view)

    async def _read_rows(self, incident: IncidentDocument, frame: ChartView) -> TimelineData:
        k = self._feed.k_anonymity
        scope_filter = incident_chart.timeline_filter(incident)

        async def read() -> list[CellDocument]:
            cells = await query_series(
                self._feed, frame.since_us, frame.until_us, frame.bin_s, scope_filter
            )
            return [status.build_row(cell, k) for cell in cells]

        try:
            rows = await self._snapshot_cache.page_cache.get_last(
                (incident.id, frame, scope_filter), read, _DATA_TTL, _PATIENCE_S
            )
        except StoreError:
            rows = []
        shown_frame, shown_rows = incident_chart.trim_empty_start(incident, rows, frame)
        return TimelineData(frame=shown_frame, rows=shown_rows, k=k)

    async def _read_if_drawable(
        self, snapshot: Snapshot, country: str, starts: range
    ) -> tuple[CountryTimeline, bool]:
        """Return (bins, whether they are too many to draw); without the store the rows alone."""
        is_too_much = False
        try:
            return await self.read_country_timeline(country, starts), False
        except TooSlowError:
            pass
        except TooMuchError:
            is_too_much = True
        except StoreError:
            pass
        groups = [c.group for c in snapshot.columns if c.group.country == country]
        services = [name for name, _ in snapshot.services]
        return panorama.blank_timeline(starts, services, groups), is_too_much

    async def read_country_timeline(self, country: str, starts: range) -> CountryTimeline:
        """Read the data of a country's page, or the last that was read. Raises StoreError."""
        feed = self._feed
        names = tuple(name for name in feed.services if name not in feed.untested)
        if starts == WINDOWS["day"].bin_starts(feed.clock.wall_us()) and (
            kept := self._day_charts.find_timeline(country, names)
            or await self._read_hours(country, starts, names)
        ):
            return kept
        is_current = starts.stop > feed.clock.wall_us()

        async def read() -> CountryTimeline:
            bins = _move_to(starts, feed.clock.wall_us()) if is_current else starts
            window = (bins.start, bins.stop, bins.step // 1_000_000)
            scope_filter = ScopeFilter(country=country)
            network_cells, region_cells = [
                await query_cells(feed, *window, scope_filter, merged_fields, keep_empty=False)
                for merged_fields in panorama.MERGED_FIELDS
            ]
            return await asyncio.to_thread(
                panorama.compose_timeline,
                feed_disclosure(feed),
                network_cells,
                region_cells,
                bins,
                names,
            )

        key = (country, (starts.step, len(starts)) if is_current else starts)
        timeline: CountryTimeline = await self._snapshot_cache.page_cache.get_last(
            key, read, _DATA_TTL, _PATIENCE_S
        )
        return panorama.move_window(timeline, starts)

    async def _read_hours(
        self, country: str, starts: range, names: Sequence[str]
    ) -> CountryTimeline | None:
        """Return the last day of what is at hand; None without a history of it."""
        now_us = self._feed.clock.wall_us()
        if not await self._has_days(now_us):
            return None
        filters = HistoryFilter(
            axes=AXES, since_us=starts.start, until_us=starts.stop, country=country
        )
        days = (await self._feed.read_history(filters)).rows
        newest = self._snapshot_cache.list_cells(country, now_us - _NEWEST_US)
        instant_us = find_instant(now_us, self._feed.k_anonymity)
        return await asyncio.to_thread(compose_hours, days, newest, starts, names, instant_us)

    def _render_missing(self, t: Locale) -> web.Response:
        return html_response(incident_page.render_missing(self._assets, t), 404)


def _move_to(starts: range, now_us: int) -> range:
    """Return as many bins up to the one in progress."""
    until_us = (now_us // starts.step + 1) * starts.step
    return range(until_us - len(starts) * starts.step, until_us, starts.step)


def _lead_to_days(request: web.Request, code: str, days: str) -> web.Response:
    language = f"&lang={request.query['lang']}" if "lang" in request.query else ""
    location = f"/countries/{code}?{days}{language}"
    return web.Response(status=307, headers={"Location": location})


def _parse_locale(request: web.Request) -> Locale:
    """Parse the language of a page without other parameters. Raises Problem."""
    parse(request.query, (LANG,))
    return i18n.request_locale(request)
