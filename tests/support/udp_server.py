"""A UDP server on loopback that answers as a script says.

    with udp_server(lambda data: [b"pong"]) as port: ...

The script gets a datagram and returns those to send back.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import cast

from support.background import background
from support.ports import HOST

Script = Callable[[bytes], Sequence[bytes]]


@contextmanager
def udp_server(script: Script, *, host: str = HOST) -> Iterator[int]:
    """The port."""

    def manager() -> AbstractAsyncContextManager[int]:
        return _serving(script, host)

    with background(manager) as port:
        yield port


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, script: Script) -> None:
        self._script = script

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for reply in self._script(data):
            self._transport.sendto(reply, addr)


@asynccontextmanager
async def _serving(script: Script, host: str) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Datagrams(script), local_addr=(host, 0)
    )
    try:
        yield int(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()
