"""Send a handmade TLS 1.3 ClientHello and parse the first reply to it.

ECH is absent, GREASE (RFC 9849 section 6.2: an extension that looks like a sealed hello), or
real (section 6.1: the true name is sealed to the server's published key, its public name is
outside).
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from heliograph.observation import Tls
from heliograph_agent.net.probe_message import ProbeReply, ProtocolMismatch
from heliograph_agent.protocols import hpke
from heliograph_agent.protocols.ech_config import ByteParser, EchConfig
from heliograph_agent.protocols.hello_message import (
    SUPPORTED_VERSIONS,
    TLS13,
    TlsHello,
    encode_block,
    encode_message,
    encode_record,
)

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


RANDOM_BYTES = 512  # maximum of random bytes for one hello
GREASE_BYTES = (144, 176, 208, 240)  # of the payload, as Chromium draws them
ALPN = ("h2", "http/1.1")
SERVER_HELLO = "server_hello"
ACCEPTED = "server_hello_ech_accepted"
RETRY = "hello_retry"
_OUTER = b"\x00"
_INNER = b"\x01"
_CONFIRMATION = 8
_INFO = b"tls ech\x00"


class ClientHello:
    """Send a ClientHello: `config` seals its name, `is_grease` imitates a sealed one."""

    name = "client_hello"

    def __init__(
        self,
        server_name: str,
        random_bytes: bytes,
        *,
        config: EchConfig | None = None,
        is_grease: bool = False,
    ) -> None:
        """Build the hello. Raises ValueError for too few random bytes.

        `random_bytes` has RANDOM_BYTES bytes; `server_name` may be "".
        """
        random_source = RandomSource(random_bytes)
        self._facts = Tls(server_name=server_name, ech="grease" if is_grease else "")
        self._inner: TlsHello | None = None
        outer = _make_hello(config.public_name if config else server_name, random_source)
        if config is not None:
            self._facts = Tls(server_name=server_name, ech="real", outer_name=config.public_name)
            self._inner = _make_hello(
                server_name, random_source, session_id=outer.session_id, is_inner=True
            )
            self._body = _seal_inner(outer, self._inner, config, random_source)
        else:
            self._body = outer.encode_body(make_grease(random_source) if is_grease else None)

    def make_request(self) -> bytes:
        return encode_record(encode_message(self._body))

    def parse_reply(self, received: bytes) -> ProbeReply | None:
        """Return server_hello, server_hello_ech_accepted, hello_retry or alert_N.

        Raises ProtocolMismatch.
        """
        reply = parse_server_reply(received)
        if reply is None:
            return None
        self._facts = apply_reply(self._facts, reply)
        if isinstance(reply, TlsAlert) or reply.is_retry or self._inner is None:
            return ProbeReply(name_reply(reply))
        inner = encode_message(self._inner.encode_body(_INNER))  # as the server reconstructs it
        return ProbeReply(ACCEPTED if is_confirmed(inner, reply) else SERVER_HELLO)

    def tls_facts(self) -> Tls:
        """Return the facts of the hello and, once received, of its answer."""
        return self._facts


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


def is_confirmed(inner: bytes, server_hello: ServerHello) -> bool:
    """Tell whether the ServerHello's random accepts the inner hello (section 7.2)."""
    if server_hello.suite not in SUITES:
        return False
    expected = compute_confirmation(inner, server_hello.message, SUITES[server_hello.suite][1])
    return hmac.compare_digest(expected, server_hello.random[-_CONFIRMATION:])


def compute_confirmation(inner: bytes, server_hello: bytes, algorithm: str) -> bytes:
    """Compute the eight bytes that confirm the inner hello.

    They depend on both messages, without the last eight bytes of the ServerHello's random.
    """
    end = RANDOM_AT + 32
    masked = server_hello[: end - _CONFIRMATION] + bytes(_CONFIRMATION) + server_hello[end:]
    transcript = hashlib.new(algorithm, inner + masked).digest()
    key = hpke.hkdf_extract(b"", inner[RANDOM_AT:end], algorithm)
    label = encode_block(1, b"tls13 ech accept confirmation") + encode_block(1, transcript)
    return hpke.hkdf_expand(key, _CONFIRMATION.to_bytes(2, "big") + label, _CONFIRMATION, algorithm)


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


def _make_hello(
    name: str, random_source: RandomSource, *, session_id: bytes = b"", is_inner: bool = False
) -> TlsHello:
    return TlsHello(
        random=random_source.take(32),
        session_id=session_id or random_source.take(32),
        share=hpke.derive_public_key(random_source.take(32)),
        server_name=name,
        alpn=ALPN,
        grease=random_source.take(4),
        is_inner=is_inner,
    )


def _seal_inner(
    outer: TlsHello, inner: TlsHello, config: EchConfig, random_source: RandomSource
) -> bytes:
    """Seal the inner hello into the outer hello's body (sections 5.1, 5.2 and 6.1)."""
    context = hpke.make_sealing_context(
        config.public_key, _INFO + config.wire, config.aead, random_source.take(32)
    )
    encoded = inner.encode_body(_INNER, session_id=b"")
    encoded += bytes(padding_size(len(encoded), inner.server_name, config.max_name))
    extend = partial(_encode_outer, config.aead, bytes((config.config_id,)), context.enc)
    empty = outer.encode_body(extend(bytes(len(encoded) + hpke.TAG)))
    return outer.encode_body(extend(context.seal(encoded, empty)))


def padding_size(size: int, name: str, max_name: int) -> int:
    """Compute the zeros that hide the length of the name (section 6.1.3)."""
    short = max(0, max_name - len(name)) if name else max_name + 9
    return short + 31 - (size + short - 1) % 32


def make_grease(
    random_source: RandomSource,
    aead: int = hpke.AES_128_GCM,
    payload_bytes: Sequence[int] = GREASE_BYTES,
) -> bytes:
    """Make an extension that looks like a sealed hello to all without the key."""
    size = payload_bytes[random_source.take(1)[0] % len(payload_bytes)]
    enc = hpke.derive_public_key(random_source.take(32))
    config_id = random_source.take(1)
    return _encode_outer(aead, config_id, enc, random_source.take(size))


def _encode_outer(aead: int, config_id: bytes, enc: bytes, payload: bytes) -> bytes:
    """Encode the extension of the outer hello (section 5)."""
    suite = hpke.KDF_SHA256.to_bytes(2, "big") + aead.to_bytes(2, "big")
    return _OUTER + suite + config_id + encode_block(2, enc) + encode_block(2, payload)
