"""What a server says to a ClientHello, as far as it is in clear (RFC 8446 sections 4.1.3, 5, 6)."""

from dataclasses import dataclass

from heliograph_agent.net.speech import NotThisProtocol
from heliograph_agent.protocols.ech_config import Cut
from heliograph_agent.protocols.hello_message import SUPPORTED_VERSIONS, TLS13

RANDOM_AT = 6  # bytes of a ServerHello message before its random
_ALERT, _HANDSHAKE, _SERVER_HELLO = 21, 22, 2
_MAX_MESSAGE = 16_384
# What stands in the random of a HelloRetryRequest, which is otherwise a ServerHello.
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
SUITES = {
    0x1301: ("TLS_AES_128_GCM_SHA256", "sha256"),
    0x1302: ("TLS_AES_256_GCM_SHA384", "sha384"),
    0x1303: ("TLS_CHACHA20_POLY1305_SHA256", "sha256"),
}


@dataclass(frozen=True, slots=True)
class Alert:
    number: int


@dataclass(frozen=True, slots=True)
class ServerHello:
    """`message` is the whole handshake message."""

    message: bytes
    random: bytes
    suite: int
    tls13: bool

    @property
    def is_retry(self) -> bool:
        return self.random == _RETRY


def read(received: bytes) -> Alert | ServerHello | None:
    """None when more is needed. Raises NotThisProtocol."""
    handshake, at = b"", 0
    while at + 5 <= len(received):
        kind, size = _head(received[at : at + 5])
        body = received[at + 5 : at + 5 + size]
        if len(body) < size:
            break
        if kind == _ALERT and size == 2 and not handshake:
            return Alert(body[1])
        if kind != _HANDSHAKE or not body:
            raise NotThisProtocol("neither a hello nor an alert")
        handshake += body
        if (hello := _whole(handshake)) is not None:
            return hello
        at += 5 + size
    if at + 5 > len(received) > at:
        _head(received[at:].ljust(5, b"\x00"), whole=False)
    return None


def _head(head: bytes, *, whole: bool = True) -> tuple[int, int]:
    kind, size = head[0], int.from_bytes(head[3:5], "big")
    if kind not in (_ALERT, _HANDSHAKE) or (whole and head[1] != 3) or size > _MAX_MESSAGE:
        raise NotThisProtocol("no TLS")
    return kind, size


def _whole(handshake: bytes) -> ServerHello | None:
    if handshake[0] != _SERVER_HELLO:
        raise NotThisProtocol("another message before the ServerHello")
    size = 4 + int.from_bytes(handshake[1:4], "big")
    if size > _MAX_MESSAGE:
        raise NotThisProtocol("a ServerHello longer than any")
    if len(handshake) < size:
        return None
    try:
        return _parsed(handshake[:size])
    except ValueError as error:
        raise NotThisProtocol("a ServerHello that cannot be read") from error


def _parsed(message: bytes) -> ServerHello:
    cut = Cut(message[4:])
    cut.number(2)
    random, _, suite, _ = cut.take(32), cut.block(1), cut.number(2), cut.number(1)
    extensions = Cut(cut.block(2) if cut.left else b"")
    tls13 = False
    while extensions.left:
        kind, content = extensions.number(2), extensions.block(2)
        tls13 |= kind == SUPPORTED_VERSIONS and content == TLS13.to_bytes(2, "big")
    return ServerHello(message, random, suite, tls13)
