"""Pack envelopes into a file that any medium can carry, and receipts into another.

A bundle is a head (the key that it is sealed to and the number of envelopes), the envelopes,
each preceded by its length, and a SHA-256 of everything before it. The hash shows at once that a
file was truncated or changed on the way. The bundle does not name its sender. Receipts name
envelopes by SHA-256 and are signed by the collector, so that a forged receipt cannot make an
agent delete an envelope that was not stored.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from heliograph import keys

BUNDLE = b"heliograph bundle 1\n"
RECEIPTS = b"heliograph receipts 1\n"
MAX_ENVELOPE = 262_144  # bytes of one envelope; the collector has the same limit
MAX_ENVELOPES = 65_536
MAX_BYTES = 100_663_296  # bytes of one file; a full spool has 64 MiB
MAX_REASON = 64
STATUSES = ("stored", "duplicate", "rejected")
_KEY = 8
_NUMBER = 4
_DIGEST = 32
_SIGNATURE = 64


class BundleError(ValueError):
    """Report an invalid file; str() is the reason, to print after the file's name."""


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """Record the collector's answer for one envelope."""

    status: str  # of STATUSES
    reason: str = ""


def digest_envelope(envelope: bytes) -> bytes:
    """Return the SHA-256 by which receipts name an envelope."""
    return hashlib.sha256(envelope).digest()


def pack_bundle(key_id: bytes, envelopes: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a bundle. Raises ValueError for too many envelopes."""
    if len(envelopes) > MAX_ENVELOPES:
        raise ValueError(f"more than {MAX_ENVELOPES} envelopes")
    hasher = hashlib.sha256()
    for piece in _iter_pieces(key_id, envelopes):
        hasher.update(piece)
        yield piece
    yield hasher.digest()


def bundle_size(sizes: Iterable[int]) -> int:
    """Compute the bytes of a bundle from the sizes of its envelopes."""
    return len(BUNDLE) + _KEY + _NUMBER + sum(_NUMBER + size for size in sizes) + _DIGEST


def check_bundle(file: Path) -> tuple[bytes, int]:
    """Read a whole bundle once and verify its hash.

    Returns the id of the key that the bundle is sealed to, and the number of envelopes. Raises
    BundleError, OSError.
    """
    with file.open("rb") as stream:
        hasher = hashlib.sha256()
        key_id, count = _read_head(stream, hasher)
        for _ in range(count):
            _read_envelope(stream, hasher)
        if stream.read(_DIGEST + 1) != hasher.digest():
            raise BundleError("is cut short, or was changed on the way: have it copied again")
        return key_id, count


def unpack_bundle(file: Path) -> Iterator[bytes]:
    """Yield the envelopes of a checked bundle. Raises BundleError, OSError."""
    with file.open("rb") as stream:
        hasher = hashlib.sha256()
        _, count = _read_head(stream, hasher)
        for _ in range(count):
            yield _read_envelope(stream, hasher)


def pack_receipts(
    key_id: bytes,
    receipts: Mapping[bytes, SignedReceipt],
    signer: keys.SigningKey,
    attachment: bytes = b"",
) -> bytes:
    """Sign the receipts by envelope digest; `read_attachment` returns `attachment`."""
    body = key_id + len(receipts).to_bytes(_NUMBER, "big")
    for envelope, receipt in receipts.items():
        reason = receipt.reason.encode()[:MAX_REASON]
        body += envelope + bytes([STATUSES.index(receipt.status), len(reason)]) + reason
    body += attachment
    return RECEIPTS + signer.sign(keys.RECEIPTS, body) + body


def unpack_receipts(data: bytes, key_id: bytes, signing_key: bytes) -> dict[bytes, SignedReceipt]:
    """Verify the collector's signature and return the receipts. Raises BundleError."""
    if not data.startswith(RECEIPTS):
        problem = "is a bundle" if data.startswith(BUNDLE) else "holds no receipts"
        raise BundleError(f"{problem}: name the file that `import bundle` wrote")
    signature = data[len(RECEIPTS) :][:_SIGNATURE]
    body = data[len(RECEIPTS) + _SIGNATURE :]
    if body[:_KEY] != key_id:
        raise BundleError("was written by another collector than the one that this agent serves")
    if not keys.verify(signing_key, signature, keys.RECEIPTS, body):
        raise BundleError("is cut short or not signed by this agent's collector: copy it again")
    return _parse_receipts(body[_KEY:])[0]


def read_attachment(data: bytes) -> bytes:
    """Return the bytes after the receipts of data that `unpack_receipts` accepted."""
    return _parse_receipts(data[len(RECEIPTS) + _SIGNATURE + _KEY :])[1]


def _iter_pieces(key_id: bytes, envelopes: Sequence[bytes]) -> Iterator[bytes]:
    yield BUNDLE + key_id + len(envelopes).to_bytes(_NUMBER, "big")
    for envelope in envelopes:
        yield len(envelope).to_bytes(_NUMBER, "big") + envelope


def _read_head(stream: BinaryIO, hasher: "hashlib._Hash") -> tuple[bytes, int]:
    start = stream.read(len(BUNDLE))
    if start == BUNDLE[: len(start)] and len(start) < len(BUNDLE):
        raise BundleError("is cut short: have it copied again")
    if start != BUNDLE:
        newer = start.startswith(BUNDLE.partition(b"1")[0])
        raise BundleError(
            "was made by a later edition: bring this program up to date" if newer
            else "is no bundle: name the file that `heliograph-agent export` wrote"
        )  # fmt: skip
    hasher.update(start)
    key_id = _read_exactly(stream, _KEY, hasher)
    count = int.from_bytes(_read_exactly(stream, _NUMBER, hasher), "big")
    if count > MAX_ENVELOPES:
        raise BundleError(f"claims {count} envelopes; a bundle has at most {MAX_ENVELOPES}")
    return key_id, count


def _read_envelope(stream: BinaryIO, hasher: "hashlib._Hash") -> bytes:
    size = int.from_bytes(_read_exactly(stream, _NUMBER, hasher), "big")
    if size > MAX_ENVELOPE or stream.tell() + size > MAX_BYTES:
        raise BundleError("claims more than a bundle may hold, and was made by no agent of ours")
    return _read_exactly(stream, size, hasher)


def _read_exactly(stream: BinaryIO, size: int, hasher: "hashlib._Hash") -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise BundleError("is cut short: have it copied again")
    hasher.update(data)
    return data


def _parse_receipts(body: bytes) -> tuple[dict[bytes, SignedReceipt], bytes]:
    """Parse receipts, which are signed and so well-formed; return the rest too."""
    receipts: dict[bytes, SignedReceipt] = {}
    offset = _NUMBER
    for _ in range(int.from_bytes(body[:_NUMBER], "big")):
        envelope = body[offset : offset + _DIGEST]
        status, size = body[offset + _DIGEST :][:2]
        offset += _DIGEST + 2
        reason = body[offset : offset + size].decode("utf-8", "replace")
        receipts[envelope] = SignedReceipt(STATUSES[status], reason)
        offset += size
    return receipts, body[offset:]
