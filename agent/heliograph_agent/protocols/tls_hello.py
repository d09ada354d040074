"""Parse the first reply to a TLS hello, and make what hellos have in common."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from heliograph.observation import Tls
from heliograph_agent.net.probe_message import ProtocolMismatch
from heliograph_agent.protocols import hpke
from heliograph_agent.protocols.ech_config import ByteParser
from heliograph_agent.protocols.hello_message import SUPPORTED_VERSIONS, TLS13, encode_block

RANDOM_AT = 6  # bytes of a ServerHello message before its random
_ALERT = 21
_HANDSHAKE = 22
_SERVER_HELLO = 2
_MAX_MESSAGE = 16_384
# The random of a HelloRetryRequest, which is otherwise a ServerHello (RFC 8446 section 4.1.3).
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
SUITES = {
    0x1301: ("TLS_AES_128_GCM_SHA256", "sha256"),
    0x1302: ("TLS_AES_256_GCM_SHA384", "sha384"),
    0x1303: ("TLS_CHACHA20_POLY1305_SHA256", "sha256"),
}


@dataclass(frozen=True, slots=True)
class TlsAlert:
    number: int


@dataclass(frozen=True, slots=True)
class ServerHello:
    """Hold a parsed ServerHello; `message` is the whole handshake message."""

    message: bytes
    random: bytes
    suite: int
    is_tls13: bool

    @property
    def is_retry(self) -> bool:
        return self.random == _RETRY


def parse_server_reply(received: bytes) -> TlsAlert | ServerHello | None:
    """Parse the first reply; None when incomplete. Raises ProtocolMismatch."""
    handshake = b""
    offset = 0
    while offset + 5 <= len(received):
        kind, size = _parse_record_header(received[offset : offset + 5])
        body = received[offset + 5 : offset + 5 + size]
        if len(body) < size:
            break
        if kind == _ALERT and size == 2 and not handshake:
            return TlsAlert(body[1])
        if kind != _HANDSHAKE or not body:
            raise ProtocolMismatch("neither a hello nor an alert")
        handshake += body
        if (hello := _complete_server_hello(handshake)) is not None:
            return hello
        offset += 5 + size
    if offset + 5 > len(received) > offset:
        _parse_record_header(received[offset:].ljust(5, b"\x00"), is_complete=False)
    return None


def _parse_record_header(header: bytes, *, is_complete: bool = True) -> tuple[int, int]:
    kind = header[0]
    size = int.from_bytes(header[3:5], "big")
    if kind not in (_ALERT, _HANDSHAKE) or (is_complete and header[1] != 3) or size > _MAX_MESSAGE:
        raise ProtocolMismatch("no TLS")
    return kind, size


def _complete_server_hello(handshake: bytes) -> ServerHello | None:
    if handshake[0] != _SERVER_HELLO:
        raise ProtocolMismatch("another message before the ServerHello")
    size = 4 + int.from_bytes(handshake[1:4], "big")
    if size > _MAX_MESSAGE:
        raise ProtocolMismatch("a ServerHello longer than any")
    if len(handshake) < size:
        return None
    try:
        return _parse_server_hello(handshake[:size])
    except ValueError as error:
        raise ProtocolMismatch("a ServerHello that cannot be read") from error


def _parse_server_hello(message: bytes) -> ServerHello:
    parser = ByteParser(message[4:])
    parser.take_number(2)
    random = parser.take_bytes(32)
    parser.take_block(1)
    suite = parser.take_number(2)
    parser.take_number(1)
    extensions = ByteParser(parser.take_block(2) if parser.remaining else b"")
    is_tls13 = False
    while extensions.remaining:
        kind = extensions.take_number(2)
        content = extensions.take_block(2)
        is_tls13 |= kind == SUPPORTED_VERSIONS and content == TLS13.to_bytes(2, "big")
    return ServerHello(message, random, suite, is_tls13)


SERVER_HELLO = "server_hello"
RETRY = "hello_retry"
_OUTER = b"\x00"


def apply_reply(facts: Tls, reply: TlsAlert | ServerHello) -> Tls:
    """Add what the server chose, or its alert, to the facts of a hello."""
    if isinstance(reply, TlsAlert):
        return replace(facts, version="", cipher="", alert=reply.number)
    cipher = SUITES[reply.suite][0] if reply.suite in SUITES else f"0x{reply.suite:04x}"
    version = "TLSv1.3" if reply.is_tls13 else "TLSv1.2"
    return replace(facts, version=version, cipher=cipher, alert=None)


def name_reply(reply: TlsAlert | ServerHello) -> str:
    """Return server_hello, hello_retry or alert_N."""
    if isinstance(reply, TlsAlert):
        return f"alert_{reply.number}"
    return RETRY if reply.is_retry else SERVER_HELLO


@dataclass(slots=True)
class RandomSource:
    """Return random bytes, each once."""

    random_bytes: bytes
    _offset: int = 0

    def take(self, size: int) -> bytes:
        chunk = self.random_bytes[self._offset : self._offset + size]
        if len(chunk) < size:
            raise ValueError("a ClientHello takes more random bytes")
        self._offset += size
        return chunk


def make_grease(
    random_source: RandomSource,
    aead: int,
    payload_bytes: Sequence[int],
) -> bytes:
    """Make an extension that looks like a sealed hello to all without the key."""
    size = payload_bytes[random_source.take(1)[0] % len(payload_bytes)]
    enc = hpke.derive_public_key(random_source.take(32))
    config_id = random_source.take(1)
    return encode_outer(aead, config_id, enc, random_source.take(size))


def encode_outer(aead: int, config_id: bytes, enc: bytes, payload: bytes) -> bytes:
    """Encode the extension of the outer hello (section 5)."""
    suite = hpke.KDF_SHA256.to_bytes(2, "big") + aead.to_bytes(2, "big")
    return _OUTER + suite + config_id + encode_block(2, enc) + encode_block(2, payload)
