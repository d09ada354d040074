"""An aiohttp application on a loopback port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from support.ports import HOST


@asynccontextmanager
async def serve_app(app: web.Application) -> AsyncIterator[str]:
    """Yield the origin, as in http://127.0.0.1:8080."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0, backlog=1_024).start()
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
