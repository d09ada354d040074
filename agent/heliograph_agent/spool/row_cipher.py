"""Encrypt open results with a key that lives in this process's memory alone.

Why: a disk may be seized at any moment, and a file system keeps what was deleted. Rows of an
earlier process can never be decrypted; only the collector can open their crash copies.
"""

import os
import secrets
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12  # NIST SP 800-38D section 5.2.1.1


class RowCipher:
    """Encrypt by AES-256-GCM; `life` identifies the rows of this key."""

    def __init__(self) -> None:
        self.life = secrets.randbits(62)
        self._count = 0

    def encrypt(self, plaintext: bytes, *labels: int) -> bytes:
        """Encrypt; `labels` are authenticated and must be given again to decrypt.

        The nonce is a separate counter: a rolled back row frees its sequence for another row.
        """
        self._count += 1
        nonce = self._count.to_bytes(_NONCE_BYTES, "big")
        return nonce + self._cipher.encrypt(nonce, plaintext, _encode_labels(labels))

    def decrypt(self, body: bytes, *labels: int) -> bytes:
        """Undo `encrypt`. Raises cryptography.exceptions.InvalidTag."""
        nonce = body[:_NONCE_BYTES]
        return self._cipher.decrypt(nonce, body[_NONCE_BYTES:], _encode_labels(labels))

    @cached_property
    def _cipher(self) -> "AESGCM":
        """Draw the key and load the library on first use; an idle agent needs none."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(os.urandom(32))


def _encode_labels(labels: tuple[int, ...]) -> bytes:
    return "|".join(map(str, labels)).encode()
