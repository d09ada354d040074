"""Seal one message to a public key by HPKE in base mode (RFC 9180).

`cryptography` has the same scheme, which heliograph.envelope uses, but takes no associated data.
This module has one KEM, DHKEM(X25519, HKDF-SHA256), and one KDF, HKDF-SHA256: those that
Encrypted ClientHello requires.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliograph_agent.protocols.hello_message import encode_block, encode_uint16

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

KEM_X25519 = 0x0020
KDF_SHA256 = 0x0001
AES_128_GCM = 0x0001
CHACHA20_POLY1305 = 0x0003
TAG = 16  # bytes that sealing adds
_HASH = 32
_NONCE = 12
_VERSION = b"HPKE-v1"
_BASE = b"\x00"


@dataclass(frozen=True, slots=True)
class Aead:
    key_size: int
    cipher: "type[AESGCM | ChaCha20Poly1305]"


def find_aead(number: int) -> Aead | None:
    """Find an AEAD by its number (RFC 9180 section 7.3), None when unsupported."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

    aeads = {AES_128_GCM: Aead(16, AESGCM), CHACHA20_POLY1305: Aead(32, ChaCha20Poly1305)}
    return aeads.get(number)


@dataclass(frozen=True, slots=True)
class SealingContext:
    """Seal one message; `enc` goes to the recipient beside it."""

    enc: bytes
    key: bytes
    nonce: bytes
    aead: Aead

    def seal(self, plaintext: bytes, associated: bytes) -> bytes:
        return self.aead.cipher(self.key).encrypt(self.nonce, plaintext, associated)


def make_sealing_context(public: bytes, info: bytes, aead_id: int, secret: bytes) -> SealingContext:
    """Make a context; `secret` is the ephemeral X25519 key, 32 random bytes.

    Raises ValueError on a public key or an AEAD that cannot be used.
    """
    aead = find_aead(aead_id)
    if aead is None:
        raise ValueError(f"AEAD {aead_id:#06x} is not spoken here")
    enc, shared = _encapsulate(public, secret)
    suite = b"HPKE" + b"".join(map(encode_uint16, (KEM_X25519, KDF_SHA256, aead_id)))
    psk_id_hash = _labeled_extract(suite, b"", b"psk_id_hash", b"")
    context = _BASE + psk_id_hash + _labeled_extract(suite, b"", b"info_hash", info)
    prk = _labeled_extract(suite, shared, b"secret", b"")
    return SealingContext(
        enc=enc,
        key=_labeled_expand(suite, prk, b"key", context, aead.key_size),
        nonce=_labeled_expand(suite, prk, b"base_nonce", context, _NONCE),
        aead=aead,
    )


def hkdf_extract(salt: bytes, material: bytes, algorithm: str = "sha256") -> bytes:
    """Compute HKDF-Extract (RFC 5869); an empty salt counts as zeros."""
    return hmac.new(salt, material, algorithm).digest()


def hkdf_expand(key: bytes, info: bytes, size: int, algorithm: str = "sha256") -> bytes:
    """Compute HKDF-Expand (RFC 5869)."""
    block = output = b""
    for count in range(1, -(-size // hashlib.new(algorithm).digest_size) + 1):
        block = hmac.new(key, block + info + bytes((count,)), algorithm).digest()
        output += block
    return output[:size]


def hkdf_expand_label(
    key: bytes, label: str, context: bytes, size: int, algorithm: str = "sha256"
) -> bytes:
    """Compute HKDF-Expand-Label (RFC 8446 section 7.1)."""
    info = encode_block(1, b"tls13 " + label.encode()) + encode_block(1, context)
    return hkdf_expand(key, encode_uint16(size) + info, size, algorithm)


def derive_public_key(secret: bytes) -> bytes:
    """Derive the X25519 public key of 32 secret bytes."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def _encapsulate(public: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """Return the encapsulated key and the shared secret (RFC 9180 section 4.1)."""
    from cryptography.hazmat.primitives.asymmetric import x25519

    ephemeral = x25519.X25519PrivateKey.from_private_bytes(secret)
    shared = ephemeral.exchange(x25519.X25519PublicKey.from_public_bytes(public))
    enc = ephemeral.public_key().public_bytes_raw()
    suite = b"KEM" + encode_uint16(KEM_X25519)
    prk = _labeled_extract(suite, b"", b"eae_prk", shared)
    return enc, _labeled_expand(suite, prk, b"shared_secret", enc + public, _HASH)


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return hkdf_extract(salt, _VERSION + suite + label + material)


def _labeled_expand(suite: bytes, key: bytes, label: bytes, info: bytes, size: int) -> bytes:
    return hkdf_expand(key, encode_uint16(size) + _VERSION + suite + label + info, size)
