"""Lets gRPC, which knows no SOCKS, go through the user's proxy: a socket file that leads there.

The socket lies in a directory of this user alone and is gone with the block.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from heliograph_agent.net.failure_mapping import CAUGHT
from heliograph_agent.net.tcp import Wire
from heliograph_agent.state import StateError
from heliograph_agent.uplink.channel import DoorError
from heliograph_agent.uplink.dial_context import Ways
from heliograph_agent.uplink.transports import Rung

_CHUNK = 65_536


@asynccontextmanager
async def bridge(dial: Callable[[], Awaitable[Wire]]) -> AsyncIterator[str]:
    """A gRPC target; each connection to it is carried over a wire of its own.

    `dial` may raise what net.failures.CAUGHT names: then the connection ends at once.
    """
    with tempfile.TemporaryDirectory(prefix="agent-") as folder:
        path = str(Path(folder) / "s")  # a socket's path has room for some hundred characters
        carried: set[asyncio.Task[None]] = set()
        ended: list[DoorError | StateError] = []
        async with asyncio.TaskGroup() as group:

            def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = group.create_task(_carry(dial, reader, writer))
                carried.add(task)
                task.add_done_callback(carried.discard)

            server = await asyncio.start_unix_server(begin, path, limit=_CHUNK)
            try:
                yield f"unix:{path}"
            except (DoorError, StateError) as error:  # not to come out as a group of one
                ended.append(error)
            finally:
                server.close()
                for task in carried:
                    task.cancel()
    if ended:
        raise ended[0]


@asynccontextmanager
async def target_of(rung: Rung, place: str, ways: Ways, pin: bytes) -> AsyncIterator[str]:
    """What gRPC is to dial for `place`: itself, or a bridge where the rung is by the proxy."""
    if rung.proxied:
        async with bridge(lambda: ways.lead(rung, place, pin)) as target:
            yield target
    else:
        host = f"[{place}]" if ":" in place else place
        yield f"{host}:{rung.entrance.port}"


async def _carry(
    dial: Callable[[], Awaitable[Wire]],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    try:
        with suppress(*CAUGHT):
            wire = await dial()
            try:
                await _both_ways(reader, writer, wire)
            finally:
                wire.transport.abort()
    finally:
        writer.transport.abort()


async def _both_ways(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: Wire
) -> None:
    """Until either side ends."""
    async with asyncio.TaskGroup() as group:
        out = group.create_task(_out(reader, wire))
        await _back(wire, writer)
        out.cancel()


async def _out(reader: asyncio.StreamReader, wire: Wire) -> None:
    try:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                wire.write(data)
                await wire.drain()
    finally:
        wire.transport.abort()  # which ends the way back too


async def _back(wire: Wire, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await wire.inbox.read(_CHUNK):
            writer.write(data)
            await writer.drain()
