"""Charts of chosen days as SVG, PNG, and a small page for frames.

`/charts/history` draws what we measured, `/charts/imported` what other projects did: each under
its own license, so no image has both.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from aiohttp import web

from heliograph_collector.http import i18n
from heliograph_collector.http.api.history import CHART_PARAMETERS, read_subject
from heliograph_collector.http.api.parameters import ASN, parse
from heliograph_collector.http.backend import SiteSource
from heliograph_collector.http.charts.history_chart import MAX_ROWS, render_chart
from heliograph_collector.http.known_networks import KnownNetworks
from heliograph_collector.http.pages.history_page import (
    HistoryView,
    build_chart,
    build_others_chart,
    page_address,
    title_days,
)
from heliograph_collector.http.pages.history_routes import HistoryPages
from heliograph_collector.http.pages.responses import frame_response, png_response, svg_response
from heliograph_collector.http.request_addresses import find_site_address
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.http.templates import PageContent, render_page

_MAX_AGE_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartEmbedContent(PageContent):
    template: ClassVar[str] = "chart_embed.html"
    title: str
    picture: str
    path: str


class HistoryCharts:
    """The three forms of a chart, of our results or of other projects', at `path`."""

    def __init__(
        self,
        feed: SiteSource,
        snapshot_cache: SnapshotCache,
        known_networks: KnownNetworks,
        history_pages: HistoryPages,
        assets: Mapping[str, str],
        *,
        is_ours: bool,
    ) -> None:
        self.path = "/charts/history" if is_ours else "/charts/imported"
        self._is_ours = is_ours
        self._feed = feed
        self._snapshot_cache = snapshot_cache
        self._known_networks = known_networks
        self._history_pages = history_pages
        self._assets = assets

    async def send_svg(self, request: web.Request) -> web.Response:
        return svg_response(request, await self._draw(request), max_age_s=_MAX_AGE_S)

    async def send_png(self, request: web.Request) -> web.Response:
        svg = await self._draw(request)
        return await png_response(request, svg, self._snapshot_cache, max_age_s=_MAX_AGE_S)

    async def show_embed(self, request: web.Request) -> web.Response:
        """Respond with a small page for frames; its links lead to us."""
        view = await self._read_view(request)
        t = i18n.request_locale(request)
        query = request.query_string
        return frame_response(
            render_page(
                ChartEmbedContent(
                    t=t,
                    assets=self._assets,
                    title=title_days(view, t),
                    picture=f"{self.path}.svg?{query}",
                    path=page_address(view),
                )
            )
        )

    async def _draw(self, request: web.Request) -> str:
        view = await self._read_view(request)
        t = i18n.request_locale(request)
        base = find_site_address(self._feed, request)
        publisher = self._feed.site.publisher
        names = ("Heliograph", publisher.operator, publisher.license, base, "UTC")
        credit = " · ".join(filter(None, names))
        build = (
            partial(build_chart, view, credit)
            if self._is_ours
            else (
                partial(build_others_chart, view, base)  # what it shows is not ours to license
            )
        )
        return await asyncio.to_thread(lambda: render_chart(build(MAX_ROWS, t), t))

    async def _read_view(self, request: web.Request) -> HistoryView:
        values = parse(request.query, CHART_PARAMETERS)
        t = i18n.request_locale(request)
        subject = read_subject(values, t)
        await self._known_networks.require(values.get(ASN))
        if self._is_ours:
            return await self._history_pages.read_drawable(subject, values)
        return await self._history_pages.read_view(subject, values, with_own=False)
