"""Lets go of connections that hold us up: idle, slow to ask, or not reading what they asked for.

Honest readers ask within seconds and read what they get; a proxy keeps its connections busy.
"""

import asyncio
import resource
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp.web_protocol import RequestHandler

EVERY_S = 5.0
IDLE_ROUNDS = 4  # between two requests, or for one to be here whole
CROWDED_ROUNDS = 1  # the same when there is little room
STUCK_ROUNDS = 6  # in which nothing of an answer was taken
MOST = 4_096


@dataclass(slots=True)
class _Watched:
    idle: int = 0
    stuck: int = 0
    unread: int = 0


class Guard:
    """Make connections by it; `run` belongs in the collector's TaskGroup."""

    def __init__(self, make: Callable[[], RequestHandler], most: int | None = None) -> None:
        self._make = make
        self._most = most or min(MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        self._watched: dict[RequestHandler, _Watched] = {}
        self.dropped = 0

    def __call__(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        if len(self._watched) >= self._most:
            self.round()  # some may have gone by themselves
        if len(self._watched) >= self._most:
            self.dropped += 1
            return _Refused()
        handler = self._make()
        self._watched[handler] = _Watched()
        return handler

    async def run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            self.round()

    def round(self) -> None:
        """Look at each connection once."""
        self._watched = {h: w for h, w in self._watched.items() if h.transport is not None}
        crowded = len(self._watched) * 4 >= self._most * 3
        patience = CROWDED_ROUNDS if crowded else IDLE_ROUNDS
        for handler, seen in self._watched.items():
            if self._holds_up(handler, seen, patience) and handler.transport is not None:
                self.dropped += 1
                handler.transport.abort()

    def _holds_up(self, handler: RequestHandler, seen: _Watched, patience: int) -> bool:
        transport = handler.transport
        if not isinstance(transport, asyncio.WriteTransport):
            return False
        unread = transport.get_write_buffer_size()
        seen.stuck = seen.stuck + 1 if unread and unread >= seen.unread > 0 else 0
        seen.unread = unread
        asked = handler._current_request  # noqa: SLF001 aiohttp tells it nowhere else
        whole = asked is not None and asked.content.is_eof()  # its body too
        busy = whole or unread > 0
        seen.idle = 0 if busy else seen.idle + 1
        return seen.idle > patience or seen.stuck >= STUCK_ROUNDS


class _Refused(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()
