"""A box on the way that reads what a client says first, and minds one name in it.

    with name_filter(site.https, b"minded.test") as port: ...        # RST, as most boxes do
    with name_filter(site.https, b"minded.test", freeze(16_384)) as port: ...

A connection whose first bytes hold the name is the box's; every other goes on to the server.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from support.ports import HOST
from support.tcp_server import reset, tcp_server

Way = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Treatment = Callable[[bytes, Way, Way], Awaitable[None]]

_READ = 65_536


async def cut(said: bytes, client: Way, server: Way) -> None:
    """RST to the client; the server never hears of it."""
    del said, server
    reset(client[1])


async def silence(said: bytes, client: Way, server: Way) -> None:
    """Nothing of it goes on, and nothing comes back."""
    del said, server
    while await client[0].read(_READ):
        pass


def freeze(after: int) -> Treatment:
    """It goes on, and so many bytes come back, then none."""

    async def treat(said: bytes, client: Way, server: Way) -> None:
        server[1].write(said)
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(client[0], server[1]))
            left = after
            while left and (data := await server[0].read(left)):
                client[1].write(data)
                left -= len(data)

    return treat


async def onward(said: bytes, client: Way, server: Way) -> None:
    """As if there were no box."""
    server[1].write(said)
    async with asyncio.TaskGroup() as group:
        group.create_task(_pump(client[0], server[1]))
        group.create_task(_pump(server[0], client[1]))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_READ):
            writer.write(data)
            await writer.drain()
    except ConnectionError:  # one side left: so does the other
        pass
    writer.close()


@contextmanager
def name_filter(behind: int, minded: bytes, treatment: Treatment = cut) -> Iterator[int]:
    """The port of a box before 127.0.0.1:`behind`."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = await reader.read(_READ)
        server = await asyncio.open_connection(HOST, behind)
        try:
            treat = treatment if minded in said else onward
            await treat(said, (reader, writer), server)
        finally:
            server[1].transport.abort()

    with tcp_server(handler) as port:
        yield port
