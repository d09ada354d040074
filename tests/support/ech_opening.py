"""The server's side of Encrypted ClientHello (RFC 9849), written apart from the agent's.

It opens by `cryptography`'s HPKE and reads by offsets; nothing of the agent's is used.
"""

import hashlib
from dataclasses import dataclass

from cryptography.hazmat.bindings._rust import openssl as rust
from cryptography.hazmat.primitives import hashes, hmac, hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

_ECH = 0xFE0D
_HASHES = {0x1301: hashes.SHA256(), 0x1302: hashes.SHA384(), 0x1303: hashes.SHA256()}


@dataclass(frozen=True, slots=True)
class Opened:
    encoded: bytes  # padding and all
    inner: bytes  # the handshake message, put together again
    server_name: str
    outer_name: str


def opened(record: bytes, key: X25519PrivateKey, config: bytes) -> Opened:
    """Raises InvalidTag when it was not sealed to `key` with exactly this outer hello."""
    body = record[9:]
    session, extensions, at = _parts(body)
    sealed = extensions[_ECH]
    assert sealed[:6] == b"\x00\x00\x01\x00\x01\x07", "outer, HKDF-SHA256, AES-128-GCM, key 7"
    size = int.from_bytes(sealed[6:8], "big")
    enc, payload = sealed[8 : 8 + size], sealed[10 + size :]
    start = body.index(sealed, at) + 10 + size
    without = body[:start] + bytes(len(payload)) + body[start + len(payload) :]
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_128_GCM)
    encoded: bytes = rust.hpke._decrypt_with_aad(
        suite, enc + payload, key, b"tls ech\x00" + config, without
    )
    empty, inner_extensions, _ = _parts(encoded)
    assert empty == b""
    assert inner_extensions[_ECH] == b"\x01"
    assert b"\x03\x03" not in inner_extensions[43], "an inner hello offers TLS 1.3 alone"
    hello = encoded[:34] + bytes((len(session),)) + session + encoded[35 : _end(encoded)]
    assert not any(encoded[_end(encoded) :]), "the padding is zeros"
    message = b"\x01" + len(hello).to_bytes(3, "big") + hello
    return Opened(encoded, message, _name(inner_extensions), _name(extensions))


def server_hello(hello: Opened, *, suite: int) -> bytes:
    """A record with a ServerHello that confirms."""
    algorithm = _HASHES[suite]
    random = bytes(range(24)) + bytes(8)
    tail = b"\x00" + suite.to_bytes(2, "big") + b"\x00\x00\x06\x00\x2b\x00\x02\x03\x04"
    without = _message(random, tail)
    transcript = hashlib.new(algorithm.name, hello.inner + without).digest()
    extract = hmac.HMAC(bytes(algorithm.digest_size), algorithm)
    extract.update(hello.inner[6:38])
    label = b"tls13 ech accept confirmation"
    info = b"\x00\x08" + bytes((len(label),)) + label + bytes((len(transcript),)) + transcript
    proof = HKDFExpand(algorithm, 8, info).derive(extract.finalize())
    whole = _message(random[:24] + proof, tail)
    return b"\x16\x03\x03" + len(whole).to_bytes(2, "big") + whole


def _message(random: bytes, tail: bytes) -> bytes:
    body = b"\x03\x03" + random + tail
    return b"\x02" + len(body).to_bytes(3, "big") + body


def _parts(body: bytes) -> tuple[bytes, dict[int, bytes], int]:
    """Session id, extensions, and where the latter begin."""
    session = body[35 : 35 + body[34]]
    at = 35 + body[34]
    at += 2 + int.from_bytes(body[at : at + 2], "big")
    at += 1 + body[at]
    begin = at + 2
    end = begin + int.from_bytes(body[at : at + 2], "big")
    found: dict[int, bytes] = {}
    at = begin
    while at < end:
        kind, size = (int.from_bytes(body[at + n : at + n + 2], "big") for n in (0, 2))
        assert kind not in found, "an extension stands twice"
        found[kind] = body[at + 4 : at + 4 + size]
        at += 4 + size
    return session, found, begin


def _end(body: bytes) -> int:
    _, extensions, begin = _parts(body)
    return begin + sum(4 + len(content) for content in extensions.values())


def _name(extensions: dict[int, bytes]) -> str:
    return extensions[0][5:].decode()
