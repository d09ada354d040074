"""Encryption of a backup's files to a recipient's key.

A random key per backup is sealed to the recipient's X25519 key by HPKE (RFC 9180), with the suite
of envelopes. Each file has its own key, derived from that and its name, and is a sequence of
chunks under ChaCha20-Poly1305 (RFC 8439). A nonce is the chunk's number and whether it is the last
(the STREAM construction, Hoang et al., CRYPTO 2015), so that a file that was cut, reordered or
renamed does not open.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from heliograph.envelope import hpke_suite
from heliograph.keys import key_id
from heliograph_collector.store.backup import BackupError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

CHUNK_BYTES = 65_536  # assumed; 0.02 % of overhead
_TAG_BYTES = 16
_INFO = b"heliograph backup v1"
_MAX_KEY_FILE_BYTES = 65_536


class SealedKey(msgspec.Struct, frozen=True):
    """Key of a backup as its directory holds it."""

    recipient: str  # id of the recipient's key, hex
    sealed: bytes


class BackupKey:
    """Key of one backup; it exists in memory only."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def create(cls, recipient_file: Path) -> "tuple[BackupKey, SealedKey]":
        """Create a key that the holder of the recipient's private key opens.

        Raises BackupError, OSError.
        """
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            recipient = load_pem_public_key(_read_key_file(recipient_file))
        except ValueError:
            recipient = None
        if not isinstance(recipient, X25519PublicKey):
            raise BackupError(
                f"{recipient_file} is no X25519 public key in PEM: make a pair by `openssl genpkey "
                "-algorithm X25519 -out backup.key; openssl pkey -in backup.key -pubout`."
            )
        secret = secrets.token_bytes(32)
        sealed = hpke_suite().encrypt(secret, recipient, _INFO)
        return cls(secret), SealedKey(key_id(recipient.public_bytes_raw()).hex(), sealed)

    @classmethod
    def open(cls, sealed_key: SealedKey, identity_file: Path) -> "BackupKey":
        """Open a sealed key by the private key in a PEM file. Raises BackupError, OSError."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            identity = load_pem_private_key(_read_key_file(identity_file), password=None)
            if not isinstance(identity, X25519PrivateKey):
                raise TypeError
            return cls(hpke_suite().decrypt(sealed_key.sealed, identity, _INFO))
        except (ValueError, TypeError):
            raise BackupError(
                f"{identity_file} is no X25519 private key in PEM without a password: name that "
                "of the backup's recipient."
            ) from None
        except InvalidTag:
            raise BackupError(
                f"{identity_file} is not the key that this backup is encrypted to: its public key "
                f"must have the id {sealed_key.recipient}."
            ) from None

    def derive_file_cipher(self, name: str) -> "ChaCha20Poly1305":
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        info = _INFO + b"\0" + name.encode()
        key = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(self._secret)
        return ChaCha20Poly1305(key)


class SealingStream:
    """Encrypt the bytes written into a file of this name."""

    def __init__(self, stream: BinaryIO, key: BackupKey, name: str) -> None:
        self._stream = stream
        self._cipher = key.derive_file_cipher(name)
        self._buffer = bytearray()
        self._number = 0

    def write(self, piece: bytes) -> None:
        self._buffer += piece
        while len(self._buffer) > CHUNK_BYTES:  # the last chunk is never empty without need
            self._write_chunk(bytes(self._buffer[:CHUNK_BYTES]), is_last=False)
            del self._buffer[:CHUNK_BYTES]

    def finish(self) -> None:
        self._write_chunk(bytes(self._buffer), is_last=True)

    def _write_chunk(self, chunk: bytes, *, is_last: bool) -> None:
        self._stream.write(self._cipher.encrypt(_nonce(self._number, is_last), chunk, None))
        self._number += 1


def open_chunks(stream: BinaryIO, key: BackupKey, name: str) -> Iterator[bytes]:
    """Decrypt a file of this name. Raises BackupError."""
    from cryptography.exceptions import InvalidTag

    cipher = key.derive_file_cipher(name)
    number = 0
    chunk = stream.read(CHUNK_BYTES + _TAG_BYTES)
    while True:
        following = stream.read(CHUNK_BYTES + _TAG_BYTES)
        try:
            yield cipher.decrypt(_nonce(number, not following), chunk, None)
        except (InvalidTag, ValueError):
            raise BackupError(f"{name} in the backup is damaged: use another backup.") from None
        if not following:
            return
        chunk = following
        number += 1


def _nonce(number: int, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


def _read_key_file(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_MAX_KEY_FILE_BYTES)
