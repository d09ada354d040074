"""Root shares: root keys that are made and kept on machines without a network.

A share is a file of a few short lines, which can be printed and typed again:

    Heliograph root share 2. Keep it offline, apart from the other shares.
    public heliograph-root1:AJQT-…
    secret heliograph-root-secret1:AJ5D-…

A line is base 32 in groups: the share's number, 32 bytes of Ed25519, and 4 bytes of SHA-256 that
find an error of copying. Only the public line goes to the collector. Pure but for
`create_share` and `load_share`.
"""

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from heliograph.durable_file import create_file
from heliograph.keys import SigningKey
from heliograph.trust_chain import MAX_KEYS
from heliograph_collector.fleet.keyring import KeysError

PUBLIC_PREFIX = "heliograph-root1:"
SECRET_PREFIX = "heliograph-root-secret1:"  # noqa: S105 -- the name of a format
MAX_FILE_BYTES = 4_096
_KEY_BYTES = 32
_CHECK_BYTES = 4
_GROUP = 4  # characters between dashes


@dataclass(frozen=True, slots=True)
class PublicShare:
    """Number and public key of a share, which the collector may know."""

    number: int
    key: bytes


def create_share(file: Path, number: int) -> PublicShare:
    """Create a share's file, mode 0600; never replace one. Raises KeysError, OSError."""
    if not 1 <= number <= MAX_KEYS:
        raise KeysError(f"A share has a number from 1 to {MAX_KEYS}: name it by --share.")
    secret = secrets.token_bytes(_KEY_BYTES)
    share = PublicShare(number, SigningKey(secret).public)
    document = (
        f"Heliograph root share {number}. Keep it offline, apart from the other shares.\n"
        f"public {format_public_line(share)}\n"
        f"secret {_format_line(SECRET_PREFIX, number, secret)}\n"
    )
    if not create_file(file, document.encode()):
        raise KeysError(f"{file} is there already: name another file by --out.")
    return share


def load_share(file: Path) -> SigningKey:
    """Load the signing key of a share, or of 32 raw bytes from earlier versions.

    Raises KeysError.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES)
    except OSError as error:
        raise KeysError(f"{file} cannot be read ({error.strerror}).") from error
    key = parse_secret(content)
    if key is None:
        raise KeysError(f"{file} holds no root share: copy its `secret` line again.")
    return key


def parse_secret(content: bytes) -> SigningKey | None:
    """Return the signing key in a file's content; None without one."""
    if len(content) == _KEY_BYTES:
        return SigningKey(content)
    decoded = _find_line(SECRET_PREFIX, content.decode("ascii", "replace"))
    return SigningKey(decoded[1]) if decoded else None


def parse_public_share(document: str) -> PublicShare:
    """Parse the public line in a document. Raises KeysError."""
    decoded = _find_line(PUBLIC_PREFIX, document[:MAX_FILE_BYTES])
    if decoded is None:
        raise KeysError(f"There is no whole line {PUBLIC_PREFIX}…: copy it from the share again.")
    return PublicShare(*decoded)


def format_public_line(share: PublicShare) -> str:
    return _format_line(PUBLIC_PREFIX, share.number, share.key)


def format_fingerprint(public_key: bytes) -> str:
    """Return 16 digits of a key's SHA-256, for people who compare them by telephone."""
    digits = hashlib.sha256(public_key).hexdigest()[:16]
    return " ".join(digits[at : at + _GROUP] for at in range(0, len(digits), _GROUP))


def _format_line(prefix: str, number: int, key: bytes) -> str:
    body = bytes([number]) + key
    encoded = base64.b32encode(body + _checksum(prefix, body)).decode().rstrip("=")
    return prefix + "-".join(encoded[at : at + _GROUP] for at in range(0, len(encoded), _GROUP))


def _find_line(prefix: str, document: str) -> tuple[int, bytes] | None:
    """Find the first line of a prefix; return number and key, None if it is damaged."""
    rest = document.partition(prefix)[2]
    encoded = "".join(rest.split("\n")[0].replace("-", "").split()).upper()
    try:
        raw = base64.b32decode(encoded + "=" * (-len(encoded) % 8))
    except (binascii.Error, ValueError):
        return None
    body = raw[:-_CHECK_BYTES]
    if len(body) != 1 + _KEY_BYTES or raw[-_CHECK_BYTES:] != _checksum(prefix, body):
        return None
    return body[0], body[1:]


def _checksum(prefix: str, body: bytes) -> bytes:
    return hashlib.sha256(prefix.encode() + body).digest()[:_CHECK_BYTES]
