"""A UDP server on loopback with scripted answers.

    with udp_server(lambda data: [b"pong"]) as port: ...

The script gets a datagram and returns those to send back.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

from support.background import in_background
from support.ports import HOST

Script = Callable[[bytes], Sequence[bytes]]


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, script: Script) -> None:
        self._script = script

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for reply in self._script(data):
            self._transport.sendto(reply, addr)


@asynccontextmanager
async def serving_udp(script: Script, *, host: str = HOST, port: int = 0) -> AsyncIterator[int]:
    """Yield the port of a server in this loop."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Datagrams(script), local_addr=(host, port)
    )
    try:
        yield int(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


udp_server = in_background(serving_udp)
