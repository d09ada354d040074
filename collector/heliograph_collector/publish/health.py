"""For machines that watch us: alive, ready, and the figures."""

import asyncio

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from heliograph_collector.publish.feed import Feed


class Health:
    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def alive(self, request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def ready(self, request: web.Request) -> web.Response:
        """503 with the reasons when readers or agents would notice."""
        problems = list(self._feed.problems())
        body = {"ready": not problems, "problems": problems}
        return web.json_response(body, status=503 if problems else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        text = await asyncio.to_thread(generate_latest, self._feed.registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})
