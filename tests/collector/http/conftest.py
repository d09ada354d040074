"""The real application on a loopback port, over a feed out of lists."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from heliograph_collector.http.backend import Feed
from support.site import Serve, Site, open_site


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(feed: Feed) -> Site:
            return await stack.enter_async_context(open_site(feed))

        yield start
