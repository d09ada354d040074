"""The echo service over real sockets: its answers, and what it refuses."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_collector.control.echo_server import (
    MAX_HEAD,
    EchoServer,
    build_http_reply,
    may_be_http,
)
from heliograph_collector.model.errors import PortTakenError
from support.ports import HOST

REQUEST = b"GeT /x?a=1 HTTP/1.1\r\nhOsT: echo.test\r\naCCEPT:  */*\r\nX-E: \r\n\r\n"


@asynccontextmanager
async def connection(
    port: int, source: str = HOST
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(HOST, port, local_addr=(source, 0))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


@asynccontextmanager
async def opened(echo: EchoServer | None = None, port: int = 0) -> AsyncIterator[int]:
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        yield await stack.enter_async_context((echo or EchoServer()).open(HOST, port, group))


async def told(port: int, said: bytes) -> bytes:
    """Return everything that comes back to `said` and a FIN."""
    async with connection(port) as (reader, writer):
        writer.write(said)
        writer.write_eof()
        return await reader.read()


async def test_a_good_request_is_described_as_it_came() -> None:
    async with opened() as port:
        reply = await told(port, REQUEST)
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert json.loads(body) == {
        "request_line": "GeT /x?a=1 HTTP/1.1",
        "headers": [["hOsT", "echo.test"], ["aCCEPT", "*/*"], ["X-E", ""]],
    }


def test_blanks_in_a_header_cost_their_number_and_not_its_square() -> None:
    """Spaces in a header cost linear time, not quadratic.

    8 kB of them held the event loop for 0.4 s; these would hold it for half an hour.
    """
    head = b"GET / HTTP/1.1\r\na:" + b" " * 500_000 + b"\x80\r\n\r\n"
    before = time.process_time()
    assert build_http_reply(head) is None
    assert time.process_time() - before < 10


async def test_answers_and_bytes_come_back_while_the_caller_still_talks() -> None:
    async with opened() as port:
        async with connection(port) as (reader, writer):
            writer.write(REQUEST[:30])
            await writer.drain()
            writer.write(REQUEST[30:])
            assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
        async with connection(port) as (reader, writer):
            for word in (b"ABCD / HTTP/1.1\r\n", b"more"):
                writer.write(word)
                assert await reader.readexactly(len(word)) == word


async def test_a_body_is_left_unread_and_does_not_cut_the_answer() -> None:
    post = b"POST / HTTP/1.1\r\nContent-Length: 20000\r\n\r\n" + b"<script>" * 2_500
    async with opened() as port:
        reply = await told(port, post)
    assert b"<script>" not in reply
    assert reply.endswith(b'"headers":[["Content-Length","20000"]]}')


@pytest.mark.parametrize(
    "line",
    [
        b"ABCD / HTTP/1.1\r\n\r\n",
        b"A" * 1_024 + b" / HTTP/1.1\r\n\r\n",
        b"AAAAA BBBBB CCCCC DDDDD\r\n\r\n",
        b"GET / HTTP/XYZ\r\n\r\n",
        b"GET cache_object://localhost/ HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\n\n",
        b"GET / HTTP/1.1\r\nno header\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \xff\r\n\r\n",
        b"GE",
        b"\x16\x03\x01\x02\x00",
        b"hello",
        b"",
    ],
    ids=range(12),
)
async def test_what_is_no_request_comes_back_byte_for_byte(line: bytes) -> None:
    async with opened() as port:
        assert await told(port, line) == line


@pytest.mark.parametrize("opening", [b"x", b"GET / HTTP/1.1\r\nA: "], ids=["raw", "http"])
async def test_no_more_comes_back_than_the_limit(opening: bytes) -> None:
    async with opened() as port:
        reply = await told(port, opening + b"y" * 3 * MAX_HEAD)
    assert 0 < len(reply) <= MAX_HEAD


async def test_a_silent_client_is_dropped_in_the_end() -> None:
    async with opened(EchoServer(timeout_s=0.01)) as port, connection(port) as (reader, _):
        with suppress(ConnectionResetError):
            assert await reader.read() == b""


@pytest.mark.parametrize(
    "sources", [["127.0.1.1"], [f"127.0.{n}.1" for n in range(1, 7)]], ids=["one", "six"]
)
async def test_networks_that_hold_all_places_lock_nobody_out(sources: list[str]) -> None:
    """Networks that hold all connections lock no other network out.

    Sixteen networks with sixteen connections each once filled all 256.
    """
    echo = EchoServer(connections=20, timeout_s=300.0)
    async with opened(echo) as port, AsyncExitStack() as stack:
        lone = await stack.enter_async_context(connection(port, "127.0.9.1"))
        lone[1].write(b"#")
        assert await lone[0].readexactly(1) == b"#"
        for source in sources * (60 // len(sources)):
            _, held = await stack.enter_async_context(connection(port, source))
            held.write(b"#")
        assert await told(port, b"#") == b"#"
        lone[1].write(b"#")
        assert await lone[0].readexactly(1) == b"#", "a network with one keeps it"


async def test_full_service_is_told_to_the_operator_and_its_end_ends_every_connection() -> None:
    echo = EchoServer(connections=1)
    assert echo.problems() == []
    async with opened(echo) as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"#")
        assert await reader.readexactly(1) == b"#"
        assert echo.problems() == ["The echo service has all the 1 connections that it takes."]
    with suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.transport.abort()


async def test_a_taken_port_is_told() -> None:
    async with asyncio.TaskGroup() as group, EchoServer().open(HOST, 0, group) as port:
        with pytest.raises(PortTakenError):
            async with EchoServer().open(HOST, port, group):
                pass


@given(st.binary(max_size=300))
def test_a_description_is_never_much_longer_than_the_request(head: bytes) -> None:
    for opening in (b"", b"GET / HTTP/1.1\r\n"):
        reply = build_http_reply(opening + head + b"\r\n\r\n")
        assert reply is None or len(reply) <= 3 * len(opening + head) + 250


@given(st.binary(max_size=30))
def test_what_may_be_http_stays_so_only_with_a_good_line(more: bytes) -> None:
    """Each beginning of a good request is waited for; a bad line is never."""
    assert all(may_be_http(REQUEST[:end]) for end in range(len(REQUEST)))
    assert not may_be_http(b"\x00" + more)
