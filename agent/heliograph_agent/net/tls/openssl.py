"""One TLS handshake over a Wire, by OpenSSL through memory buffers.

asyncio's own start_tls cannot be used to observe: it reports a FIN during the handshake as a reset,
and it drops the chain of a certificate it does not like. Here OpenSSL is told to verify nothing,
the chain is kept, and `certificates` judges it afterwards.
"""

import asyncio
import ssl
import sys
from functools import lru_cache

from heliograph_agent.net.tcp import Inbox, Wire

_ALERT_RECORD = 21
_HEADER = 5
_CLEAR_ALERT = 2  # level and number; an encrypted alert is longer

# OpenSSL's reason code for a received alert is 1000 + its number; Python knows these names.
_NAMES = {
    "SSLV3_ALERT_UNEXPECTED_MESSAGE": 10,
    "SSLV3_ALERT_BAD_RECORD_MAC": 20,
    "TLSV1_ALERT_RECORD_OVERFLOW": 22,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": 40,
    "SSLV3_ALERT_BAD_CERTIFICATE": 42,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": 43,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": 44,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": 45,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": 46,
    "SSLV3_ALERT_ILLEGAL_PARAMETER": 47,
    "TLSV1_ALERT_UNKNOWN_CA": 48,
    "TLSV1_ALERT_ACCESS_DENIED": 49,
    "TLSV1_ALERT_DECODE_ERROR": 50,
    "TLSV1_ALERT_DECRYPT_ERROR": 51,
    "TLSV1_ALERT_PROTOCOL_VERSION": 70,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": 71,
    "TLSV1_ALERT_INTERNAL_ERROR": 80,
    "TLSV1_ALERT_INAPPROPRIATE_FALLBACK": 86,
    "TLSV1_ALERT_USER_CANCELLED": 90,
    "TLSV13_ALERT_MISSING_EXTENSION": 109,
    "TLSV1_UNSUPPORTED_EXTENSION": 110,
    "TLSV1_UNRECOGNIZED_NAME": 112,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": 116,
}


def alert_in_clear(received: bytes) -> int | None:
    """The first alert among whole unencrypted records at the start of a conversation."""
    at = 0
    while at + _HEADER <= len(received):
        size = int.from_bytes(received[at + 3 : at + _HEADER], "big")
        body = received[at + _HEADER : at + _HEADER + size]
        if received[at] == _ALERT_RECORD and size == len(body) == _CLEAR_ALERT:
            return body[1]
        at += _HEADER + size
    return None


def alert_of(error: BaseException) -> int | None:
    """The alert behind an ssl.SSLError, by OpenSSL's symbolic reason."""
    return _NAMES.get(error.reason or "") if isinstance(error, ssl.SSLError) else None


_READ = 16_384  # a record of TLS
_REMEMBERED = 16_384  # bytes of the conversation's start that are searched for an alert
_MAX_CHAIN = 16
_ALERT = b"\x15\x03"  # how the record of an alert begins
_DER = 2  # _ssl.ENCODING_DER


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
    """A client's side of one TLS conversation; the Upper of its wire, and what one writes to."""

    def __init__(self, context: ssl.SSLContext, server_name: str | None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._arrived: asyncio.Future[None] | None = None
        self._start = bytearray()
        self._ended = False
        self._error: Exception | None = None
        self._wire: Wire | None = None
        self._finished = False
        self._plain: Inbox | None = None  # once the handshake is done
        self.alert: int | None = None

    async def handshake(self, wire: Wire) -> Inbox:
        """What is read in clear text. Raises OSError (ssl.SSLError is one) or EOFError."""
        self._take_over(wire)
        try:
            await self._negotiate()
        finally:
            clear = alert_in_clear(bytes(self._start)) if _ALERT in self._start else None
            self.alert = self.alert if clear is None else clear
        return self._opened(wire)

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
        self._wake()

    def ended(self, error: Exception | None) -> None:
        self._ended = True
        self._error = self._error or error
        self._wake()
        if self._plain is not None:
            self._finish(self._plain, error)

    def write(self, data: bytes) -> None:
        self._ssl.write(data)
        self._flush()

    async def drain(self) -> None:
        """As the wire's."""
        await self._taken().drain()

    @property
    def transport(self) -> asyncio.Transport:
        """The wire's: what closes the connection."""
        return self._taken().transport

    def _take_over(self, wire: Wire) -> None:
        self._wire = wire
        wire.upper = self
        self._ended = wire.inbox.ended
        early = wire.inbox.take()  # what came before the ClientHello is the peer's first word too
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
        if not self._incoming.pending and not self._ended:
            self._arrived = asyncio.get_running_loop().create_future()
            try:
                await self._arrived
            finally:
                self._arrived = None
        if not self._incoming.pending and self._ended:
            raise self._error or EOFError("the peer ended the connection in the handshake")

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _taken(self) -> Wire:
        if self._wire is None:
            raise RuntimeError("no handshake has been begun")
        return self._wire

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._taken().write(self._outgoing.read())

    def _opened(self, wire: Wire) -> Inbox:
        self._plain = plain = Inbox(wire.transport)
        self._decrypt(plain)
        if self._ended:
            self._finish(plain, self._error)
        return plain

    def _decrypt(self, plain: Inbox) -> None:
        if self._finished:
            return
        try:
            while data := self._ssl.read(_READ):
                plain.feed(data)
            self._finish(plain, None)  # close_notify
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._finish(plain, None)
        except ssl.SSLError as error:
            self._finish(plain, error)
        self._flush()

    def _finish(self, plain: Inbox, error: Exception | None) -> None:
        """Many servers leave without close_notify: HTTP knows whether something is missing."""
        if not self._finished:
            self._finished = True
            plain.end(error)


def _chain_before_3_13(connection: ssl.SSLObject) -> list[bytes]:
    """The same call, before Python gave it a public name."""
    inner = connection._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
    return [each.public_bytes(_DER) for each in inner.get_unverified_chain() or ()]
