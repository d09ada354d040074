"""For machines that watch us: alive, ready, and the figures."""

import asyncio

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from heliograph_collector.http.backend import Feed
from heliograph_collector.http.basic_auth import Operator


class Health:
    def __init__(self, feed: Feed, operator: Operator) -> None:
        self._feed, self._operator = feed, operator

    async def alive(self, request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def ready(self, request: web.Request) -> web.Response:
        """503 with the reasons when readers or agents would notice."""
        problems = list(self._feed.problems())
        body = {"ready": not problems, "problems": problems}
        return web.json_response(body, status=503 if problems else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        """Raises Problem 401 where they are for the operator alone."""
        if not self._feed.metrics_open:
            await self._operator.require(request)
        text = await asyncio.to_thread(generate_latest, self._feed.registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})
