"""Routes of the incident pages, and of their frames and share images."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from aiohttp import web

from heliograph_collector.http import i18n
from heliograph_collector.http.api import status
from heliograph_collector.http.api.incidents import find_incident
from heliograph_collector.http.api.parameters import (
    INCIDENT_PAGE_PARAMETERS,
    LANG,
    MINUTES,
    UNTIL,
    parse,
)
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.cell_queries import query_series
from heliograph_collector.http.charts import incident_chart, share_image
from heliograph_collector.http.charts.incident_chart import ChartView
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.pages import (
    first_seen,
    incident_facts,
    incident_page,
    incident_text,
)
from heliograph_collector.http.pages.incident_page import PageContext, TimelineData
from heliograph_collector.http.pages.responses import (
    frame_response,
    html_response,
    png_response,
    svg_response,
)
from heliograph_collector.http.problem import Problem
from heliograph_collector.http.request_addresses import find_site_address
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.incidents.published.incident import IncidentDocument
from heliograph_collector.model.imported import ImportedHistory
from heliograph_collector.model.published.status import CellDocument
from heliograph_collector.store.clickhouse import StoreError

_IMAGE_AGE_S = 60


class IncidentRoutes:
    def __init__(
        self,
        feed: Feed,
        incident_cache: IncidentCache,
        snapshot_cache: SnapshotCache,
        assets: Mapping[str, str],
    ) -> None:
        self._feed = feed
        self._incident_cache = incident_cache
        self._snapshot_cache = snapshot_cache
        self._assets = assets

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
            publisher=self._feed.site.publisher,
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
        """Read a chart's rows; a short incident's by the minute, if enough measured it."""
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
            rows = await self._snapshot_cache.read_page_data(
                (incident.id, frame, scope_filter), read
            )
        except StoreError:
            rows = []
        shown_frame, shown_rows = incident_chart.trim_empty_start(incident, rows, frame)
        return TimelineData(frame=shown_frame, rows=shown_rows, k=k)

    def _render_missing(self, t: Locale) -> web.Response:
        return html_response(incident_page.render_missing(self._assets, t), 404)


def _parse_locale(request: web.Request) -> Locale:
    """Parse the language of a page without other parameters. Raises Problem."""
    parse(request.query, (LANG,))
    return i18n.request_locale(request)
