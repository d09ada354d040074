"""The HTTP server, and its guard against slow clients.

Honest readers send requests within seconds and read the responses; a proxy keeps its connections
busy. Connections are checked in rounds of CHECK_INTERVAL_S; the limits are assumed. When all are
taken, a newcomer gets in, and some have to go that wait for a request or for their reader: the
older ones of the networks (/24, /48) with most.
"""

import asyncio
import resource
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.typedefs import Handler
from aiohttp.web_protocol import RequestHandler

from heliograph.address import enclosing_network
from heliograph_collector.http.headers import apply_default_headers
from heliograph_collector.http.problem import Problem, build_response

CHECK_INTERVAL_S = 5.0
IDLE_ROUNDS = 4  # rounds between two requests, or until a request is complete
CROWDED_ROUNDS = 1  # the same above three quarters of the connection limit
STALLED_ROUNDS = 6  # rounds in which the client read nothing of a response
MAX_CONNECTIONS = 4_096
DISPLACED = 1 / 16  # share that goes at once, as it takes a look at all of them
READ_BYTES = 8_192  # a head with two of the longest fields; parsed in 2 ms at worst


@dataclass(slots=True)
class _ConnectionState:
    network: str  # kept while it is open
    idle_rounds: int = 0
    stalled_rounds: int = 0
    unread_bytes: int = 0


class HandlerFactory(Protocol):
    """Make the handler of a connection; aiohttp's web.Server does."""

    def __call__(self) -> RequestHandler: ...


