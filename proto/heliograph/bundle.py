"""Pack envelopes into a file that any medium can carry, and receipts into another.

A bundle is a head (whom it is sealed to, how many), the envelopes, each with its length in front,
and a SHA-256 of all before, so that what was cut short or changed on the way is told at once. Who
sent it stands in none of it. Receipts name envelopes by their SHA-256, signed by the collector:
they make nobody forget what was not taken in.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from heliograph import keys

BUNDLE = b"heliograph bundle 1\n"
RECEIPTS = b"heliograph receipts 1\n"
MAX_ENVELOPE = 262_144  # bytes of one envelope, as the collector's doors have it
MAX_ENVELOPES = 65_536
MAX_BYTES = 100_663_296  # of a file; a whole spool has 64 MiB
MAX_REASON = 64
STATUSES = ("stored", "duplicate", "rejected")
_KEY = 8
_NUMBER = 4
_DIGEST = 32
_SIGNATURE = 64


class BundleError(ValueError):
    """A file that is no bundle or no receipts of ours; str() says why, to follow its name."""


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """What became of one envelope."""

    status: str  # of STATUSES
    reason: str = ""


def digest_envelope(envelope: bytes) -> bytes:
    """What an envelope is called in receipts."""
    return hashlib.sha256(envelope).digest()


def pack_bundle(key_id: bytes, envelopes: Sequence[bytes]) -> Iterator[bytes]:
    """A bundle's bytes, piece by piece. Raises ValueError when there are too many."""
    if len(envelopes) > MAX_ENVELOPES:
        raise ValueError(f"more than {MAX_ENVELOPES} envelopes")
    hasher = hashlib.sha256()
    for piece in _iter_pieces(key_id, envelopes):
        hasher.update(piece)
        yield piece
    yield hasher.digest()


def bundle_size(sizes: Iterable[int]) -> int:
    """Bytes of the bundle of envelopes of such sizes."""
    return len(BUNDLE) + _KEY + _NUMBER + sum(_NUMBER + size for size in sizes) + _DIGEST


def check_bundle(file: Path) -> tuple[bytes, int]:
    """The id of the key that a bundle is sealed to, and how many envelopes it holds, after all of
    it was read once. Raises BundleError, OSError."""
    with file.open("rb") as stream:
        hasher = hashlib.sha256()
        key_id, count = _read_head(stream, hasher)
        for _ in range(count):
            _read_envelope(stream, hasher)
        if stream.read(_DIGEST + 1) != hasher.digest():
            raise BundleError("is cut short, or was changed on the way: have it copied again")
        return key_id, count


def unpack_bundle(file: Path) -> Iterator[bytes]:
    """The envelopes of a bundle that `check_bundle` accepted. Raises BundleError, OSError."""
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
    """Sign the receipts by envelope digest; `read_attachment` reads `attachment` again."""
    body = key_id + len(receipts).to_bytes(_NUMBER, "big")
    for envelope, receipt in receipts.items():
        reason = receipt.reason.encode()[:MAX_REASON]
        body += envelope + bytes([STATUSES.index(receipt.status), len(reason)]) + reason
    body += attachment
    return RECEIPTS + signer.sign(keys.RECEIPTS, body) + body


def unpack_receipts(data: bytes, key_id: bytes, signing_key: bytes) -> dict[bytes, SignedReceipt]:
    """As they were packed, if this collector signed them. Raises BundleError."""
    if not data.startswith(RECEIPTS):
        problem = "is a bundle" if data.startswith(BUNDLE) else "holds no receipts"
        raise BundleError(f"{problem}: name the file that `import bundle` wrote")
    signature = data[len(RECEIPTS) :][:_SIGNATURE]
    body = data[len(RECEIPTS) + _SIGNATURE :]
    if body[:_KEY] != key_id:
        raise BundleError("was written by another collector than the one that this agent serves")
    if not keys.verify(signing_key, signature, keys.RECEIPTS, body):
        raise BundleError("is cut short or not signed by this agent's collector: copy it again")
    return dict(_parse_receipts(body[_KEY:]))


def read_attachment(data: bytes) -> bytes:
    """What stands behind the receipts in data that `unpack_receipts` took; mostly nothing."""
    body = data[len(RECEIPTS) + _SIGNATURE + _KEY :]
    offset = _NUMBER
    for _ in range(int.from_bytes(body[:_NUMBER], "big")):
        offset += _DIGEST + 2 + body[offset + _DIGEST + 1]
    return body[offset:]


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


def _parse_receipts(body: bytes) -> Iterator[tuple[bytes, SignedReceipt]]:
    """Signed, so well-formed."""
    count = int.from_bytes(body[:_NUMBER], "big")
    offset = _NUMBER
    for _ in range(count):
        envelope = body[offset : offset + _DIGEST]
        (status, size) = body[offset + _DIGEST :][:2]
        offset += _DIGEST + 2
        yield (
            envelope,
            SignedReceipt(
                STATUSES[status], body[offset : offset + size].decode("utf-8", "replace")
            ),
        )
        offset += size
