"""TLS over a stream through memory buffers: asyncio's own gives a quarter of a MiB to each caller,
and counts nobody before the handshake is over."""

import asyncio
import ssl
from collections.abc import Callable
from typing import TypeVar

CHUNK = 16_384  # a record of TLS
_T = TypeVar("_T")


class Secured:
    """The server's side of one connection. Every wait is the caller's to bound."""

    def __init__(
        self, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader, self._writer = reader, writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def shake_hands(self) -> None:
        """Raises OSError (of which SSLError is one), EOFError."""
        await self._until(self._ssl.do_handshake)

    async def read(self) -> bytes:
        """Some bytes; none at a proper end. Raises as `shake_hands`."""
        return await self._until(lambda: self._ssl.read(CHUNK))

    async def write(self, data: bytes) -> None:
        """Raises OSError."""
        self._ssl.write(data)
        self._flush()
        await self._writer.drain()

    async def _until(self, step: Callable[[], _T]) -> _T:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._flush()
            except ssl.SSLError:
                self._flush()  # the alert
                raise
            else:
                self._flush()
                return done
            piece = await self._reader.read(CHUNK)
            if not piece:
                raise EOFError
            self._incoming.write(piece)

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._writer.write(self._outgoing.read())
