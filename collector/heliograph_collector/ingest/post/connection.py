"""One connection: its handshake, its request, its answer, all of them bounded.

TLS runs through memory buffers: asyncio's own gives a quarter of a MiB to each stranger.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from heliograph.http_envelope import MAX_BODY, MAX_HEAD, RefusedError, Request, read, refusal

MAX_RECEIVED = MAX_BODY + MAX_HEAD + 32_768  # of encrypted bytes; an honest call stays far below
_READ = 16_384  # a record of TLS


class Call(asyncio.Protocol):
    """`begun` and `ended` tell whoever counts; `asked` gets the request, and answers later."""

    def __init__(
        self,
        context: ssl.SSLContext,
        begun: "Callable[[Call], None]",
        ended: "Callable[[Call], None]",
        asked: "Callable[[Call, Request], None]",
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._begun, self._ended, self._asked = begun, ended, asked
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)  # once there is one
        self._shaken = self._done = False
        self._received = bytearray()
        self._size = 0

    @property
    def peer(self) -> str:
        name = self._transport.get_extra_info("peername")
        return str(name[0]) if name else ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._begun(self)

    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        if self._done or self._size > MAX_RECEIVED:
            self.drop()
            return
        self._incoming.write(data)
        try:
            self._take()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError:
            self._flush()  # the alert
            self.drop()
        except RefusedError as refused:
            self.answer(refusal(refused.status))

    def connection_lost(self, exc: Exception | None) -> None:
        self._done = True
        self._ended(self)

    def answer(self, reply: bytes) -> None:
        """The last thing said; the connection ends once it is out."""
        if self._transport.is_closing():
            return
        self._done = True
        self._ssl.write(reply)
        with suppress(ssl.SSLError):
            self._ssl.unwrap()  # our half of the end; theirs is not waited for
        self._flush()
        self._transport.close()

    def drop(self) -> None:
        self._done = True
        self._transport.abort()

    def _take(self) -> None:
        """Raises SSLError, of which SSLWantReadError means that it goes on, or RefusedError."""
        if not self._shaken:
            self._ssl.do_handshake()
            self._shaken = True
            self._flush()
        while not self._done:
            data = self._ssl.read(_READ)
            if not data:
                self.drop()  # the end came before the request did
                return
            self._received += data
            request = read(bytes(self._received))
            if request is not None:
                self._done = True
                self._transport.pause_reading()
                self._asked(self, request)

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())
