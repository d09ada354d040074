"""A Telegram data centre's reply to the first message of obfuscated MTProto.

Written from core.telegram.org/mtproto alone, with decryption where the agent encrypts; it answers
`req_pq_multi` with `resPQ`, or with what `answer` returns.
"""

import asyncio
import struct
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from support.tcp_server import Handler

HEADER = 64
PQ = bytes.fromhex("17ed48941a08f981")  # the example of core.telegram.org/mtproto/samples-auth_key


class Transport:
    def __init__(self, header: bytes) -> None:
        assert len(header) == HEADER
        mirrored = header[::-1]
        self._in = Cipher(algorithms.AES(header[8:40]), modes.CTR(header[40:56])).decryptor()
        self._out = Cipher(algorithms.AES(mirrored[8:40]), modes.CTR(mirrored[40:56])).encryptor()
        self.tag = self._in.update(header)[56:60]

    def read(self, data: bytes) -> bytes:
        return self._in.update(data)

    def write(self, message: bytes) -> bytes:
        """Encode a message in the intermediate transport: the length in front."""
        return self._out.update(struct.pack("<I", len(message)) + message)


def question(opening: bytes) -> tuple[Transport, int, bytes]:
    """Return the transport, the message's id and the nonce of a whole opening."""
    transport = Transport(opening[:HEADER])
    assert transport.tag == b"\xee\xee\xee\xee"
    plain = transport.read(opening[HEADER:])
    length, key, message_id, size, method = struct.unpack("<IqqiI", plain[:28])
    assert (length, key, size, method) == (len(plain) - 4, 0, 20, 0xBE7E8EF1)
    return transport, message_id, plain[28:]


def res_pq(nonce: bytes) -> bytes:
    """Return `resPQ`, unencrypted, with one fingerprint."""
    text = bytes((len(PQ),)) + PQ + bytes(3)
    keys = struct.pack("<IIq", 0x1CB5C415, 1, -4344800451088585951)
    body = struct.pack("<I", 0x05162463) + nonce + bytes(range(16)) + text + keys
    return struct.pack("<qqi", 0, 1 << 34 | 1, len(body)) + body


def refusal(code: int) -> bytes:
    """Return the transport's error: 404 for an unknown key."""
    return struct.pack("<i", -code)


def data_centre(answer: Callable[[bytes], bytes] = res_pq) -> Handler:
    """Return a handler that sends the message that `answer` makes of the nonce."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport, _, nonce = question(await reader.readexactly(HEADER + 44))
        writer.write(transport.write(answer(nonce)))
        await writer.drain()

    return handler
