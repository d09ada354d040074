"""At its end the server finishes every request before it closes what they read."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from heliograph_collector.http.server import open_http
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
