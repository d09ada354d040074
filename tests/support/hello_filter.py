"""A censor before a real server, who reads the ClientHello and then ends or passes the connection.

    async with hello_filter(web.https, drops_browsers) as port:
        ...

What it knows of browsers is their list of cipher suites: Chrome's and Firefox's begin in orders of
their own, and no library's begins so.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

BROWSER_SUITES = (bytes.fromhex("130113021303c02bc02f"), bytes.fromhex("130113031302c02bc02f"))
FIRST_SEGMENT = 1_460
Drops = Callable[[bytes], bool]  # whether a connection with this hello is reset


def is_browser(hello: bytes) -> bool:
    return any(suites in hello for suites in BROWSER_SUITES)


def drops_browsers(hello: bytes) -> bool:
    return is_browser(hello)


def passes_browsers_only(hello: bytes) -> bool:
    return not is_browser(hello)


def drops_name(name: str) -> Drops:
    return lambda hello: name.encode() in hello


def drops_name_in_first_segment(name: str) -> Drops:
    return lambda hello: name.encode() in hello[:FIRST_SEGMENT]


def drops_nothing(_: bytes) -> bool:
    return False


@asynccontextmanager
async def hello_filter(server_port: int, drops: Drops) -> AsyncIterator[int]:
    """Gives the port; what passes goes on to `server_port`, byte by byte."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            header = await reader.readexactly(5)
            hello = header + await reader.readexactly(int.from_bytes(header[3:], "big"))
            if not drops(hello):
                await pass_on(hello, reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.transport.abort()

    async def pass_on(
        hello: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", server_port)
        try:
            back_writer.write(hello)
            async with asyncio.TaskGroup() as group:
                group.create_task(pump(reader, back_writer))
                group.create_task(pump(back_reader, writer))
        except* OSError:
            pass
        finally:
            back_writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(16_384):
        writer.write(data)
        await writer.drain()
    writer.transport.abort()
