"""The two kinds of key: Ed25519 signs, X25519 opens what was sealed.

`cryptography` is imported inside the functions: an idle agent that has nothing to sign stays small.
"""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

# What a signature is for, so that none can be shown in another's place.
BATCH = b"heliograph batch v1\0"
HELLO = b"heliograph hello v1\0"
ENROL = b"heliograph enrol v1\0"
PLAN = b"heliograph plan v1\0"
ALERT = b"heliograph alert v1\0"
RECEIPTS = b"heliograph receipts v1\0"


def agent_id(public_key: bytes) -> bytes:
    """The 16 bytes an agent is known by: its public key's SHA-256, cut."""
    return hashlib.sha256(public_key).digest()[:16]


def key_id(public_key: bytes) -> bytes:
    """The 8 bytes that name a collector's sealing key outside the seal."""
    return hashlib.sha256(public_key).digest()[:8]


class SigningKey:
    """An Ed25519 private key (RFC 8032)."""

    def __init__(self, private: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric import ed25519

        self._key: Ed25519PrivateKey = ed25519.Ed25519PrivateKey.from_private_bytes(private)
        self.public: bytes = self._key.public_key().public_bytes_raw()

    def sign(self, context: bytes, message: bytes) -> bytes:
        """64 bytes over `context ‖ message`."""
        return self._key.sign(context + message)


def verify(public: bytes, signature: bytes, context: bytes, message: bytes) -> bool:
    """Whether `public` signed `context ‖ message`; malformed keys verify nothing."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, context + message)
    except (InvalidSignature, ValueError):
        return False
    return True


class SealingKey:
    """An X25519 private key, the collector's (RFC 7748)."""

    def __init__(self, private: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric import x25519

        self._key: X25519PrivateKey = x25519.X25519PrivateKey.from_private_bytes(private)
        self.public: bytes = self._key.public_key().public_bytes_raw()
        self.id: bytes = key_id(self.public)

    @property
    def private(self) -> "X25519PrivateKey":
        return self._key
