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
CHARTER = b"heliograph charter v1\0"
RENEWAL = b"heliograph renewal v1\0"
ENROLLED = b"heliograph enrolled v1\0"
CODE = b"heliograph code v1\0"  # of a shared secret, not of a signature
BEACON = b"heliograph beacon v1\0"  # likewise

_P = 2**255 - 19  # the field that both curves are over


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

    def derive_shared_key(self, collector: bytes, purpose: bytes) -> bytes:
        """32 bytes that only this agent and the holder of that X25519 key can derive.

        The Ed25519 secret is used on the other form of its curve (RFC 7748 section 4.1), so that
        nothing new is stored or sent. Raises ValueError for a key that is none.
        """
        from cryptography.hazmat.primitives.asymmetric import x25519

        scalar = hashlib.sha512(self._key.private_bytes_raw()).digest()[:32]  # RFC 8032, 5.1.5
        private_key = x25519.X25519PrivateKey.from_private_bytes(scalar)
        public_key = x25519.X25519PublicKey.from_public_bytes(collector)
        return _derive(private_key.exchange(public_key), purpose + self.public + collector)


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

    def derive_shared_key(self, agent: bytes, purpose: bytes) -> bytes:
        """The same 32 bytes, by the agent's Ed25519 public key. Raises ValueError as above."""
        from cryptography.hazmat.primitives.asymmetric import x25519

        public_key = x25519.X25519PublicKey.from_public_bytes(_on_montgomery(agent))
        return _derive(self._key.exchange(public_key), purpose + agent + self.public)


def _on_montgomery(public: bytes) -> bytes:
    """An Ed25519 public key as an X25519 one: u = (1 + y) / (1 - y)."""
    if len(public) != 32:
        raise ValueError("an Ed25519 public key has 32 bytes")
    y = int.from_bytes(public, "little") & ((1 << 255) - 1)
    return ((1 + y) * pow(1 - y, _P - 2, _P) % _P).to_bytes(32, "little")


def _derive(secret: bytes, info: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(secret)
