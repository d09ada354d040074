"""Bundles and receipts: whole and ours, or refused with the reason."""

import hashlib
import random
from pathlib import Path

import pytest

from heliograph import bundle, keys
from heliograph.bundle import BundleError, SignedReceipt

KEY = b"12345678"
SIGNER = keys.SigningKey(bytes(range(32)))
RNG = random.Random(11)
ENVELOPES = [RNG.randbytes(size) for size in (512, 6_159, 2_048, 0)]


def packed(*envelopes: bytes) -> bytes:
    return b"".join(bundle.pack_bundle(KEY, envelopes or ENVELOPES))


def resealed(data: bytes) -> bytes:
    """Return a changed bundle with a fitting SHA-256, as a forger makes it."""
    return data[:-32] + hashlib.sha256(data[:-32]).digest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "b"


@pytest.mark.parametrize("envelopes", [ENVELOPES, []])
def test_what_was_packed_comes_out(file: Path, envelopes: list[bytes]) -> None:
    file.write_bytes(b"".join(bundle.pack_bundle(KEY, envelopes)))
    assert bundle.check_bundle(file) == (KEY, len(envelopes))
    assert list(bundle.unpack_bundle(file)) == envelopes
    assert file.stat().st_size == bundle.bundle_size(map(len, envelopes))


def test_no_byte_can_be_missing_or_different(file: Path) -> None:
    whole = packed(b"envelope one", b"envelope two")
    for end in range(len(whole)):
        file.write_bytes(whole[:end])
        with pytest.raises(BundleError):
            bundle.check_bundle(file)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << RNG.randrange(8)
        file.write_bytes(changed)
        with pytest.raises(BundleError):
            bundle.check_bundle(file)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "cut short"),
        (b"PK\x03\x04" + bytes(100), "is no bundle"),
        (b"heliograph bundle 2\n" + bytes(100), "later edition"),
        (packed() + b"more", "cut short, or was changed"),
        (bundle.BUNDLE + KEY + b"\xff" * 4, "claims 4294967295 envelopes"),
        (bundle.BUNDLE + KEY + b"\0\0\0\1\xff\xff\xff\xff", "claims more than a bundle may hold"),
        (resealed(bundle.BUNDLE + KEY + b"\0\0\0\2" + packed()[32:]), "was changed on the way"),
    ],
)
def test_a_hostile_file_is_refused_by_a_sentence(file: Path, data: bytes, says: str) -> None:
    file.write_bytes(data)
    with pytest.raises(BundleError, match=says):
        bundle.check_bundle(file)


def test_more_than_a_bundle_holds_is_not_packed() -> None:
    with pytest.raises(ValueError, match="65536"):
        next(bundle.pack_bundle(KEY, [b""] * 65_537))


SETTLED = {
    bundle.digest_envelope(b"a"): SignedReceipt("stored"),
    bundle.digest_envelope(b"b"): SignedReceipt("duplicate"),
    bundle.digest_envelope(b"c"): SignedReceipt("rejected", "bad_batch"),
}


def test_receipts_say_what_was_signed() -> None:
    data = bundle.pack_receipts(KEY, SETTLED, SIGNER)
    assert bundle.unpack_receipts(data, KEY, SIGNER.public) == SETTLED


def test_receipts_of_another_or_changed_ones_settle_nothing() -> None:
    data = bundle.pack_receipts(KEY, SETTLED, SIGNER)
    for given, key_id, public, says in (
        (data, b"87654321", SIGNER.public, "another collector"),
        (data, KEY, keys.SigningKey(bytes(32)).public, "not signed"),
        (packed(), KEY, SIGNER.public, "is a bundle"),
        (b"x", KEY, SIGNER.public, "no receipts"),
    ):
        with pytest.raises(BundleError, match=says):
            bundle.unpack_receipts(given, key_id, public)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(BundleError):
            bundle.unpack_receipts(bytes(changed), KEY, SIGNER.public)
