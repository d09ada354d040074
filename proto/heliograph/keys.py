"""Sign with Ed25519, and open boxes sealed with X25519.

`cryptography` is imported inside the functions, so that an idle agent that signs nothing stays
small in memory.
"""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

# Contexts of signatures: a signature for one purpose is invalid for every other purpose.
BATCH = b"heliograph batch v2\0"  # over the collector's sealing key and the batch
UNBOUND_BATCH = b"heliograph batch v1\0"  # over the batch alone: envelopes of version 1
HELLO = b"heliograph hello v1\0"
ENROL = b"heliograph enrol v1\0"
PLAN = b"heliograph plan v1\0"
ALERT = b"heliograph alert v1\0"
RECEIPTS = b"heliograph receipts v1\0"
CHARTER = b"heliograph charter v1\0"
RENEWAL = b"heliograph renewal v1\0"
UPLOAD = b"heliograph upload v1\0"
VISITS = b"heliograph visits v1\0"
FINGERPRINTS = b"heliograph fingerprints v1\0"
ENROLLED = b"heliograph enrolled v1\0"
CODE = b"heliograph code v1\0"  # derives a shared key, signs nothing
BEACON = b"heliograph beacon v1\0"  # derives a shared key, signs nothing
LOG_BASIS = b"heliograph log basis v1\0"  # derives a secret, signs nothing
_BOUND = b"heliograph bound v2\0"  # see bind_context

_P = 2**255 - 19  # the field that both curves are over


def agent_id(public_key: bytes) -> bytes:
    """Return an agent's id: the first 16 bytes of its public key's SHA-256."""
    return hashlib.sha256(public_key).digest()[:16]


def key_id(public_key: bytes) -> bytes:
    """Return the 8 bytes that name a collector's sealing key outside the seal."""
    return hashlib.sha256(public_key).digest()[:8]


class SigningKey:
    """Hold an Ed25519 private key (RFC 8032)."""

    def __init__(self, private: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric import ed25519

        self._key: Ed25519PrivateKey = ed25519.Ed25519PrivateKey.from_private_bytes(private)
        self.public: bytes = self._key.public_key().public_bytes_raw()

    def sign(self, context: bytes, message: bytes) -> bytes:
        """Sign `context ‖ message`; the signature has 64 bytes."""
        return self._key.sign(context + message)

    def derive_secret(self, purpose: bytes) -> bytes:
        """Derive 32 bytes that only the holder of this key knows."""
        return _derive(self._key.private_bytes_raw(), purpose)

    def derive_shared_key(self, collector: bytes, purpose: bytes) -> bytes:
        """Derive 32 bytes that this agent and the holder of `collector` share.

        The Ed25519 secret is used on the Montgomery form of its curve (RFC 7748 section 4.1), so
        that no further key is stored or sent. Raises ValueError for an invalid key.
        """
        from cryptography.hazmat.primitives.asymmetric import x25519

        scalar = hashlib.sha512(self._key.private_bytes_raw()).digest()[:32]  # RFC 8032, 5.1.5
        private_key = x25519.X25519PrivateKey.from_private_bytes(scalar)
        public_key = x25519.X25519PublicKey.from_public_bytes(collector)
        return _derive(private_key.exchange(public_key), purpose + self.public + collector)


def verify(public: bytes, signature: bytes, context: bytes, message: bytes) -> bool:
    """Tell whether `public` signed `context ‖ message`; False for malformed keys."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, context + message)
    except (InvalidSignature, ValueError):
        return False
    return True


def bind_context(context: bytes, pin: bytes) -> bytes:
    """Return `context` bound to one collector, so that no other can use the signature.

    `pin` is the SHA-256 of the collector's public TLS key, which the agent verified on the very
    connection. A collector between an agent and another collector has another key.
    """
    return _BOUND + pin + context


def verify_bound(
    public: bytes, signature: bytes, context: bytes, pin: bytes, message: bytes
) -> bool:
    """Tell whether `public` signed `message` for the collector with this pin.

    Until 0.3.0 a signature that names no collector is accepted too, from agents up to 0.1.0. Later
    agents never make one, so that nobody can ask them for it.
    """
    return verify(public, signature, bind_context(context, pin), message) or verify(
        public, signature, context, message
    )


class SealingKey:
    """Hold the collector's X25519 private key (RFC 7748)."""

    def __init__(self, private: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric import x25519

        self._key: X25519PrivateKey = x25519.X25519PrivateKey.from_private_bytes(private)
        self.public: bytes = self._key.public_key().public_bytes_raw()
        self.id: bytes = key_id(self.public)

    @property
    def private(self) -> "X25519PrivateKey":
        return self._key

    def derive_shared_key(self, agent: bytes, purpose: bytes) -> bytes:
        """Derive the same 32 bytes by the agent's Ed25519 key. Raises ValueError."""
        from cryptography.hazmat.primitives.asymmetric import x25519

        public_key = x25519.X25519PublicKey.from_public_bytes(_on_montgomery(agent))
        return _derive(self._key.exchange(public_key), purpose + agent + self.public)


def _on_montgomery(public: bytes) -> bytes:
    """Convert an Ed25519 public key to X25519: u = (1 + y) / (1 - y)."""
    if len(public) != 32:
        raise ValueError("an Ed25519 public key has 32 bytes")
    y = int.from_bytes(public, "little") & ((1 << 255) - 1)
    return ((1 + y) * pow(1 - y, _P - 2, _P) % _P).to_bytes(32, "little")


def _derive(secret: bytes, info: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(secret)
