"""The server's side of WhatsApp's first message, coded by Google's protobuf.

The ServerHello is a real Noise_XX one as far as its client can tell: the static key is encrypted
with what both sides derive from the ephemeral keys.
"""

import asyncio
import hashlib
import hmac
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

HEADER = b"WA\x05\x03"
_NOISE = b"Noise_XX_25519_AESGCM_SHA256\0\0\0\0"
_BYTES = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
_MESSAGE = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
_FIELDS = {
    "Hello": (("ephemeral", 1, ""), ("static", 2, ""), ("payload", 3, "")),
    "HandshakeMessage": (("client_hello", 2, ".wa.Hello"), ("server_hello", 3, ".wa.Hello")),
}


@cache
def handshake_message() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="wa.proto", package="wa", syntax="proto2")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            message.field.add(
                name=field,
                number=number,
                label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
                type=_MESSAGE if kind else _BYTES,
                type_name=kind or None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("wa.HandshakeMessage")
    return message_factory.GetMessageClass(found)


def ephemeral_of(opening: bytes) -> bytes:
    """Return the client's key in a whole opening."""
    assert opening.startswith(HEADER)
    length, frame = int.from_bytes(opening[4:7], "big"), opening[7:]
    assert length == len(frame)
    key: bytes = handshake_message().FromString(frame).client_hello.ephemeral
    return key


def server_hello(opening: bytes) -> bytes:
    """Return the framed answer to a ClientHello."""
    theirs = ephemeral_of(opening)
    ephemeral, static = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    ours = ephemeral.public_key().public_bytes_raw()
    transcript = _hash(_hash(_hash(_NOISE + HEADER) + theirs) + ours)
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(theirs))
    key = _second(_NOISE, shared)
    sealed = AESGCM(key).encrypt(bytes(12), static.public_key().public_bytes_raw(), transcript)
    message = handshake_message()()
    message.server_hello.ephemeral = ours
    message.server_hello.static = sealed
    message.server_hello.payload = bytes(252)
    frame: bytes = message.SerializeToString()
    return len(frame).to_bytes(3, "big") + frame


async def chat_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(server_hello(await reader.readexactly(43)))
    await writer.drain()


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _second(chain: bytes, given: bytes) -> bytes:
    secret = hmac.digest(chain, given, "sha256")
    first = hmac.digest(secret, b"\x01", "sha256")
    return hmac.digest(secret, first + b"\x02", "sha256")
