"""Envelopes in a file that any medium can carry, and the receipts that come back in another.

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

BUNDLE, RECEIPTS = b"heliograph bundle 1\n", b"heliograph receipts 1\n"
MAX_ENVELOPE = 262_144  # bytes of one envelope, as the collector's doors have it
MAX_ENVELOPES = 65_536
MAX_BYTES = 100_663_296  # of a file; a whole spool has 64 MiB
MAX_REASON = 64
STATUSES = ("stored", "duplicate", "rejected")
_KEY, _NUMBER, _DIGEST, _SIGNATURE = 8, 4, 32, 64


class BundleError(ValueError):
    """A file that is no bundle or no receipts of ours; str() says why, to follow its name."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one envelope."""

    status: str  # of STATUSES
    reason: str = ""


def digest(envelope: bytes) -> bytes:
    """What an envelope is called in receipts."""
    return hashlib.sha256(envelope).digest()


def pack(key_id: bytes, envelopes: Sequence[bytes]) -> Iterator[bytes]:
    """A bundle's bytes, piece by piece. Raises ValueError when there are too many."""
    if len(envelopes) > MAX_ENVELOPES:
        raise ValueError(f"more than {MAX_ENVELOPES} envelopes")
    whole = hashlib.sha256()
    for piece in _pieces(key_id, envelopes):
        whole.update(piece)
        yield piece
    yield whole.digest()


def packed_size(sizes: Iterable[int]) -> int:
    """Bytes of the bundle of envelopes of such sizes."""
    return len(BUNDLE) + _KEY + _NUMBER + sum(_NUMBER + size for size in sizes) + _DIGEST


def check(file: Path) -> tuple[bytes, int]:
    """The id of the key that a bundle is sealed to, and how many envelopes it holds, after all of
    it was read once. Raises BundleError, OSError."""
    with file.open("rb") as stream:
        whole = hashlib.sha256()
        key_id, count = _head(stream, whole)
        for _ in range(count):
            _envelope(stream, whole)
        if stream.read(_DIGEST + 1) != whole.digest():
            raise BundleError("is cut short, or was changed on the way: have it copied again")
        return key_id, count


def unpack(file: Path) -> Iterator[bytes]:
    """The envelopes of a bundle that `check` found whole. Raises BundleError, OSError."""
    with file.open("rb") as stream:
        whole = hashlib.sha256()
        _, count = _head(stream, whole)
        for _ in range(count):
            yield _envelope(stream, whole)


def pack_receipts(
    key_id: bytes, settled: Mapping[bytes, Settled], signer: keys.SigningKey, more: bytes = b""
) -> bytes:
    """Digest of an envelope → what became of it, signed; `more` goes along, for `brought_along`."""
    body = key_id + len(settled).to_bytes(_NUMBER, "big")
    for envelope, what in settled.items():
        reason = what.reason.encode()[:MAX_REASON]
        body += envelope + bytes([STATUSES.index(what.status), len(reason)]) + reason
    body += more
    return RECEIPTS + signer.sign(keys.RECEIPTS, body) + body


def unpack_receipts(data: bytes, key_id: bytes, signing_key: bytes) -> dict[bytes, Settled]:
    """As they were packed, if this collector signed them. Raises BundleError."""
    if not data.startswith(RECEIPTS):
        what = "is a bundle" if data.startswith(BUNDLE) else "holds no receipts"
        raise BundleError(f"{what}: name the file that `import bundle` wrote")
    signature, body = data[len(RECEIPTS) :][:_SIGNATURE], data[len(RECEIPTS) + _SIGNATURE :]
    if body[:_KEY] != key_id:
        raise BundleError("was written by another collector than the one that this agent serves")
    if not keys.verify(signing_key, signature, keys.RECEIPTS, body):
        raise BundleError("is cut short or not signed by this agent's collector: copy it again")
    return dict(_settled(body[_KEY:]))


def brought_along(data: bytes) -> bytes:
    """What stands behind the receipts in data that `unpack_receipts` took; mostly nothing."""
    body = data[len(RECEIPTS) + _SIGNATURE + _KEY :]
    at = _NUMBER
    for _ in range(int.from_bytes(body[:_NUMBER], "big")):
        at += _DIGEST + 2 + body[at + _DIGEST + 1]
    return body[at:]


def _pieces(key_id: bytes, envelopes: Sequence[bytes]) -> Iterator[bytes]:
    yield BUNDLE + key_id + len(envelopes).to_bytes(_NUMBER, "big")
    for envelope in envelopes:
        yield len(envelope).to_bytes(_NUMBER, "big") + envelope


def _head(stream: BinaryIO, whole: "hashlib._Hash") -> tuple[bytes, int]:
    start = stream.read(len(BUNDLE))
    if start == BUNDLE[: len(start)] and len(start) < len(BUNDLE):
        raise BundleError("is cut short: have it copied again")
    if start != BUNDLE:
        newer = start.startswith(BUNDLE.partition(b"1")[0])
        raise BundleError(
            "was made by a later edition: bring this program up to date" if newer
            else "is no bundle: name the file that `heliograph-agent export` wrote"
        )  # fmt: skip
    whole.update(start)
    key_id = _exactly(stream, _KEY, whole)
    count = int.from_bytes(_exactly(stream, _NUMBER, whole), "big")
    if count > MAX_ENVELOPES:
        raise BundleError(f"claims {count} envelopes; a bundle has at most {MAX_ENVELOPES}")
    return key_id, count


def _envelope(stream: BinaryIO, whole: "hashlib._Hash") -> bytes:
    size = int.from_bytes(_exactly(stream, _NUMBER, whole), "big")
    if size > MAX_ENVELOPE or stream.tell() + size > MAX_BYTES:
        raise BundleError("claims more than a bundle may hold, and was made by no agent of ours")
    return _exactly(stream, size, whole)


def _exactly(stream: BinaryIO, size: int, whole: "hashlib._Hash") -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise BundleError("is cut short: have it copied again")
    whole.update(data)
    return data


def _settled(body: bytes) -> Iterator[tuple[bytes, Settled]]:
    """Signed, so well-formed."""
    count, at = int.from_bytes(body[:_NUMBER], "big"), _NUMBER
    for _ in range(count):
        envelope, (status, size) = body[at : at + _DIGEST], body[at + _DIGEST :][:2]
        at += _DIGEST + 2
        yield envelope, Settled(STATUSES[status], body[at : at + size].decode("utf-8", "replace"))
        at += size
