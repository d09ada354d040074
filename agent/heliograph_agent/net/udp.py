"""Send and receive over a connected UDP socket, with its ICMP errors.

A bare socket is used: asyncio's datagram transport costs as much as a whole nearby exchange.
"""

import asyncio
import socket
from collections import deque
from contextlib import suppress

from heliograph.address import parse_literal
from heliograph_agent.net.tcp import Waiter

_MAX_WAITING = 64  # datagrams; a flood of forged ones must not fill the memory
_MAX_SIZE = 65_535


class UdpSocket:
    """Hold a connected socket, which passes only datagrams of the peer's address."""

    def __init__(self, address: str, port: int) -> None:
        """Open and connect the socket.

        Raises OSError (no route, no such family), ValueError when `address` is a name.
        """
        if not parse_literal(address):
            raise ValueError(f"{address!r} does not appear to be an IPv4 or IPv6 address")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._received: deque[bytes | OSError] = deque()
        self._waiter = Waiter()
        self._loop = asyncio.get_running_loop()
        self._has_reader = True
        try:
            self._socket.setblocking(False)
            self._socket.connect((address, port))
            self._loop.add_reader(self._socket, self._receive)
        except NotImplementedError:  # the Proactor loop of Windows watches no socket
            self._has_reader = False
        except BaseException:
            self._socket.close()
            raise

    @property
    def peer(self) -> tuple[str, int]:
        """Return the peer's address as the socket reports it: four items for IPv6."""
        peer: tuple[str, int] = self._socket.getpeername()
        return peer

    def send(self, data: bytes) -> None:
        """Send a datagram; drop it when the send buffer is full. Raises OSError."""
        with suppress(BlockingIOError):
            self._socket.send(data)

    async def receive(self, deadline: float | None = None) -> bytes:
        """Return the next datagram. `deadline` is a time of the event loop.

        Raises OSError when the network refused one of our datagrams (ICMP), TimeoutError.
        """
        if not self._has_reader:
            async with asyncio.timeout_at(deadline):
                return await self._loop.sock_recv(self._socket, _MAX_SIZE)
        if not self._received:
            await self._wait_datagram(deadline)
        item = self._received.popleft()
        if isinstance(item, OSError):
            raise item
        return item

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            if self._has_reader:
                self._loop.remove_reader(self._socket)
            self._socket.close()

    async def _wait_datagram(self, deadline: float | None) -> None:
        if deadline is None:
            await self._waiter.wait()
            return
        alarm = self._loop.call_at(deadline, self._time_out)
        try:
            await self._waiter.wait()
        finally:
            alarm.cancel()

    def _time_out(self) -> None:
        self._waiter.wake(TimeoutError())

    def _receive(self) -> None:
        item: bytes | OSError
        try:
            item = self._socket.recv(_MAX_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            item = error
        if len(self._received) < _MAX_WAITING:
            self._received.append(item)
        self._waiter.wake()
