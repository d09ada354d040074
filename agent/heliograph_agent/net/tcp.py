"""Open a TCP connection, count its bytes, and pass them to a layer above (TLS).

asyncio's streams do the same and more, at several times the cost: half of a nearby probe.
"""

import asyncio
import socket
from functools import partial
from typing import Protocol, cast

from heliograph.address import parse_literal

# unread bytes: reading pauses above the first and resumes below the second
_HIGH_WATER = 131_072
_LOW_WATER = 32_768
# unsent bytes: a peer that asks for answers (pings, new keys) and reads none is dropped
_MAX_UNSENT = 1_048_576  # assumed; a request is a few kilobytes

USUAL_SEGMENT = 1_460  # bytes of data in an Ethernet frame with IPv4, if the system reports none
_MAX_SEGMENT = getattr(socket, "TCP_MAXSEG", None)  # not on Windows


def read_segment_bytes(transport: asyncio.BaseTransport) -> int:
    """Return the data bytes that one segment of a connection takes."""
    tcp_socket = transport.get_extra_info("socket")
    if tcp_socket is None or _MAX_SEGMENT is None:
        return USUAL_SEGMENT
    try:
        size: int = tcp_socket.getsockopt(socket.IPPROTO_TCP, _MAX_SEGMENT)
    except OSError:  # the connection is gone
        return USUAL_SEGMENT
    return size or USUAL_SEGMENT


class TrafficMeter(Protocol):
    """Declare the counter of a task's bytes on the wire; a StepTrace is one."""

    def count_bytes(self, size: int) -> None: ...


class ByteReceiver(Protocol):
    """Define a layer that takes the connection's bytes in place of the buffer."""

    def feed_data(self, data: bytes) -> None: ...

    def feed_end(self, error: Exception | None) -> None: ...


class Waiter:
    """Let one task wait until the event loop's callbacks wake it."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Wait until `wake`; raise its error."""
        self._future = asyncio.get_running_loop().create_future()
        try:
            await self._future
        finally:
            self._future = None

    def wake(self, error: Exception | None = None) -> None:
        if self._future is None or self._future.done():
            return
        if error is None:
            self._future.set_result(None)
        else:
            self._future.set_exception(error)


class ReceiveBuffer:
    """Buffer received bytes until a reader takes them; one reader at a time."""

    __slots__ = ("_data", "_error", "_paused", "_transport", "_waiter", "is_ended")

    def __init__(self, transport: asyncio.Transport | None = None) -> None:
        self._data = bytearray()
        self.is_ended = False
        self._error: Exception | None = None
        self._transport = transport
        self._paused = False
        self._waiter = Waiter()

    def attach(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def feed(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > _HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._waiter.wake()

    def end(self, error: Exception | None) -> None:
        """End the stream; `error` is raised after all received bytes are read."""
        self.is_ended = True
        self._error = self._error or error
        self._waiter.wake()

    def read_available(self) -> bytes:
        """Return all buffered bytes without waiting."""
        return self._take_bytes(len(self._data))

    async def read(self, size: int) -> bytes:
        """Return up to `size` bytes, b"" at the end. Raises OSError."""
        while not self._data:
            if self._error is not None:
                raise self._error
            if self.is_ended:
                return b""
            await self._waiter.wait()
        return self._take_bytes(size)

    async def readexactly(self, size: int) -> bytes:
        """Return `size` bytes. Raises EOFError at an early end, OSError on a break."""
        while len(self._data) < size:
            if self.is_ended:
                raise self._error or asyncio.IncompleteReadError(self.read_available(), size)
            await self._waiter.wait()
        return self._take_bytes(size)

    def _take_bytes(self, size: int) -> bytes:
        if size >= len(self._data):
            data = bytes(self._data)
            self._data.clear()
        else:
            data = bytes(self._data[:size])
            del self._data[:size]
        if self._paused and len(self._data) <= _LOW_WATER and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data


class TcpConnection(asyncio.Protocol):
    """Read into `receive_buffer`, or into `receiver`, and write in clear."""

    def __init__(self, meter: TrafficMeter) -> None:
        self._meter = meter
        self.receive_buffer = ReceiveBuffer()
        self.receiver: ByteReceiver | None = None
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)  # once connected
        self._drain_waiter: asyncio.Future[None] | None = None  # set while the send buffer is full
        self._is_lost = False

    def write(self, data: bytes) -> None:
        """Send, unless the peer has long read nothing: then drop the connection."""
        self._meter.count_bytes(len(data))
        if self.transport.get_write_buffer_size() > _MAX_UNSENT:
            self.transport.abort()
        else:
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the send buffer has room. Raises OSError on a broken connection."""
        if self._is_lost:
            raise ConnectionResetError
        if self._drain_waiter is not None:
            await self._drain_waiter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.receive_buffer.attach(self.transport)

    def data_received(self, data: bytes) -> None:
        self._meter.count_bytes(len(data))
        if self.receiver is None:
            self.receive_buffer.feed(data)
        else:
            self.receiver.feed_data(data)

    def eof_received(self) -> bool:
        """Keep the connection open, because the peer may still read after its FIN."""
        (self.receiver.feed_end if self.receiver else self.receive_buffer.end)(None)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        (self.receiver.feed_end if self.receiver else self.receive_buffer.end)(exc)
        if self._drain_waiter is not None and not self._drain_waiter.done():
            self._drain_waiter.set_exception(exc or ConnectionResetError())

    def pause_writing(self) -> None:
        self._drain_waiter = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._drain_waiter is not None and not self._drain_waiter.done():
            self._drain_waiter.set_result(None)
        self._drain_waiter = None


async def open_tcp(address: str, port: int, meter: TrafficMeter) -> TcpConnection:
    """Make one handshake with an address literal; try no other. Raises OSError.

    Raises ValueError when `address` is a name: a connect resolves nothing.
    """
    if not parse_literal(address):
        raise ValueError(f"{address!r} does not appear to be an IPv4 or IPv6 address")
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(partial(TcpConnection, meter), address, port)
    return connection
