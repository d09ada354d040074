"""One TCP connection, its bytes counted, its incoming bytes open to a layer above (TLS)."""

import asyncio
import ipaddress
from collections.abc import Callable
from typing import Protocol

Count = Callable[[int], None]


class Upper(Protocol):
    """A layer that takes the wire's bytes in place of the reader."""

    def received(self, data: bytes) -> None: ...

    def ended(self, error: Exception | None) -> None: ...


class Wire(asyncio.StreamReaderProtocol):
    """asyncio's stream protocol, with a tap for the count and a switch for the layer above."""

    def __init__(self, reader: asyncio.StreamReader, count: Count) -> None:
        super().__init__(reader)
        self.count = count
        self.upper: Upper | None = None

    def data_received(self, data: bytes) -> None:
        self.count(len(data))
        if self.upper is None:
            super().data_received(data)
        else:
            self.upper.received(data)

    def eof_received(self) -> bool | None:
        if self.upper is not None:
            self.upper.ended(None)
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.upper is not None:
            self.upper.ended(exc)
        super().connection_lost(exc)


class CountedWriter(asyncio.StreamWriter):
    """A writer on a Wire in clear."""

    def __init__(
        self, transport: asyncio.WriteTransport, wire: Wire, reader: asyncio.StreamReader
    ) -> None:
        super().__init__(transport, wire, reader, asyncio.get_running_loop())
        self._wire = wire

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._wire.count(len(data))
        super().write(data)


async def open_wire(
    address: str, port: int, count: Count
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """One handshake with an address literal, no other tried. Raises OSError.

    Raises ValueError when `address` is a name: a connect resolves nothing.
    """
    ipaddress.ip_address(address)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    wire = Wire(reader, count)
    transport, _ = await loop.create_connection(lambda: wire, address, port)
    return reader, CountedWriter(transport, wire, reader)
