"""Probe Telegram (MTProto), WhatsApp (Noise) and STUN with their first message.

MTProto, obfuscated transport: both sides derive their AES-256-CTR keys from 64 random-looking
bytes. Messages in the intermediate transport follow; the first is `req_pq_multi` with a nonce
that `resPQ` must repeat. Sources: core.telegram.org/mtproto/mtproto-transports and
/mtproto/auth_key.

Noise, as WhatsApp's mobile apps send it: "WA", two version bytes, then frames of a three-byte
length and a HandshakeMessage in protobuf. The first holds the client's ephemeral X25519 key; the
reply holds the server's ephemeral key, its static key and its certificate, the last two
encrypted (Noise_XX_25519_AESGCM_SHA256). Source: public clients of the protocol.

STUN: a binding request (RFC 8489), the smallest request to a server over UDP. The reply contains
the source address of the request. That address is the volunteer's, so only its presence is
checked.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heliograph_agent.net.probe_message import ProbeReply, ProtocolMismatch
from heliograph_agent.protocols.hpke import derive_public_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import CipherContext

# STUN binding
STUN_RANDOM_BYTES = 12  # of one message: the transaction id
STUN_REPLY = "binding_success"
_COOKIE = bytes.fromhex("2112a442")
# message types, RFC 8489 section 5
_REQUEST = 0x0001
_SUCCESS = 0x0101
_ERROR = 0x0111
_ERROR_CODE = 0x0009  # section 14.8
_MAPPED = (0x0001, 0x0020)  # MAPPED-ADDRESS, XOR-MAPPED-ADDRESS
_STUN_HEADER = 20


@dataclass(frozen=True, slots=True)
class BindingRequest:
    """Request a STUN binding.

    The reply is `binding_success`, or `binding_error_` and the code (300 to 699).
    """

    transaction: bytes
    name: str = "stun"

    def make_request(self) -> bytes:
        return _REQUEST.to_bytes(2) + bytes(2) + _COOKIE + self.transaction

    def parse_reply(self, received: bytes) -> ProbeReply | None:
        """Parse a reply. Raises ProtocolMismatch when it does not answer our request."""
        if len(received) < _STUN_HEADER:
            return None
        kind = int.from_bytes(received[:2])
        length = int.from_bytes(received[2:4])
        is_own = received[4:8] == _COOKIE and received[8:_STUN_HEADER] == self.transaction
        if kind not in (_SUCCESS, _ERROR) or not is_own or length % 4:
            raise ProtocolMismatch("no answer to our binding request")
        if len(received) < _STUN_HEADER + length:
            return None
        attributes = _parse_stun_attributes(received[_STUN_HEADER : _STUN_HEADER + length])
        if kind == _ERROR:
            code = _parse_stun_error(attributes.get(_ERROR_CODE, b""))
            return ProbeReply(f"binding_error_{code}")
        if not any(kind in attributes for kind in _MAPPED):
            raise ProtocolMismatch("a success that names no address")
        return ProbeReply(STUN_REPLY)


def _parse_stun_attributes(data: bytes) -> dict[int, bytes]:
    """Return the first attribute of each type (section 14). Raises ProtocolMismatch."""
    attributes: dict[int, bytes] = {}
    while data:
        kind = int.from_bytes(data[:2])
        length = int.from_bytes(data[2:4])
        if len(data) < 4 + length:
            raise ProtocolMismatch("an attribute that is longer than its message")
        attributes.setdefault(kind, data[4 : 4 + length])
        data = data[4 + length + -length % 4 :]
    return attributes


def _parse_stun_error(value: bytes) -> int:
    if len(value) < 4 or not (3 <= value[2] & 7 <= 6 and value[3] < 100):
        raise ProtocolMismatch("an error without a code")
    return (value[2] & 7) * 100 + value[3]


# Noise of WhatsApp
NOISE_RANDOM_BYTES = 32  # of one message: the ephemeral secret
NOISE_REPLY = "server_hello"
_HEADER = b"WA\x05\x03"  # of mobile apps over TCP; browsers send 6 over a WebSocket
_CLIENT_HELLO = 2
_SERVER_HELLO = 3
_EPHEMERAL = 1
_STATIC = 2
_PAYLOAD = 3
# wire types
_NUMBER = 0
_DELIMITED = 2
_KEY = 32
_TAG = 16
_MAX_NOISE_REPLY = 8_192  # bytes of a reply; a real one has about 350


@dataclass(frozen=True, slots=True)
class NoiseHello:
    """Send WhatsApp's Noise hello; the reply is `server_hello`."""

    secret: bytes
    name: str = "noise"

    def make_request(self) -> bytes:
        ephemeral = _encode_field(_EPHEMERAL, derive_public_key(self.secret))
        message = _encode_field(_CLIENT_HELLO, ephemeral)
        return _HEADER + len(message).to_bytes(3) + message

    def parse_reply(self, received: bytes) -> ProbeReply | None:
        """Parse a frame. Raises ProtocolMismatch when it holds no ServerHello."""
        length = int.from_bytes(received[:3])
        if len(received) >= 3 and not 0 < length <= _MAX_NOISE_REPLY:
            raise ProtocolMismatch("no frame of Noise")
        if len(received) < 3 + length or not length:
            return None
        message = dict(_iter_fields(received[3 : 3 + length]))
        hello = dict(_iter_fields(message.get(_SERVER_HELLO, b"")))
        sizes = [len(hello.get(number, b"")) for number in (_EPHEMERAL, _STATIC, _PAYLOAD)]
        if sizes[:2] != [_KEY, _KEY + _TAG] or sizes[2] <= _TAG:
            raise ProtocolMismatch("a frame without a ServerHello")
        return ProbeReply(NOISE_REPLY)


