"""The front page, and one country's networks: the world now, in the reader's language."""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from heliograph_collector.http import i18n
from heliograph_collector.http.api.parameters import COUNTRY, LANG, parse
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.i18n import Tongue
from heliograph_collector.http.incident_cache import Shelf
from heliograph_collector.http.pages import incident_page
from heliograph_collector.http.pages import world_page as page
from heliograph_collector.http.snapshot import Snapshot
from heliograph_collector.http.snapshot_cache import Desk
from heliograph_collector.store.clickhouse import StoreError

PAGE = (COUNTRY, LANG)


class Front:
    def __init__(self, feed: Feed, shelf: Shelf, assets: Mapping[str, str], desk: Desk) -> None:
        self._feed, self._shelf, self._desk = feed, shelf, desk
        self._assets = assets

    async def page(self, request: web.Request) -> web.Response:
        country = parse(request.query, PAGE).get("country", "")
        t = i18n.of(request)
        try:
            world = await self._desk.now()
        except StoreError as error:
            return away(str(error), self._assets, t)

        def make() -> str:
            return self._render(world, country, t)

        if country:
            return html(await asyncio.to_thread(make))
        # All readers of a language share one page until something changes.
        key = ("front", t.lang, t.asked, self._shelf.head, self._feed.watched)
        return html(await self._desk.made(world, key, make))

    def _render(self, world: Snapshot, country: str, t: Tongue) -> str:
        under_way, over = self._shelf.recent(country, world.at_us)
        recent = incident_page.recent(self._feed.watched, under_way, over, t)
        return page.render(world, self._assets, recent, under_way, country, t)


def away(reason: str, assets: Mapping[str, str], t: Tongue) -> web.Response:
    """Instead of a page that the store has no answer for just now."""
    response = html(page.render_away(reason, assets, t))
    response.set_status(503)
    response.headers["Retry-After"] = "3"
    return response


def html(text: str) -> web.Response:
    """A page that may be kept, but is asked for again; it differs by the reader's language."""
    headers = {"Cache-Control": "no-cache", "Vary": "Accept-Language, Accept-Encoding"}
    response = web.Response(text=text, content_type="text/html", headers=headers)
    response.enable_compression()
    return response
