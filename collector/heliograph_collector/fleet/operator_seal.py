"""Encryption of the console's users where servers keep them.

Their second factors are secrets that must be there in clear to check a code. The key is derived
from `keys/secret.key`, which all collectors that may lead have and the servers do not; with it the
servers can neither read the users nor make one up.
"""

import secrets
from functools import cache
from typing import TYPE_CHECKING

from heliograph_collector.fleet.operators import OperatorsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

_INFO = b"heliograph operators v1"
_NONCE_BYTES = 12


def seal_operators(secret: bytes, content: bytes) -> bytes:
    """Encrypt a document under a new random nonce, which comes first."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + _derive_cipher(secret).encrypt(nonce, content, _INFO)


def unseal_operators(secret: bytes, sealed: bytes) -> bytes:
    """Decrypt a document. Raises OperatorsError."""
    from cryptography.exceptions import InvalidTag

    try:
        return _derive_cipher(secret).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _INFO)
    except (InvalidTag, ValueError):
        raise OperatorsError(
            "the users of the console on the journal's servers do not open with keys/secret.key: "
            "copy the folder keys of the collector that leads"
        ) from None


@cache
def _derive_cipher(secret: bytes) -> "ChaCha20Poly1305":
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return ChaCha20Poly1305(HKDF(hashes.SHA256(), 32, None, _INFO).derive(secret))
