"""Make one TLS handshake over a TcpConnection, by OpenSSL through memory buffers.

asyncio's own start_tls is unusable for observation: it reports a FIN during the handshake as a
reset, and it drops a chain that does not verify. Here OpenSSL verifies nothing, the chain is
kept, and `certificates` checks it afterwards.
"""

import asyncio
import ssl
import sys
from functools import lru_cache

from heliograph_agent.net.tcp import (
    USUAL_SEGMENT,
    ReceiveBuffer,
    TcpConnection,
    Waiter,
    read_segment_bytes,
)

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


def find_clear_alert(received: bytes) -> int | None:
    """Find the first alert in whole unencrypted records at the start of a connection."""
    offset = 0
    while offset + _HEADER <= len(received):
        size = int.from_bytes(received[offset + 3 : offset + _HEADER], "big")
        body = received[offset + _HEADER : offset + _HEADER + size]
        if received[offset] == _ALERT_RECORD and size == len(body) == _CLEAR_ALERT:
            return body[1]
        offset += _HEADER + size
    return None


def alert_of_error(error: BaseException) -> int | None:
    """Return the alert of an ssl.SSLError, by OpenSSL's symbolic reason."""
    return _NAMES.get(error.reason or "") if isinstance(error, ssl.SSLError) else None


_READ = 16_384  # a record of TLS
_REMEMBERED = 16_384  # bytes at the start of the connection that are searched for an alert
_MAX_CHAIN = 16
_ALERT = b"\x15\x03"  # the first bytes of an alert record
_DER = 2  # _ssl.ENCODING_DER


# The TLS 1.2 suites of Firefox (profile `firefox` in heliograph/hello_profiles.yml): Python's own
# list lacks CBC and RSA key exchange, by which old servers of states and banks serve every browser.
# Level 0, as Firefox, for signatures with SHA-1; what a chain is worth is `certificates`' question.
_SUITES = (
    "@SECLEVEL=0",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
)
_OP_LEGACY_SERVER_CONNECT = 0x4  # servers without RFC 5746; Python names it from 3.12


@lru_cache(maxsize=16)
def make_client_context(alpn: tuple[str, ...]) -> ssl.SSLContext:
    """Share one context per ALPN: to create one costs nine times a handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # as browsers, whatever the system's policy
    context.set_ciphers(":".join(_SUITES))
    context.options |= _OP_LEGACY_SERVER_CONNECT
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


class TlsSession:
    """Run the client side of TLS: the `ByteReceiver` of a connection, and a writer."""

    def __init__(self, context: ssl.SSLContext, server_name: str | None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._waiter = Waiter()
        self._start = bytearray()
        self._is_ended = False
        self._error: Exception | None = None
        self._connection: TcpConnection | None = None
        self._is_finished = False
        self._plaintext: ReceiveBuffer | None = None  # once the handshake is done
        self.alert: int | None = None
        self.hello = b""  # the first flight that was sent
        self.segment_bytes = USUAL_SEGMENT

    async def handshake(self, connection: TcpConnection) -> ReceiveBuffer:
        """Make the handshake; return the plaintext buffer. Raises OSError or EOFError."""
        self._attach(connection)
        try:
            await self._negotiate()
        finally:
            clear_alert = find_clear_alert(bytes(self._start)) if _ALERT in self._start else None
            self.alert = self.alert if clear_alert is None else clear_alert
        return self._start_decrypting(connection)

    @property
    def version(self) -> str:
        return self._ssl.version() or ""

    @property
    def cipher(self) -> str:
        cipher = self._ssl.cipher()
        return cipher[0] if cipher else ""

    @property
    def alpn(self) -> str:
        return self._ssl.selected_alpn_protocol() or ""

    def chain(self) -> list[bytes]:
        """Return the chain in DER, as the peer sent it, leaf first."""
        if sys.version_info >= (3, 13):
            return self._ssl.get_unverified_chain()[:_MAX_CHAIN]
        return _chain_before_3_13(self._ssl)[:_MAX_CHAIN]

    def feed_data(self, data: bytes) -> None:
        self._incoming.write(data)
        if self._plaintext is not None:
            self._decrypt(self._plaintext)
            return
        self._start += data[: _REMEMBERED - len(self._start)]
        self._waiter.wake()

    def feed_end(self, error: Exception | None) -> None:
        self._is_ended = True
        self._error = self._error or error
        self._waiter.wake()
        if self._plaintext is not None:
            self._finish(self._plaintext, error)

    def write(self, data: bytes) -> None:
        self._ssl.write(data)
        self._flush()

    async def drain(self) -> None:
        """Wait until the connection's send buffer has room."""
        await self._get_connection().drain()

    @property
    def transport(self) -> asyncio.Transport:
        """Return the connection's transport, which closes the connection."""
        return self._get_connection().transport

    def _attach(self, connection: TcpConnection) -> None:
        self._connection = connection
        connection.receiver = self
        self.segment_bytes = read_segment_bytes(connection.transport)
        self._is_ended = connection.receive_buffer.is_ended
        # Bytes before the ClientHello belong to the peer's records too.
        if early_data := connection.receive_buffer.read_available():
            self.feed_data(early_data)

    async def _negotiate(self) -> None:
        while True:
            try:
                self._ssl.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                await self._wait_data()
            except ssl.SSLError as error:
                self._flush()  # our own alert, as any client would send it
                self.alert = alert_of_error(error)
                raise
            else:
                self._flush()
                return

    async def _wait_data(self) -> None:
        """Wait until the peer has sent data or ended the connection."""
        if not self._incoming.pending and not self._is_ended:
            await self._waiter.wait()
        if not self._incoming.pending and self._is_ended:
            raise self._error or EOFError("the peer ended the connection in the handshake")

    def _get_connection(self) -> TcpConnection:
        if self._connection is None:
            raise RuntimeError("no handshake has been begun")
        return self._connection

    def _flush(self) -> None:
        if self._outgoing.pending:
            flight = self._outgoing.read()
            self.hello = self.hello or flight
            self._get_connection().write(flight)

    def _start_decrypting(self, connection: TcpConnection) -> ReceiveBuffer:
        self._plaintext = plaintext = ReceiveBuffer(connection.transport)
        self._decrypt(plaintext)
        if self._is_ended:
            self._finish(plaintext, self._error)
        return plaintext

    def _decrypt(self, plaintext: ReceiveBuffer) -> None:
        if self._is_finished:
            return
        try:
            while data := self._ssl.read(_READ):
                plaintext.feed(data)
            self._finish(plaintext, None)  # close_notify
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._finish(plaintext, None)
        except ssl.SSLError as error:
            self._finish(plaintext, error)
        self._flush()

    def _finish(self, plaintext: ReceiveBuffer, error: Exception | None) -> None:
        """End the stream; HTTP detects missing bytes, as many servers omit close_notify."""
        if not self._is_finished:
            self._is_finished = True
            plaintext.end(error)


def _chain_before_3_13(connection: ssl.SSLObject) -> list[bytes]:
    """Make the same call as `get_unverified_chain`, which was private before 3.13."""
    inner = connection._sslobj  # type: ignore[attr-defined]  # noqa: SLF001 no public way
    return [certificate.public_bytes(_DER) for certificate in inner.get_unverified_chain() or ()]
