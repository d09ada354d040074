"""The pages that tell: a country's, an incident's, and what can be taken from it elsewhere."""

import asyncio
import re
from collections.abc import Mapping
from hashlib import sha256

from aiohttp import web

from heliograph_collector.aggregate.stale_cache import Term
from heliograph_collector.http import i18n
from heliograph_collector.http.api import status
from heliograph_collector.http.api.incidents import found, origin
from heliograph_collector.http.api.parameters import LANG, WINDOW, parse
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.charts import incident_chart, share_image
from heliograph_collector.http.headers import matches
from heliograph_collector.http.i18n import Tongue
from heliograph_collector.http.incident_cache import Shelf
from heliograph_collector.http.incident_document import Json, chosen
from heliograph_collector.http.pages import (
    country_page,
    incident_facts,
    incident_page,
    incident_text,
)
from heliograph_collector.http.pages import (
    country_timeline as panorama,
)
from heliograph_collector.http.pages.country_timeline import WINDOWS, Panorama
from heliograph_collector.http.pages.front_page import away, html
from heliograph_collector.http.pages.incident_page import Place, Seen
from heliograph_collector.http.problem import Problem
from heliograph_collector.http.snapshot_cache import Desk, series, wide
from heliograph_collector.store.clickhouse import StoreError, TooMuchError

_COUNTRY = re.compile("[A-Z]{2}")
_NOW, _DRAWING = Term(fresh_us=10_000_000, grace_us=20_000_000), Term(fresh_us=60_000_000)
_FRAMED = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors *"
)
_DRAWN = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"


class Stories:
    def __init__(self, feed: Feed, shelf: Shelf, desk: Desk, assets: Mapping[str, str]) -> None:
        self._feed, self._shelf, self._desk, self._assets = feed, shelf, desk, assets

    async def country(self, request: web.Request) -> web.Response:
        asked = parse(request.query, (WINDOW, LANG))
        t, code = i18n.of(request), request.match_info["code"]
        if not _COUNTRY.fullmatch(code):
            return self._missing(t)
        window, too_much = asked.get("window", country_page.DEFAULT_WINDOW), False
        try:
            world = await self._desk.now()
            try:
                seen = await self.panorama(code, window, world.at_us)
            except TooMuchError:
                seen, too_much = panorama.empty(WINDOWS[window].starts(world.at_us)), True
        except StoreError as error:
            return away(str(error), self._assets, t)
        look = country_page.Look(
            country=code,
            window=window,
            incidents=chosen(self._shelf.of(code), {"since": seen.starts.start}),
            recent=self._recent(code, world.at_us, t),
            too_much=too_much,
        )
        return html(
            await asyncio.to_thread(country_page.render, world, seen, look, t, self._assets)
        )

    def _recent(self, country: str, at_us: int, t: Tongue) -> incident_page.Recent:
        under_way, over = self._shelf.recent(country, at_us)
        return incident_page.recent(self._feed.watched, under_way, over, t)

    async def incident(self, request: web.Request) -> web.Response:
        """One incident's own page. Without the store it lacks the votes over time."""
        t = _tongue(request)
        try:
            one = self._shelf.told(found(self._shelf, request))
        except Problem:
            return self._missing(t)
        history, seen = self._shelf.history(one["id"]), await self._seen(one)
        text = await asyncio.to_thread(
            incident_page.render, one, history, seen, self._place(request), t, self._assets
        )
        return html(text)

    async def embed(self, request: web.Request) -> web.Response:
        """A small page that others may frame: nothing in it can be clicked but the way to us."""
        t = _tongue(request)
        try:
            one = found(self._shelf, request)
        except Problem:
            return self._missing(t)
        seen = await self._seen(one)
        response = html(
            incident_page.render_embed(one, seen, self._place(request), t, self._assets)
        )
        response.headers["Content-Security-Policy"] = _FRAMED
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        return response

    async def share_svg(self, request: web.Request) -> web.Response:
        drawn = await self._drawn(request)
        response = _file(request, drawn.encode(), "image/svg+xml", max_age_s=60)
        response.headers["Content-Security-Policy"] = _DRAWN
        return response

    async def share_png(self, request: web.Request) -> web.Response:
        drawn = await self._drawn(request)
        dots = await self._desk.kept.get(
            ("png", drawn), lambda: asyncio.to_thread(share_image.png, drawn), _DRAWING
        )
        return _file(request, dots, "image/png", max_age_s=60)

    async def _drawn(self, request: web.Request) -> str:
        """Raises Problem 404."""
        t = _tongue(request)
        one = found(self._shelf, request)
        seen, now_us = await self._seen(one), self._feed.clock.wall_us()
        picture = incident_page.picture(one, seen, now_us, t)
        return share_image.svg(
            share_image.Card(
                sentence=incident_text.sentence(one, t),
                state=one["state"],
                badge=incident_page.badge(one, t),
                foot=t("share.foot", number=one["alerts"][-1]["entry"]),
                chart=picture,
                legend=incident_page.legend(one, picture, t),
                facts=[] if incident_chart.seen(seen.rows) else incident_facts.in_short(one, t),
                rtl=t.direction == "rtl",
            )
        )

    def _place(self, request: web.Request) -> Place:
        key = self._feed.public_key.hex()
        return Place(base=origin(request), key=key, now_us=self._feed.clock.wall_us())

    async def _seen(self, incident: Json) -> Seen:
        frame, k = incident_chart.view(incident, self._feed.clock.wall_us()), self._feed.k_anonymity
        asked = incident_chart.scope(incident)

        async def read() -> list[Json]:
            cells = await series(self._feed, frame.since_us, frame.until_us, frame.bin_s, asked)
            width = frame.bin_s * 1_000_000
            return [
                status.row(cell, frame.since_us + index * width, k)
                for index, cell in enumerate(cells)
            ]

        try:
            rows = await self._desk.kept.get(
                (incident["id"], frame, tuple(asked.items())), read, _NOW
            )
        except StoreError:
            rows = []
        return Seen(frame=frame, rows=rows, k=k)

    async def panorama(self, country: str, window: str, at_us: int) -> Panorama:
        """The data of a country's page. Raises StoreError."""
        starts, feed = WINDOWS[window].starts(at_us), self._feed

        async def read() -> Panorama:
            window = (starts.start, starts.stop, starts.step // 1_000_000)
            asked = {"country": country}
            measured = [
                await wide(feed, *window, asked, blank, empty=False) for blank in panorama.LOOKS
            ]
            return await asyncio.to_thread(
                panorama.compose,
                feed.merge_small,
                feed.k_anonymity,
                measured,
                starts,
                tuple(feed.services),
            )

        # What the store counts is seconds old anyway: an event need not make it again.
        told = feed.bus.last if feed.wide is None else ""
        found: Panorama = await self._desk.kept.get((country, starts, told), read, _NOW)
        return found

    def _missing(self, t: Tongue) -> web.Response:
        missing = html(incident_page.render_missing(self._assets, t))
        missing.set_status(404)
        return missing


def _tongue(request: web.Request) -> Tongue:
    """Of a page that is asked for nothing else. Raises Problem."""
    parse(request.query, (LANG,))
    return i18n.of(request)


def _file(request: web.Request, body: bytes, content_type: str, *, max_age_s: int) -> web.Response:
    digest = sha256(body).hexdigest()[:20]
    headers = {
        "ETag": f'"{digest}"',
        "Cache-Control": f"public, max-age={max_age_s}",
        "Vary": "Accept-Language",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if matches(request, digest):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type=content_type, headers=headers)
