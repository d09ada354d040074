"""WhatsApp's first message, as its mobile apps send it, and the server's answer.

"WA", two version bytes, then frames: three bytes of length and a HandshakeMessage in protobuf. The
first holds the client's ephemeral X25519 key; the answer holds the server's, its static key and its
certificate, both encrypted (Noise_XX_25519_AESGCM_SHA256). Source: public clients of the protocol.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from heliograph_agent.net.probe_message import NotThisProtocol, Reply

CHANCE = 32  # bytes of chance that a speech takes: the ephemeral secret
ANSWERED = "server_hello"
_HEADER = b"WA\x05\x03"  # of mobile apps, over TCP; browsers send 6, over their WebSocket
_CLIENT_HELLO, _SERVER_HELLO, _EPHEMERAL, _STATIC, _PAYLOAD = 2, 3, 1, 2, 3
_NUMBER, _DELIMITED = 0, 2  # wire types
_KEY, _TAG = 32, 16
_MOST = 8_192  # bytes of an answer; a real one has some 350


@dataclass(frozen=True, slots=True)
class ClientHello:
    """`server_hello`."""

    secret: bytes
    name: str = "noise"

    def opening(self) -> bytes:
        message = _field(_CLIENT_HELLO, _field(_EPHEMERAL, _public(self.secret)))
        return _HEADER + len(message).to_bytes(3) + message

    def heard(self, received: bytes) -> Reply | None:
        """Raises NotThisProtocol when the frame holds no ServerHello."""
        length = int.from_bytes(received[:3])
        if len(received) >= 3 and not 0 < length <= _MOST:
            raise NotThisProtocol("no frame of Noise")
        if len(received) < 3 + length or not length:
            return None
        hello = dict(_fields(dict(_fields(received[3 : 3 + length])).get(_SERVER_HELLO, b"")))
        sizes = [len(hello.get(number, b"")) for number in (_EPHEMERAL, _STATIC, _PAYLOAD)]
        if sizes[:2] != [_KEY, _KEY + _TAG] or sizes[2] <= _TAG:
            raise NotThisProtocol("a frame without a ServerHello")
        return Reply(ANSWERED)


def _public(secret: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def _field(number: int, value: bytes) -> bytes:
    """A length-delimited field of less than 128 bytes."""
    return bytes((number << 3 | 2, len(value))) + value


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a protobuf message; numbers are passed over.

    Raises NotThisProtocol when it is no such message.
    """
    while message:
        key, message = _varint(message)
        length, message = _varint(message)
        if key & 7 == _NUMBER:
            continue
        if key & 7 != _DELIMITED or length > len(message):
            raise NotThisProtocol("no message of WhatsApp's")
        yield key >> 3, message[:length]
        message = message[length:]


def _varint(message: bytes) -> tuple[int, bytes]:
    value = 0
    for at, byte in enumerate(message[:3]):
        value |= (byte & 0x7F) << 7 * at
        if byte < 0x80:
            return value, message[at + 1 :]
    raise NotThisProtocol("no message of WhatsApp's")
