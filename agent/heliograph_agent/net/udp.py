"""One UDP socket that knows a single peer: what arrives, bounded, and what ICMP says of it."""

import asyncio
import ipaddress

_MAX_WAITING = 64  # datagrams; a flood of forgeries fills no memory


class Datagrams(asyncio.DatagramProtocol):
    """A connected socket: the kernel lets pass only what comes from the peer's address."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[bytes | Exception] = asyncio.Queue(_MAX_WAITING)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        del addr
        self._put(data)

    def error_received(self, exc: Exception) -> None:
        self._put(exc)

    def _put(self, item: bytes | Exception) -> None:
        if not self._arrived.full():
            self._arrived.put_nowait(item)

    async def next(self) -> bytes:
        """The next datagram. Raises OSError when the network refused one of ours (ICMP)."""
        item = await self._arrived.get()
        if isinstance(item, Exception):
            raise item
        return item


async def open_udp(address: str, port: int) -> tuple[asyncio.DatagramTransport, Datagrams]:
    """A fresh socket towards an address literal. Raises OSError (no route, no such family).

    Raises ValueError when `address` is a name.
    """
    ipaddress.ip_address(address)
    loop = asyncio.get_running_loop()
    return await loop.create_datagram_endpoint(Datagrams, remote_addr=(address, port))
