"""The server refuses what is no request, compresses as asked, and finishes requests at its end."""

import asyncio
import gzip
import json
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from heliograph_collector.http.server import open_http
from support.kazakhstan_votes import evening
from support.site import Serve
from support.waiting import until_true


@pytest.mark.parametrize("is_client_gone", [True, False])
async def test_no_request_outlives_the_server(is_client_gone: bool) -> None:
    requests: list[web.Request] = []
    ended = asyncio.Event()

    async def wait_forever(request: web.Request) -> web.Response:
        requests.append(request)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return web.Response()

    app = web.Application()
    app.router.add_get("/", wait_forever)
    async with AsyncExitStack() as stack:
        _, port = await open_http(app, "127.0.0.1", 0, stack)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await until_true(lambda: bool(requests))
        if is_client_gone:
            writer.close()
            await until_true(lambda: requests[0].transport is None)
    assert ended.is_set()
    writer.close()


@pytest.mark.parametrize(
    ("request_bytes", "cure"),
    [
        (b"GARBAGE\r\n\r\n", "no request of HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nBad Header\r\n\r\n", "no request of HTTP/1.1"),
        (b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", "at most 4096 bytes"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 5_000 + b"\r\n\r\n", "at most 4096 bytes"),
    ],
)
async def test_no_request_of_http_gets_problem_json_that_names_no_library(
    request_bytes: bytes, cure: str
) -> None:
    async with AsyncExitStack() as stack:
        _, port = await open_http(web.Application(), "127.0.0.1", 0, stack)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert head.split(b" ", 2)[1] == b"400"
    assert b"application/problem+json" in head
    assert b"Server: heliograph" in head
    assert cure in json.loads(body)["detail"]


@pytest.mark.parametrize("path", ["/", "/openapi.json", "/dumps/"])
@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0, identity", False),
        ("gzip; q=0.00", False),
        ("deflate", False),
        ("", False),
    ],
)
async def test_a_body_is_compressed_for_those_alone_who_take_gzip(
    serve: Serve, path: str, accepted: str, is_compressed: bool
) -> None:
    client = await serve(evening().feed())
    answer = await client.get(path, headers={"Accept-Encoding": accepted}, auto_decompress=False)
    body = await answer.read()
    assert answer.headers.get("Content-Encoding") == ("gzip" if is_compressed else None)
    assert (gzip.decompress(body) if is_compressed else body)[:1] in (b"<", b"{")
    assert "Accept-Encoding" in answer.headers["Vary"]
