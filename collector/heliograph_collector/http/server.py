"""The listening HTTP server, with limits for slow and hostile clients."""

import asyncio
from contextlib import AsyncExitStack

from aiohttp import web

from heliograph_collector.http.slow_clients import SlowClientGuard

_SHUTDOWN_S = 0.5  # for open responses; a live stream would never end by itself
_HEADER_BYTES = 4_096
_KEEPALIVE_S = 20.0


async def open_http(
    app: web.Application, host: str, port: int, stack: AsyncExitStack
) -> tuple[SlowClientGuard, int]:
    """Listen; return the guard, whose `run` belongs in a TaskGroup, and the port.

    `stack` closes the server. Raises OSError.
    """
    runner = web.AppRunner(
        app,
        keepalive_timeout=_KEEPALIVE_S,
        access_log=None,  # it would contain addresses
        handle_signals=False,
        shutdown_timeout=_SHUTDOWN_S,
        max_field_size=_HEADER_BYTES,
        max_line_size=_HEADER_BYTES,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    guard = SlowClientGuard(lambda: runner.server())  # type: ignore[misc] # it is set up
    server = await asyncio.get_running_loop().create_server(guard, host, port)
    stack.callback(server.close)
    return guard, int(server.sockets[0].getsockname()[1])
