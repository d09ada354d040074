"""One TCP connection, its bytes counted, its incoming bytes open to a layer above (TLS).

asyncio's streams do the same and more, at several times the price: half of a probe nearby.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from heliograph.address import literal

Count = Callable[[int], None]

_HIGH, _LOW = 131_072, 32_768  # bytes unread: the peer waits from the one to the other


class Upper(Protocol):
    """A layer that takes the wire's bytes in place of the reader."""

    def received(self, data: bytes) -> None: ...

    def ended(self, error: Exception | None) -> None: ...


class Inbox:
    """What has come and nobody has read yet. One reader at a time."""

    __slots__ = ("_data", "_ended", "_error", "_paused", "_transport", "_waiter")

    def __init__(self, transport: asyncio.Transport | None = None) -> None:
        self._data = bytearray()
        self._ended = False
        self._error: Exception | None = None
        self._transport = transport
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None

    def attach(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def feed(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > _HIGH and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def end(self, error: Exception | None) -> None:
        """Nothing more will come; `error` is raised once all that came has been read."""
        self._ended = True
        self._error = self._error or error
        self._wake()

    @property
    def ended(self) -> bool:
        return self._ended

    def take(self) -> bytes:
        """All there is, without waiting."""
        return self._cut(len(self._data))

    async def read(self, size: int) -> bytes:
        """Up to `size` bytes, b"" at the end. Raises OSError when the connection broke."""
        while not self._data:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            await self._more()
        return self._cut(size)

    async def readexactly(self, size: int) -> bytes:
        """Raises EOFError when the end comes before, OSError when the connection broke."""
        while len(self._data) < size:
            if self._ended:
                raise self._error or asyncio.IncompleteReadError(self.take(), size)
            await self._more()
        return self._cut(size)

    async def _more(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _cut(self, size: int) -> bytes:
        if size >= len(self._data):
            data = bytes(self._data)
            self._data.clear()
        else:
            data = bytes(self._data[:size])
            del self._data[:size]
        if self._paused and len(self._data) <= _LOW and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data


class Wire(asyncio.Protocol):
    """The connection in clear: reads into its inbox, and is itself what one writes to."""

    def __init__(self, count: Count) -> None:
        self.count = count
        self.inbox = Inbox()
        self.upper: Upper | None = None
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)  # once it is made
        self._full: asyncio.Future[None] | None = None  # the kernel takes no more for now
        self._lost = False

    def write(self, data: bytes) -> None:
        self.count(len(data))
        self.transport.write(data)

    async def drain(self) -> None:
        """Until the kernel has taken most of what was written. Raises OSError when it cannot."""
        if self._lost:
            raise ConnectionResetError
        if self._full is not None:
            await self._full

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.inbox.attach(self.transport)

    def data_received(self, data: bytes) -> None:
        self.count(len(data))
        if self.upper is None:
            self.inbox.feed(data)
        else:
            self.upper.received(data)

    def eof_received(self) -> bool:
        """The peer has no more to say, and may still listen."""
        (self.upper.ended if self.upper else self.inbox.end)(None)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        (self.upper.ended if self.upper else self.inbox.end)(exc)
        if self._full is not None and not self._full.done():
            self._full.set_exception(exc or ConnectionResetError())

    def pause_writing(self) -> None:
        self._full = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._full is not None and not self._full.done():
            self._full.set_result(None)
        self._full = None


async def open_wire(address: str, port: int, count: Count) -> Wire:
    """One handshake with an address literal, no other tried. Raises OSError.

    Raises ValueError when `address` is a name: a connect resolves nothing.
    """
    if not literal(address):
        raise ValueError(f"{address!r} does not appear to be an IPv4 or IPv6 address")
    return await dial(address, port, count)


async def dial(host: str, port: int, count: Count) -> Wire:
    """A connection to a name or an address, as the system makes it. Raises OSError."""
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(lambda: Wire(count), host, port)
    return wire
