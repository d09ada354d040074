"""/console/stream: says which topics changed, so that an open page asks again for itself.

It looks at the office's pulse once a second; what changed within is said once.
"""

import asyncio
import json
from collections.abc import Mapping

from aiohttp import web

from heliograph_collector.console.access import VIEWER, Add, Gate
from heliograph_collector.http import headers
from heliograph_collector.http.problem import Problem

LOOK_S = 1.0
ALIVE_LOOKS = 15
MOST = 64  # open at once


class Live:
    def __init__(self, gate: Gate, look_s: float = LOOK_S) -> None:
        self._gate, self._look_s = gate, look_s
        self._open = 0

    def routes(self, add: Add) -> None:
        add("GET", "/console/stream", VIEWER, self.__call__)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if self._open >= MOST:
            raise Problem(503, "Too many pages", "Close some.", headers={"Retry-After": "60"})
        self._open += 1
        try:
            return await self._follow(request)
        finally:
            self._open -= 1

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        pulse = self._gate.office.pulse()
        response = await _begin(request)
        looks = 0
        while self._gate.still(request):
            await asyncio.sleep(self._look_s)
            now, looks = self._gate.office.pulse(), looks + 1
            changed = sorted(topic for topic in now if now[topic] != pulse.get(topic))
            pulse = now
            if changed:
                await response.write(_event("changed", {"topics": changed}))
            elif looks % ALIVE_LOOKS == 0:
                await response.write(b": alive\n\n")
        await response.write(_event("over", {}))
        return response


async def _begin(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
    )
    headers.apply(request, response)
    await response.prepare(request)
    await response.write(b"retry: 3000\n: welcome\n\n")
    return response


def _event(name: str, data: Mapping[str, object]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