def _encode_field(number: int, value: bytes) -> bytes:
    """Encode a length-delimited field of less than 128 bytes."""
    return bytes((number << 3 | 2, len(value))) + value


def _iter_fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield a message's length-delimited fields. Raises ProtocolMismatch."""
    while message:
        key, message = _parse_varint(message)
        length, message = _parse_varint(message)
        if key & 7 == _NUMBER:
            continue
        if key & 7 != _DELIMITED or length > len(message):
            raise ProtocolMismatch("no message of WhatsApp's")
        yield key >> 3, message[:length]
        message = message[length:]


def _parse_varint(message: bytes) -> tuple[int, bytes]:
    value = 0
    for index, byte in enumerate(message[:3]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, message[index + 1 :]
    raise ProtocolMismatch("no message of WhatsApp's")


# MTProto
MTPROTO_RANDOM_BYTES = 128  # of one message
MTPROTO_REPLY = "res_pq"
_INTERMEDIATE = b"\xee" * 4
_REQ_PQ_MULTI = 0xBE7E8EF1
_RES_PQ = 0x05162463
_NONCE = 16
_PLAIN = 20  # key id 0, message id, length: the header of an unencrypted message
_MAX_MTPROTO_REPLY = 1_024  # bytes of a reply; a real one has about 84
_ERRORS = (403, 404, 429, 444)
# Prefixes of other protocols, or of other transports of MTProto.
_RESERVED_TEXTS = (b"HEAD", b"POST", b"GET ", b"OPTI")
_RESERVED_PREFIXES = (*_RESERVED_TEXTS, b"\x16\x03\x01\x02", b"\xdd" * 4, b"\xee" * 4)


@dataclass(slots=True)
class MtprotoHello:
    """Send Telegram's obfuscated hello; the reply is `res_pq`.

    The reply is `error_` and a number when the transport itself refuses (404, 429 …). `wall_us`
    gives the message its id, which is a time.
    """

    random_bytes: bytes
    wall_us: int
    name: str = "mtproto"
    _init: bytes = field(init=False)

    def __post_init__(self) -> None:
        self._init = _make_prefix(self.random_bytes[: 56 + 8])

    @property
    def nonce(self) -> bytes:
        return self.random_bytes[64 : 64 + _NONCE]

    def make_request(self) -> bytes:
        stream = _keystream(self._init[8:56])
        encrypted = stream.update(self._init)
        body = _REQ_PQ_MULTI.to_bytes(4, "little") + self.nonce
        message = bytes(8) + self._message_id() + len(body).to_bytes(4, "little") + body
        frame = len(message).to_bytes(4, "little") + message
        return self._init[:56] + encrypted[56:] + stream.update(frame)

    def parse_reply(self, received: bytes) -> ProbeReply | None:
        """Decrypt a reply. Raises ProtocolMismatch when it is not an answer."""
        plaintext = _keystream(self._init[55:7:-1]).update(received)
        if len(plaintext) < 4:
            return None
        length = int.from_bytes(plaintext[:4], "little")
        message = plaintext[4:]
        if length != 4 and not _PLAIN + 4 + _NONCE <= length <= _MAX_MTPROTO_REPLY:
            raise ProtocolMismatch("no message of MTProto")
        if len(message) < length:
            return None
        return _parse_error(message[:4]) if length == 4 else self._parse_answer(message[:length])

    def _parse_answer(self, message: bytes) -> ProbeReply:
        kind = message[_PLAIN:][:4]
        nonce = message[_PLAIN + 4 :][:_NONCE]
        if message[:8] != bytes(8) or kind != _RES_PQ.to_bytes(4, "little") or nonce != self.nonce:
            raise ProtocolMismatch("no answer to our question")
        return ProbeReply(MTPROTO_REPLY)

    def _message_id(self) -> bytes:
        """Return the Unix time in 2^-32 seconds, divisible by four."""
        return ((self.wall_us << 32) // 1_000_000 & ~3).to_bytes(8, "little")


def _make_prefix(random_bytes: bytes) -> bytes:
    """Make 64 bytes that resemble no other protocol, with the transport's tag."""
    prefix = bytearray(random_bytes)
    while prefix[0] == 0xEF or bytes(prefix[:4]) in _RESERVED_PREFIXES:
        prefix[0] = prefix[0] + 1 & 0xFF
    if not any(prefix[4:8]):
        prefix[4] = 1
    prefix[56:60] = _INTERMEDIATE
    return bytes(prefix)


def _keystream(key_and_counter: bytes) -> "CipherContext":
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES256
    from cryptography.hazmat.primitives.ciphers.modes import CTR

    return Cipher(AES256(key_and_counter[:32]), CTR(key_and_counter[32:])).encryptor()


def _parse_error(code: bytes) -> ProbeReply:
    number = -int.from_bytes(code, "little", signed=True)
    if not 0 < number < 1_000:
        raise ProtocolMismatch("four bytes that are no error")
    return ProbeReply(f"error_{number}" if number in _ERRORS else "error_other")