class SlowClientGuard:
    """Factory and guard of connections; `run` belongs in the collector's TaskGroup."""

    def __init__(self, make_handler: HandlerFactory, max_connections: int | None = None) -> None:
        self._make_handler = make_handler
        self._max_connections = max_connections or min(
            MAX_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
        )
        self._connections: dict[RequestHandler, _ConnectionState] = {}
        self.dropped_count = 0

    def __call__(self) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection."""
        return _PacedConnection(self._make_handler(), self)

    def admit(self, handler: RequestHandler, peer: str) -> bool:
        """Count a connection, and make room for it; return False where there is none."""
        network = enclosing_network(peer)
        if len(self._connections) >= self._max_connections:
            self._displace(network)
        if len(self._connections) >= self._max_connections:
            self.dropped_count += 1
            return False
        self._connections[handler] = _ConnectionState(network)
        return True

    def forget(self, handler: RequestHandler) -> None:
        self._connections.pop(handler, None)

    def _displace(self, network: str) -> None:
        """End some connections that wait, first the older ones of the networks with most.

        None of a network that has fewer than the newcomer's.
        """
        counts = Counter(state.network for state in self._connections.values())
        newer: Counter[str] = Counter()
        ranks: dict[RequestHandler, int] = {}
        for handler, state in reversed(self._connections.items()):
            is_waiting = _count_unread(handler) > 0 or not _has_request(handler)
            if is_waiting and counts[state.network] >= counts[network]:
                ranks[handler] = newer[state.network]
            newer[state.network] += 1
        oldest_first = list(reversed(ranks))
        most_crowded = sorted(oldest_first, key=ranks.__getitem__, reverse=True)
        for handler in most_crowded[: max(1, int(self._max_connections * DISPLACED))]:
            self.forget(handler)
            self.dropped_count += 1
            if handler.transport is not None:
                handler.transport.abort()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            self.check_connections()

    def check_connections(self) -> None:
        """Check each connection once, and abort the slow ones."""
        is_crowded = len(self._connections) * 4 >= self._max_connections * 3
        max_idle_rounds = CROWDED_ROUNDS if is_crowded else IDLE_ROUNDS
        for handler, state in self._connections.items():
            if self._is_blocking(handler, state, max_idle_rounds) and handler.transport is not None:
                self.dropped_count += 1
                handler.transport.abort()

    def _is_blocking(
        self, handler: RequestHandler, state: _ConnectionState, max_idle_rounds: int
    ) -> bool:
        unread_bytes = _count_unread(handler)
        state.stalled_rounds = (
            state.stalled_rounds + 1
            if unread_bytes and unread_bytes >= state.unread_bytes > 0
            else 0
        )
        state.unread_bytes = unread_bytes
        is_busy = _has_request(handler) or unread_bytes > 0
        state.idle_rounds = 0 if is_busy else state.idle_rounds + 1
        return state.idle_rounds > max_idle_rounds or state.stalled_rounds >= STALLED_ROUNDS


def _count_unread(handler: RequestHandler) -> int:
    """Return the bytes of answers that its reader has not taken."""
    transport = handler.transport
    return transport.get_write_buffer_size() if isinstance(transport, asyncio.Transport) else 0


def _has_request(handler: RequestHandler) -> bool:
    """Return whether a request, complete with its body, is being answered."""
    request = handler._current_request  # noqa: SLF001 aiohttp has no public API for it
    return request is not None and request.content.is_eof()


class _PacedConnection(asyncio.BufferedProtocol):
    """Hand a connection's bytes to the handler, READ_BYTES in each turn of the loop.

    asyncio reads up to 256 KiB at once; as chunks of one byte they take aiohttp 13 ms to parse.
    """

    def __init__(self, handler: RequestHandler, guard: SlowClientGuard) -> None:
        self._handler = handler
        self._guard = guard
        self._buffer = bytearray(READ_BYTES)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        address = transport.get_extra_info("peername")
        if self._guard.admit(self._handler, str(address[0]) if address else ""):
            self._handler.connection_made(transport)
        elif isinstance(transport, asyncio.WriteTransport):
            transport.set_protocol(asyncio.Protocol())
            transport.abort()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._handler.data_received(bytes(memoryview(self._buffer)[:nbytes]))

    def eof_received(self) -> None:
        self._handler.eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._guard.forget(self._handler)
        self._handler.connection_lost(exc)

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()


class _RequestHandler(RequestHandler):
    """Answer what is no HTTP request with problem JSON.

    aiohttp would answer with text that quotes the request, and name its own and Python's version.
    """

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        detail = (
            f"The address and each header have at most {_HEADER_BYTES} bytes: ask for less at once."
            if isinstance(exc, LineTooLong)
            else "This is no request of HTTP/1.1 (RFC 9112): its first line or a header is wrong."
        )
        response = build_response(Problem(status, "Bad request", detail))
        apply_default_headers(response)
        response.force_close()
        return response


class OpenRequests:
    """Requests being answered; `close` ends them before their sources are closed.

    aiohttp forgets the task of a handler whose client has left, and does not wait for those that
    it cancels; either would read from a closed database.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    @web.middleware
    async def track(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._tasks.add(request.task)
        try:
            # One request a turn: 200 that came in one read would hold the loop for 15 ms.
            await asyncio.sleep(0)
            return await handler(request)
        finally:
            self._tasks.discard(request.task)

    async def close(self) -> None:
        """Cancel the rest, and wait for their ends, at most CANCEL_TIMEOUT_S."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_TIMEOUT_S)


CANCEL_TIMEOUT_S = 5.0  # for a query of a cancelled request that runs in a thread; assumed
_SHUTDOWN_S = 0.5  # for open responses; a live stream would never end by itself
_HEADER_BYTES = 4_096
_KEEPALIVE_S = 20.0


async def open_http(
    app: web.Application, host: str, port: int, stack: AsyncExitStack
) -> tuple[SlowClientGuard, int]:
    """Listen; return the guard, whose `run` belongs in a TaskGroup, and the port.

    `stack` closes the server, and ends all requests. Raises OSError.
    """
    requests = OpenRequests()
    app.middlewares.insert(0, requests.track)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    stack.push_async_callback(requests.close)
    stack.push_async_callback(runner.cleanup)
    assert runner.server is not None  # noqa: S101 - it is set up
    make_handler = partial(
        _RequestHandler,
        runner.server,
        loop=asyncio.get_running_loop(),
        keepalive_timeout=_KEEPALIVE_S,
        # It would contain addresses. aiohttp takes None for none, and its type does not say so.
        access_log=None,  # type: ignore[arg-type]
        max_field_size=_HEADER_BYTES,
        max_line_size=_HEADER_BYTES,
    )
    guard = SlowClientGuard(make_handler)
    server = await asyncio.get_running_loop().create_server(guard, host, port)
    stack.callback(server.close)
    return guard, int(server.sockets[0].getsockname()[1])
