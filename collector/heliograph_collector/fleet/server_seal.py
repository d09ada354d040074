"""Encrypt values that collectors keep for each other on servers.

The keys are derived from `keys/secret.key`, which all collectors that may lead have and the servers
do not; so the servers can neither read a value nor forge one.
"""

import secrets
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

_NONCE_BYTES = 12


class UnsealError(Exception):
    """A value does not open: it was changed, or it is of other keys."""


def seal(secret: bytes, purpose: bytes, content: bytes, name: bytes = b"") -> bytes:
    """Encrypt content under a new random nonce, which comes first.

    Args:
        purpose: Each has a separate key.
        name: Of the content; it opens only under the same name.
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + _derive_cipher(secret, purpose).encrypt(nonce, content, purpose + name)


def unseal(secret: bytes, purpose: bytes, sealed: bytes, name: bytes = b"") -> bytes:
    """Decrypt content. Raises UnsealError."""
    from cryptography.exceptions import InvalidTag

    nonce = sealed[:_NONCE_BYTES]
    try:
        return _derive_cipher(secret, purpose).decrypt(nonce, sealed[_NONCE_BYTES:], purpose + name)
    except (InvalidTag, ValueError):
        raise UnsealError("it does not open with keys/secret.key") from None


@cache
def _derive_cipher(secret: bytes, purpose: bytes) -> "ChaCha20Poly1305":
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return ChaCha20Poly1305(HKDF(hashes.SHA256(), 32, None, purpose).derive(secret))
