"""Telegram's obfuscated transport and the question that begins its key exchange.

A stream of what looks like chance: 64 bytes, of which both sides take their AES-256-CTR keys, then
messages in the intermediate transport, the first of them `req_pq_multi` with a nonce that `resPQ`
must repeat. Sources: core.telegram.org/mtproto/mtproto-transports and /mtproto/auth_key.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heliograph_agent.net.probe_message import NotThisProtocol, Reply

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import CipherContext

CHANCE = 128  # bytes of chance that a speech takes
ANSWERED = "res_pq"
_INTERMEDIATE = b"\xee" * 4
_REQ_PQ_MULTI, _RES_PQ = 0xBE7E8EF1, 0x05162463
_NONCE = 16
_PLAIN = 20  # key id 0, message id, length: what is in front of an unencrypted message
_MOST = 1_024  # bytes of an answer; a real one has some 84
_ERRORS = (403, 404, 429, 444)
# A stream that begins like another protocol, or like another transport of this one.
_TAKEN = (b"HEAD", b"POST", b"GET ", b"OPTI", b"\x16\x03\x01\x02", b"\xdd" * 4, b"\xee" * 4)


@dataclass(slots=True)
class Hello:
    """`res_pq`; `error_` and a number when the transport itself refuses (404, 429 …).

    `wall_us` gives the message its id, which is a time.
    """

    chance: bytes
    wall_us: int
    name: str = "mtproto"
    _init: bytes = field(init=False)

    def __post_init__(self) -> None:
        self._init = _usable(self.chance[: 56 + 8])

    @property
    def nonce(self) -> bytes:
        return self.chance[64 : 64 + _NONCE]

    def opening(self) -> bytes:
        stream = _keystream(self._init[8:56])
        hidden = stream.update(self._init)
        body = _REQ_PQ_MULTI.to_bytes(4, "little") + self.nonce
        message = bytes(8) + self._message_id() + len(body).to_bytes(4, "little") + body
        return self._init[:56] + hidden[56:] + stream.update(_framed(message))

    def heard(self, received: bytes) -> Reply | None:
        """Raises NotThisProtocol when it does not decrypt to an answer."""
        heard = _keystream(self._init[55:7:-1]).update(received)
        length, message = int.from_bytes(heard[:4], "little"), heard[4:]
        if len(heard) >= 4 and length != 4 and not _PLAIN + 4 + _NONCE <= length <= _MOST:
            raise NotThisProtocol("no message of MTProto")
        if len(heard) < 4 or len(message) < length:
            return None
        return _refused(message[:4]) if length == 4 else self._answer(message[:length])

    def _answer(self, message: bytes) -> Reply:
        kind, nonce = message[_PLAIN:][:4], message[_PLAIN + 4 :][:_NONCE]
        if message[:8] != bytes(8) or kind != _RES_PQ.to_bytes(4, "little") or nonce != self.nonce:
            raise NotThisProtocol("no answer to our question")
        return Reply(ANSWERED)

    def _message_id(self) -> bytes:
        """Unix time in 2^-32 seconds, divisible by four."""
        return ((self.wall_us << 32) // 1_000_000 & ~3).to_bytes(8, "little")


def _usable(chance: bytes) -> bytes:
    """64 bytes that begin like nothing else, with the transport's tag in its place."""
    begun = bytearray(chance)
    while begun[0] == 0xEF or bytes(begun[:4]) in _TAKEN:
        begun[0] = begun[0] + 1 & 0xFF
    if not any(begun[4:8]):
        begun[4] = 1
    begun[56:60] = _INTERMEDIATE
    return bytes(begun)


def _keystream(key_and_counter: bytes) -> "CipherContext":
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES256
    from cryptography.hazmat.primitives.ciphers.modes import CTR

    return Cipher(AES256(key_and_counter[:32]), CTR(key_and_counter[32:])).encryptor()


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(4, "little") + message


def _refused(code: bytes) -> Reply:
    number = -int.from_bytes(code, "little", signed=True)
    if not 0 < number < 1_000:
        raise NotThisProtocol("four bytes that are no error")
    return Reply(f"error_{number}" if number in _ERRORS else "error_other")
