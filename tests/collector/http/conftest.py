"""The real application on a loopback port, over a feed out of lists."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from heliograph_collector.http.app import build
from heliograph_collector.http.backend import Feed

Client = TestClient[web.Request, web.Application]
Serve = Callable[[Feed], Awaitable[Client]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(feed: Feed) -> Any:
            server = TestServer(build(feed), host="127.0.0.1")
            return await stack.enter_async_context(TestClient(server))

        yield start
