"""A hand-made TLS 1.3 ClientHello and what comes back to it; the handshake is not gone on with.

With `ech`: none, GREASE (RFC 9849 section 6.2: an extension that looks like one and seals nothing),
or real (section 6.1: the true name sealed to the server's published key, its public name outside).
"""

import hashlib
import hmac
from dataclasses import dataclass, field

from heliograph.observation import Tls
from heliograph_agent.net.probe_message import NotThisProtocol, Reply
from heliograph_agent.protocols import hpke
from heliograph_agent.protocols.ech_config import Cut, EchConfig
from heliograph_agent.protocols.hello_message import (
    SUPPORTED_VERSIONS,
    TLS13,
    Hello,
    block,
    message,
    record,
)

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
        if (hello := _complete_server_hello(handshake)) is not None:
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


def _complete_server_hello(handshake: bytes) -> ServerHello | None:
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


CHANCE = 512  # bytes of chance that one hello takes at most
ALPN = ("h2", "http/1.1")
SERVER_HELLO, ACCEPTED, RETRY = "server_hello", "server_hello_ech_accepted", "hello_retry"
_OUTER, _INNER = b"\x00", b"\x01"
_CONFIRMATION = 8
_INFO = b"tls ech\x00"


class ClientHello:
    """A speech; `config` seals the name to its key, `grease` only looks as if."""

    name = "client_hello"

    def __init__(
        self,
        server_name: str,
        chance: bytes,
        *,
        config: EchConfig | None = None,
        grease: bool = False,
    ) -> None:
        """`chance` are CHANCE bytes; `server_name` may be "" for none. Raises ValueError."""
        dice = _Dice(chance)
        self._facts = Tls(server_name=server_name, ech="grease" if grease else "")
        self._inner: Hello | None = None
        outer = _hello(config.public_name if config else server_name, dice)
        if config is not None:
            self._facts = Tls(server_name=server_name, ech="real", outer_name=config.public_name)
            self._inner = _hello(server_name, dice, session_id=outer.session_id, inner=True)
            self._body = _sealed(outer, self._inner, config, dice)
        else:
            self._body = outer.body(_grease(dice) if grease else None)

    def opening(self) -> bytes:
        return record(message(self._body))

    def heard(self, received: bytes) -> Reply | None:
        """server_hello, server_hello_ech_accepted, hello_retry, alert_N. Raises NotThisProtocol."""
        said = read(received)
        if said is None:
            return None
        if isinstance(said, Alert):
            self._note(alert=said.number)
            return Reply(f"alert_{said.number}")
        cipher = SUITES[said.suite][0] if said.suite in SUITES else f"0x{said.suite:04x}"
        self._note(version="TLSv1.3" if said.tls13 else "TLSv1.2", cipher=cipher)
        if said.is_retry:
            return Reply(RETRY)
        accepted = self._inner is not None and is_confirmed(_whole(self._inner), said)
        return Reply(ACCEPTED if accepted else SERVER_HELLO)

    def tls(self) -> Tls:
        """What was sent and, once heard, what was answered."""
        return self._facts

    def _note(self, *, version: str = "", cipher: str = "", alert: int | None = None) -> None:
        sent = self._facts
        self._facts = Tls(
            server_name=sent.server_name,
            ech=sent.ech,
            outer_name=sent.outer_name,
            version=version,
            cipher=cipher,
            alert=alert,
        )


def is_confirmed(inner: bytes, said: ServerHello) -> bool:
    """Whether the ServerHello's random says that the inner hello was taken (section 7.2)."""
    if said.suite not in SUITES:
        return False
    expected = confirmation(inner, said.message, SUITES[said.suite][1])
    return hmac.compare_digest(expected, said.random[-_CONFIRMATION:])


def confirmation(inner: bytes, server_hello: bytes, algorithm: str) -> bytes:
    """Eight bytes made of both messages, the last eight of the ServerHello's random left out."""
    end = RANDOM_AT + 32
    without = server_hello[: end - _CONFIRMATION] + bytes(_CONFIRMATION) + server_hello[end:]
    transcript = hashlib.new(algorithm, inner + without).digest()
    key = hpke.extract(b"", inner[RANDOM_AT:end], algorithm)
    label = block(1, b"tls13 ech accept confirmation") + block(1, transcript)
    return hpke.expand(key, _CONFIRMATION.to_bytes(2, "big") + label, _CONFIRMATION, algorithm)


@dataclass(slots=True)
class _Dice:
    """Hands out chance; what is used is gone."""

    chance: bytes
    _at: int = field(default=0)

    def take(self, size: int) -> bytes:
        taken = self.chance[self._at : self._at + size]
        if len(taken) < size:
            raise ValueError(f"a ClientHello takes {CHANCE} bytes of chance")
        self._at += size
        return taken


def _hello(name: str, dice: _Dice, *, session_id: bytes = b"", inner: bool = False) -> Hello:
    return Hello(
        random=dice.take(32),
        session_id=session_id or dice.take(32),
        share=hpke.public_of(dice.take(32)),
        server_name=name,
        alpn=ALPN,
        grease=dice.take(4),
        inner=inner,
    )


def _whole(inner: Hello) -> bytes:
    """The inner message as the server puts it together again."""
    return message(inner.body(_INNER))


def _sealed(outer: Hello, inner: Hello, config: EchConfig, dice: _Dice) -> bytes:
    """The outer hello's body with the inner one in it (sections 5.1, 5.2 and 6.1)."""
    sender = hpke.sender(config.public_key, _INFO + config.wire, config.aead, dice.take(32))
    encoded = inner.body(_INNER, session_id=b"")
    encoded += bytes(padding(len(encoded), inner.server_name, config.max_name))

    def extension(payload: bytes) -> bytes:
        suite = hpke.KDF_SHA256.to_bytes(2, "big") + config.aead.to_bytes(2, "big")
        place = bytes((config.config_id,)) + block(2, sender.enc)
        return _OUTER + suite + place + block(2, payload)

    empty = outer.body(extension(bytes(len(encoded) + hpke.TAG)))
    return outer.body(extension(sender.seal(encoded, empty)))


def padding(size: int, name: str, max_name: int) -> int:
    """How many zeros hide the length of the name (section 6.1.3)."""
    short = max(0, max_name - len(name)) if name else max_name + 9
    return short + 31 - (size + short - 1) % 32


def _grease(dice: _Dice) -> bytes:
    """What nobody can tell from a sealed hello without the key."""
    size = 144 + 32 * (dice.take(1)[0] & 3)
    suite = hpke.KDF_SHA256.to_bytes(2, "big") + hpke.AES_128_GCM.to_bytes(2, "big")
    enc = hpke.public_of(dice.take(32))
    return _OUTER + suite + dice.take(1) + block(2, enc) + block(2, dice.take(size))
