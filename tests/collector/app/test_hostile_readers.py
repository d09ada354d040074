"""Clients that hold connections open in every way do not disturb an honest reader."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout, web
from aiohttp.web_protocol import RequestHandler

from heliograph_collector.http.api.stream import CellEvents
from heliograph_collector.http.app import build_app
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.http.server import (
    IDLE_ROUNDS,
    READ_BYTES,
    STALLED_ROUNDS,
    SlowClientGuard,
    _count_unread,
    _has_request,
)
from support.kazakhstan_votes import evening
from support.waiting import until_true

IDLE, ROOM = 100, 400
Socket = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def served(feed: Feed, most: int = ROOM) -> AsyncIterator[tuple[SlowClientGuard, int]]:
    """Serve the application on loopback as `serve` does; the test runs the rounds."""
    limits: dict[str, Any] = {"max_field_size": 4_096, "max_line_size": 4_096}
    runner = web.AppRunner(build_app(feed), access_log=None, shutdown_timeout=0.1, **limits)
    await runner.setup()
    assert runner.server is not None
    guard = SlowClientGuard(runner.server, most)
    server = await asyncio.get_running_loop().create_server(guard, "127.0.0.1", 0)
    try:
        yield guard, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await runner.cleanup()


async def hold(
    stack: AsyncExitStack, port: int, said: bytes = b"", source: str = "127.0.0.1"
) -> Socket:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    stack.callback(writer.close)
    writer.write(said)
    return reader, writer


async def gone(socket: Socket) -> bool:
    """Return whether the other side has closed the connection."""
    with suppress(ConnectionError):
        async with asyncio.timeout(60):
            while await socket[0].read(65_536):
                pass
    return True


HOSTILE = {
    "idle": b"",
    "slow to ask": b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "never ends its head": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 20,
    "slow to send": b"POST /v1/envelopes HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\nab",
    "pipelines": b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n" * 200,
    "huge head": b"GET / HTTP/1.1\r\nHost: x\r\nX-Huge: " + b"a" * 60_000 + b"\r\n\r\n",
    "huge line": b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    "streams unread": b"GET /api/v1/stream HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.long
async def test_an_honest_reader_is_answered_among_all_of_them() -> None:
    feed = evening().feed(bus=EventBus("t", readers=40))
    await CellEvents(feed).publish_changes()
    async with AsyncExitStack() as stack:
        guard, port = await stack.enter_async_context(served(feed))
        for said in HOSTILE.values():
            for _ in range(20):
                await hold(stack, port, said)
        for _ in range(IDLE):
            await hold(stack, port)
        session = await stack.enter_async_context(ClientSession(timeout=ClientTimeout(total=20)))
        for path in ("/api/v1/status", "/api/v1/incidents", "/healthz"):
            async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                assert answer.status == 200, path
                assert json.loads(await answer.read()), path
        assert guard.dropped_count == 0


async def test_no_turn_of_the_loop_parses_more_than_a_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A read of asyncio's own size holds 43,000 chunks of one byte."""
    parse, turn = RequestHandler.data_received, 0
    pieces: Counter[int] = Counter()

    def count(handler: RequestHandler, data: bytes) -> None:
        pieces[turn] += len(data)
        parse(handler, data)

    monkeypatch.setattr(RequestHandler, "data_received", count)
    head = b"POST /v1/envelopes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent = head + b"1\r\nx\r\n" * 5_000
    async with AsyncExitStack() as stack:
        _, port = await stack.enter_async_context(served(evening().feed()))
        await hold(stack, port, sent)
        async with asyncio.timeout(60):
            while pieces.total() < len(sent):
                turn += 1
                await asyncio.sleep(0)
    assert max(pieces.values()) <= READ_BYTES


async def test_an_idle_client_is_disconnected_and_a_reading_one_is_not() -> None:
    feed = evening().feed()
    async with AsyncExitStack() as stack:
        guard, port = await stack.enter_async_context(served(feed))
        ways = ("idle", "slow to ask", "slow to send")
        lazy = [await hold(stack, port, HOSTILE[how]) for how in ways]
        live = await hold(stack, port, HOSTILE["streams unread"])
        await live[0].readuntil(b"welcome\n\n")
        for _ in range(IDLE_ROUNDS + 1):
            guard.check_connections()
        assert [await gone(socket) for socket in lazy] == [True, True, True]
        feed.bus.publish("cell", "{}")
        assert b"event: cell" in await live[0].readuntil(b"\n\n")
        assert guard.dropped_count == 3


async def test_a_client_that_does_not_read_a_long_answer_is_disconnected() -> None:
    async with AsyncExitStack() as stack:
        guard, port = await stack.enter_async_context(served(evening().feed()))
        asks = b"GET /static/page.css HTTP/1.1\r\nHost: x\r\n\r\n" * 2_000
        deaf = await hold(stack, port, asks)
        await until_true(lambda: any(map(_count_unread, guard._connections)))
        for _ in range(STALLED_ROUNDS + 2):
            guard.check_connections()
            await asyncio.sleep(0)
        assert await gone(deaf)
        assert guard.dropped_count == 1


ASK = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
CROWDS = {
    "that says nothing": b"",
    "that never ends its head": HOSTILE["slow to ask"],
    "that does not read": b"GET /static/page.css HTTP/1.1\r\nHost: x\r\n\r\n" * 2_000,
}


@pytest.mark.parametrize("said", CROWDS.values(), ids=CROWDS)
async def test_a_crowd_that_takes_all_connections_displaces_itself(said: bytes) -> None:
    """A crowd that takes all connections displaces itself within a round.

    Without the round, 4,096 connections would shut out every reader for ten seconds.
    """
    async with AsyncExitStack() as stack:
        guard, port = await stack.enter_async_context(served(evening().feed(), most=8))
        lone = await hold(stack, port, source="127.0.9.1")
        live = await hold(stack, port, HOSTILE["streams unread"])
        await live[0].readuntil(b"welcome\n\n")
        for _ in range(20):
            await hold(stack, port, said)
        await until_true(lambda: guard.dropped_count >= 14 and _count_waiting(guard) >= 7)
        for n, source in enumerate(("127.0.8.1", "127.0.0.1")):
            newcomer = await hold(stack, port, ASK, source=source)
            assert b"200 OK" in await newcomer[0].readline(), n
        lone[1].write(ASK)
        assert b"200 OK" in await lone[0].readline(), "its network has one"
        assert len(guard._connections) <= 8


def _count_waiting(guard: SlowClientGuard) -> int:
    return sum(_count_unread(h) > 0 or not _has_request(h) for h in guard._connections)


async def test_a_stream_whose_reader_never_reads_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    from heliograph_collector.http.api import stream

    monkeypatch.setattr(stream, "WRITE_TIMEOUT_S", 0.05)
    feed = evening().feed()
    async with AsyncExitStack() as stack:
        _, port = await stack.enter_async_context(served(feed))
        deaf = await hold(stack, port, HOSTILE["streams unread"])
        await deaf[0].readuntil(b"welcome\n\n")
        deaf[0]._transport.pause_reading()  # type: ignore[attr-defined] # so that nothing is read
        big = json.dumps({"x": "a" * 200_000})
        for _ in range(60):
            feed.bus.publish("cell", big)
            await asyncio.sleep(0)
        await until_true(lambda: feed.bus.readers == 0)
