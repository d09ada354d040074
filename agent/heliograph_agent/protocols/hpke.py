"""Sealing to a public key with associated data: HPKE in base mode (RFC 9180), sender's side, once.

`cryptography` has the same scheme, which heliograph.envelope uses, but takes no associated data.
One KEM, DHKEM(X25519, HKDF-SHA256), and one KDF, HKDF-SHA256: what Encrypted ClientHello must have.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

KEM_X25519, KDF_SHA256 = 0x0020, 0x0001
AES_128_GCM, CHACHA20_POLY1305 = 0x0001, 0x0003
TAG = 16  # bytes that sealing adds
_HASH, _NONCE = 32, 12
_VERSION = b"HPKE-v1"
_BASE = b"\x00"


class _Cipher(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Aead:
    key_size: int
    cipher: Callable[[bytes], _Cipher]


def aead_of(number: int) -> Aead | None:
    """By its number in RFC 9180 section 7.3, None when it is not spoken here."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

    known = {AES_128_GCM: Aead(16, AESGCM), CHACHA20_POLY1305: Aead(32, ChaCha20Poly1305)}
    return known.get(number)


@dataclass(frozen=True, slots=True)
class Sender:
    """A context to seal one message; `enc` goes to the recipient beside it."""

    enc: bytes
    key: bytes
    nonce: bytes
    aead: Aead

    def seal(self, plaintext: bytes, associated: bytes) -> bytes:
        return self.aead.cipher(self.key).encrypt(self.nonce, plaintext, associated)


def sender(public: bytes, info: bytes, aead_id: int, secret: bytes) -> Sender:
    """`secret` is the ephemeral X25519 key, 32 bytes of chance.

    Raises ValueError on a public key or an AEAD that cannot be used.
    """
    aead = aead_of(aead_id)
    if aead is None:
        raise ValueError(f"AEAD {aead_id:#06x} is not spoken here")
    enc, shared = _encapsulate(public, secret)
    suite = b"HPKE" + _wide(KEM_X25519) + _wide(KDF_SHA256) + _wide(aead_id)
    context = _BASE + b"".join(
        _labeled_extract(suite, b"", label, value)
        for label, value in ((b"psk_id_hash", b""), (b"info_hash", info))
    )
    secret_ = _labeled_extract(suite, shared, b"secret", b"")
    return Sender(
        enc=enc,
        key=_labeled_expand(suite, secret_, b"key", context, aead.key_size),
        nonce=_labeled_expand(suite, secret_, b"base_nonce", context, _NONCE),
        aead=aead,
    )


def extract(salt: bytes, material: bytes, algorithm: str = "sha256") -> bytes:
    """HKDF-Extract, RFC 5869; an empty salt is as many zeros as the hash is long."""
    return hmac.new(salt, material, algorithm).digest()


def expand(key: bytes, info: bytes, size: int, algorithm: str = "sha256") -> bytes:
    """HKDF-Expand, RFC 5869."""
    block = made = b""
    for count in range(1, -(-size // hashlib.new(algorithm).digest_size) + 1):
        block = hmac.new(key, block + info + bytes((count,)), algorithm).digest()
        made += block
    return made[:size]


def public_of(secret: bytes) -> bytes:
    """The X25519 public key of 32 secret bytes."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def _encapsulate(public: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """What goes to the recipient, and the secret shared with him (RFC 9180 section 4.1)."""
    from cryptography.hazmat.primitives.asymmetric import x25519

    own = x25519.X25519PrivateKey.from_private_bytes(secret)
    drawn = own.exchange(x25519.X25519PublicKey.from_public_bytes(public))
    enc = own.public_key().public_bytes_raw()
    suite = b"KEM" + _wide(KEM_X25519)
    early = _labeled_extract(suite, b"", b"eae_prk", drawn)
    return enc, _labeled_expand(suite, early, b"shared_secret", enc + public, _HASH)


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return extract(salt, _VERSION + suite + label + material)


def _labeled_expand(suite: bytes, key: bytes, label: bytes, info: bytes, size: int) -> bytes:
    return expand(key, _wide(size) + _VERSION + suite + label + info, size)


def _wide(number: int) -> bytes:
    return number.to_bytes(2, "big")
