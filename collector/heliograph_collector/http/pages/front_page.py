"""The front page, and one country's networks, in the reader's language."""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from heliograph_collector.http import i18n
from heliograph_collector.http.api.parameters import COUNTRY, LANG, parse
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.pages import world_page
from heliograph_collector.http.pages.present import read_present
from heliograph_collector.http.pages.recent_incidents import select_recent
from heliograph_collector.http.pages.responses import (
    form_response,
    html_response,
    unavailable_response,
)
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.model.scope import Scope
from heliograph_collector.store.clickhouse import StoreError

PAGE_PARAMETERS = (COUNTRY, LANG)


class FrontPage:
    def __init__(
        self,
        feed: Feed,
        incident_cache: IncidentCache,
        assets: Mapping[str, str],
        snapshot_cache: SnapshotCache,
    ) -> None:
        self._feed = feed
        self._incident_cache = incident_cache
        self._snapshot_cache = snapshot_cache
        self._assets = assets

    async def page(self, request: web.Request) -> web.Response:
        country = parse(request.query, PAGE_PARAMETERS).get(COUNTRY, "")
        t = i18n.request_locale(request)
        try:
            present = await read_present(self._snapshot_cache, self._incident_cache, country)
        except StoreError as error:
            return unavailable_response(str(error), self._assets, t)

        snapshot = present.snapshot

        def render_page() -> str:
            under_way = present.under_way
            places = [Scope(country)] if country else []
            recent = select_recent(self._feed.is_watched, under_way, present.ended, t, places)
            return world_page.render_world(snapshot, self._assets, recent, under_way, country, t)

        if country:
            return html_response(await asyncio.to_thread(render_page))
        # All readers of a language share one page until something changes.
        key = ("front", t.lang, t.is_explicit, snapshot.entry, self._feed.is_watched)
        return form_response(await self._snapshot_cache.derive(snapshot, key, render_page))
