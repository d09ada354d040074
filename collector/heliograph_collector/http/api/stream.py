"""`/api/v1/stream`: Server-Sent Events, with heartbeats, resumed by Last-Event-ID."""

import asyncio

from aiohttp import web

from heliograph_collector.http import headers
from heliograph_collector.http.api.parameters import parse
from heliograph_collector.http.event_bus import Bus, BusFullError, Event
from heliograph_collector.http.problem import Problem

HEARTBEAT_S = 15.0
RETRY_MS = 3_000
PATIENCE_S = 30.0  # with a reader that takes nothing of what was written


class Stream:
    def __init__(self, bus: Bus, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._bus = bus
        self._heartbeat_s = heartbeat_s

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        parse(request.query, ())
        try:
            with self._bus.subscribe(request.headers.get("Last-Event-ID", "")[:64]) as subscription:
                response = await _begin(request, subscription.since)
                async for event in subscription.events(self._heartbeat_s):
                    async with asyncio.timeout(PATIENCE_S):
                        await response.write(b": alive\n\n" if event is None else lines(event))
        except TimeoutError:  # the reader does not read; it may come back and resume
            if request.transport is not None:
                request.transport.abort()
        except BusFullError:
            raise Problem(
                503,
                "Too many readers",
                "As many readers as we can serve are listening; try again in a minute.",
                headers={"Retry-After": "60"},
            ) from None
        return response


async def _begin(request: web.Request, since: str) -> web.StreamResponse:
    """With an id at once: who loses the line before the first event resumes too."""
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
    )
    headers.apply(request, response)
    await response.prepare(request)
    await response.write(f"id: {since}\nretry: {RETRY_MS}\n: welcome\n\n".encode())
    return response


def lines(event: Event) -> bytes:
    return f"id: {event.id}\nevent: {event.name}\ndata: {event.data}\n\n".encode()
