"""Small raw servers on loopback that misbehave in one way each.

    with tcp_server(reset_after_first_bytes) as port: ...

Each runs in a separate thread, so sync and async tests use them alike. A handler serves one
connection; `reply(…)` and `alert(…)` make handlers.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from support.background import in_background
from support.ports import HOST

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(
    handler: Handler, host: str = HOST, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[int]:
    """Yield the port of a server in this loop that gives connections to `handler`.

    It accepts by hand, because asyncio's Server loses what arrives as it closes.
    """
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_quiet)  # a handshake that fails is what many tests are about
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=128)
    listener.setblocking(False)
    accepted: list[socket.socket] = []
    serving: list[asyncio.Task[None]] = []

    def accept() -> None:
        accepted.append(listener.accept()[0])
        serving.append(loop.create_task(_serve(handler, accepted[-1], tls)))

    loop.add_reader(listener, accept)
    try:
        yield int(listener.getsockname()[1])
    finally:
        loop.remove_reader(listener)
        listener.close()
        for task in serving:
            task.cancel()
        ends = await asyncio.gather(*serving, return_exceptions=True)
        await asyncio.sleep(0)
        for connection in accepted:
            connection.close()
        for end in ends:
            if isinstance(end, Exception):
                raise end


tcp_server = in_background(serving)


async def _serve(handler: Handler, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    connection.setblocking(False)
    raw, _ = await loop.connect_accepted_socket(lambda: protocol, connection)
    try:
        transport = await loop.start_tls(raw, protocol, tls, server_side=True) if tls else raw
        assert transport is not None
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        await handler(reader, writer)
        writer.close()
        await writer.wait_closed()
    except (OSError, EOFError):  # the client left, in the handshake or later
        pass
    finally:
        raw.abort()


def _quiet(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if not isinstance(context.get("exception"), (OSError, asyncio.CancelledError, type(None))):
        loop.default_exception_handler(context)


async def reset_after_first_bytes(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Reset after the client's first bytes, the commonest act of packet inspection."""
    await reader.read(4096)
    reset(writer)


async def close_after_first_bytes(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Close after the client's first bytes."""
    await reader.read(4096)


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read for ever, answer never."""
    while await reader.read(4096):
        pass


def reply(data: bytes, *, then: Handler | None = None) -> Handler:
    """Send `data` once the client has spoken, then FIN, or whatever `then` does."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(data)
        await writer.drain()
        if then is not None:
            await then(reader, writer)

    return handler


def alert(number: int) -> Handler:
    return reply(bytes((21, 3, 3, 0, 2, 2, number)))


async def reset_now(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reset the connection, for `reply(…, then=reset_now)`; sent data may be lost too."""
    reset(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


SLOW_BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Type: text/html\r\n\r\n<title>Slow"
TRUNCATED_BODY = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Type: text/html\r\n\r\n"
    b"<title>Half of it</title>"
)
slow_body = reply(SLOW_BODY, then=say_nothing)  # the beginning, then silence on an open connection
truncated_body = reply(TRUNCATED_BODY)  # the beginning, then FIN
