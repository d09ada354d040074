"""One TLS handshake over a Wire, by OpenSSL through memory buffers.

asyncio's own start_tls cannot be used to observe: it reports a FIN during the handshake as a reset,
and it drops the chain of a certificate it does not like. Here OpenSSL is told to verify nothing,
the chain is kept, and `certificates` judges it afterwards.
"""

import asyncio
import ssl
import sys
from functools import lru_cache
from typing import cast

from heliograph_agent.net.alerts import alert_in_clear, alert_of
from heliograph_agent.net.tcp import Wire

_READ = 65_536
_REMEMBERED = 16_384  # bytes of the conversation's start that are searched for an alert
_MAX_CHAIN = 16


@lru_cache(maxsize=16)
def client_context(alpn: tuple[str, ...]) -> ssl.SSLContext:
    """Shared by every handshake with the same ALPN: making one costs nine times a handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


class TlsSession:
    """A client's side of one TLS conversation; the Upper of its wire."""

    def __init__(self, context: ssl.SSLContext, server_name: str | None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._arrived = asyncio.Event()
        self._start = bytearray()
        self._ended = False
        self._error: Exception | None = None
        self._transport: asyncio.Transport | None = None
        self._wire: Wire | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._finished = False
        self._plain: asyncio.StreamReader | None = None  # once the handshake is done
        self.alert: int | None = None

    async def handshake(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The streams in clear text. Raises OSError (ssl.SSLError is one) or EOFError."""
        await self._take_over(reader, writer)
        try:
            await self._negotiate()
        finally:
            clear = alert_in_clear(bytes(self._start))
            self.alert = self.alert if clear is None else clear
        return self._streams()

    @property
    def version(self) -> str:
        return self._ssl.version() or ""

    @property
    def cipher(self) -> str:
        chosen = self._ssl.cipher()
        return chosen[0] if chosen else ""

    @property
    def alpn(self) -> str:
        return self._ssl.selected_alpn_protocol() or ""

    def chain(self) -> list[bytes]:
        """DER, as the peer sent it, leaf first."""
        if sys.version_info >= (3, 13):
            return self._ssl.get_unverified_chain()[:_MAX_CHAIN]
        return _chain_before_3_13(self._ssl)[:_MAX_CHAIN]

    def received(self, data: bytes) -> None:
        self._incoming.write(data)
        if self._plain is not None:
            self._decrypt(self._plain)
            return
        self._start += data[: _REMEMBERED - len(self._start)]
        self._arrived.set()

    def ended(self, error: Exception | None) -> None:
        self._ended = True
        self._error = self._error or error
        self._arrived.set()
        if self._plain is not None:
            self._finish(self._plain, error)

    async def _take_over(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer  # kept: a StreamWriter that is collected closes its transport
        self._transport = cast("asyncio.Transport", writer.transport)
        self._wire = cast("Wire", self._transport.get_protocol())
        self._ended = reader.at_eof()
        self._wire.upper = self
        reader.feed_eof()  # whatever came before the ClientHello is the peer's first word too
        early = await reader.read()
        if early:
            self.received(early)

    async def _negotiate(self) -> None:
        while True:
            try:
                self._ssl.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                await self._more()
            except ssl.SSLError as error:
                self._flush()  # our own alert, as any client would send it
                self.alert = alert_of(error)
                raise
            else:
                self._flush()
                return

    async def _more(self) -> None:
        """Wait until the peer has said or ended something."""
        if not self._arrived.is_set() and self._ended:
            raise self._error or EOFError("the peer ended the connection in the handshake")
        await self._arrived.wait()
        self._arrived.clear()
        if not self._incoming.pending and self._ended:
            raise self._error or EOFError("the peer ended the connection in the handshake")

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data and self._transport is not None and self._wire is not None:
            self._wire.count(len(data))
            self._transport.write(data)

    def _streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        plain = asyncio.StreamReader()
        transport = TlsTransport(self)
        plain.set_transport(transport)
        self._plain = plain
        self._decrypt(plain)
        if self._ended:
            self._finish(plain, self._error)
        protocol = asyncio.StreamReaderProtocol(plain)
        return plain, asyncio.StreamWriter(transport, protocol, plain, loop)

    def _decrypt(self, plain: asyncio.StreamReader) -> None:
        if self._finished:
            return
        try:
            while data := self._ssl.read(_READ):
                plain.feed_data(data)
            self._finish(plain, None)  # close_notify
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._finish(plain, None)
        except ssl.SSLError as error:
            self._finish(plain, error)
        self._flush()

    def _finish(self, plain: asyncio.StreamReader, error: Exception | None) -> None:
        """Many servers leave without close_notify: HTTP knows whether something is missing."""
        if self._finished:
            return
        self._finished = True
        if error is None:
            plain.feed_eof()
        else:
            plain.set_exception(error)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._ssl.write(data)
        self._flush()

    @property
    def transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise RuntimeError("no handshake has been begun")
        return self._transport


class TlsTransport(asyncio.Transport):
    """What a StreamWriter writes to: encrypts, and leaves the rest to the wire's transport."""

    def __init__(self, session: TlsSession) -> None:
        super().__init__()
        self._session = session

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._session.write(data)

    def abort(self) -> None:
        self._session.transport.abort()

    def close(self) -> None:
        self._session.transport.close()

    def is_closing(self) -> bool:
        return self._session.transport.is_closing()

    def pause_reading(self) -> None:
        self._session.transport.pause_reading()

    def resume_reading(self) -> None:
        self._session.transport.resume_reading()


def _chain_before_3_13(connection: ssl.SSLObject) -> list[bytes]:
    """The same call, before Python gave it a public name."""
    inner = connection._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
    certificates = inner.get_unverified_chain() or ()
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in certificates]
