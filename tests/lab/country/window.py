"""A window into the lab: connections to an outside port reach its collector.

The listening socket is made outside and inherited; a socket stays in the network it was made in,
wherever its process goes.

python -m lab.country.window FD HOST PORT
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lab.country.topology import ABROAD, COLLECTOR
from lab.country.world import World
from support.programs import module_command

CHUNK = 65_536


@contextmanager
def opened(world: World, listening: socket.socket) -> Iterator[str]:
    """Forward connections to `listening` to the collector's pages; yield their origin."""
    fd = listening.fileno()
    carry = module_command("lab.country.window", str(fd), COLLECTOR, "8080")
    command = world.command(ABROAD, carry)
    process = subprocess.Popen(command, pass_fds=[fd], stdin=subprocess.DEVNULL)
    try:
        yield "http://{}:{}".format(*listening.getsockname())
    finally:
        process.kill()
        process.wait(timeout=60)


async def main(fd: int, host: str, port: int) -> None:
    listening = socket.socket(fileno=fd)

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            theirs, ours = await asyncio.open_connection(host, port)
            async with asyncio.TaskGroup() as group:
                group.create_task(_carry(reader, ours))
                group.create_task(_carry(theirs, writer))

    server = await asyncio.start_server(visited, sock=listening)
    async with server:
        await server.serve_forever()


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(CHUNK):
            target.write(data)
            await target.drain()
    target.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
