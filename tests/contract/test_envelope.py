"""Envelopes open as sealed, hide their size, and let nothing hostile through."""

import hashlib
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph import envelope, keys
from heliograph.v1 import envelope_pb2 as pb
from heliograph.v1 import observation_pb2 as opb
from heliograph.zstd_frame import compress_frame
from support.zstd_library import zstd

SIGNER = keys.SigningKey(bytes(range(32)))
COLLECTOR = keys.SealingKey(bytes(range(32, 64)))
AGENT = keys.agent_id(SIGNER.public)
INFO_BY_VERSION = {2: envelope.INFO, 1: b"heliograph envelope v1"}
GOLDEN = Path(__file__).with_name("golden")


def known(agent: bytes) -> bytes | None:
    return SIGNER.public if agent == AGENT else None


def batch(measurements: int = 1, text: str = "https://example.org/") -> pb.Batch:
    return pb.Batch(
        agent=AGENT,
        sequence=7,
        sealed_us=1_641_378_600_000_000,
        agent_version="0.1.0",
        epochs=[opb.Epoch(id="e1", country="KZ", access="mobile")],
        measurements=[
            opb.Measurement(
                sequence=n + 1, experiment="web", target=text, epoch="e1", link="online"
            )
            for n in range(measurements)
        ],
    )


def encrypted(padded: bytes) -> pb.Envelope:
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
    public = X25519PublicKey.from_public_bytes(COLLECTOR.public)
    inner = suite.encrypt(padded, public, envelope.INFO)
    return pb.Envelope(version=envelope.VERSION, key_id=COLLECTOR.id, sealed=inner)


def sealed(signed: bytes) -> pb.Envelope:
    """An envelope around arbitrary inner bytes, as a hostile agent would make it."""
    size = next(s for s in envelope.SIZES if len(signed) + 52 <= s)
    return encrypted(len(signed).to_bytes(4, "big") + signed + bytes(size - 52 - len(signed)))


def signed(compressed: bytes, agent: bytes = AGENT) -> pb.Envelope:
    signature = SIGNER.sign(keys.BATCH, COLLECTOR.public + compressed)
    return sealed(
        pb.SignedBatch(agent=agent, batch=compressed, signature=signature).SerializeToString()
    )


def reason(message: pb.Envelope) -> str:
    with pytest.raises(envelope.EnvelopeError) as caught:
        envelope.open_envelope(message, COLLECTOR, known)
    assert caught.value.reason in envelope.REASONS
    return caught.value.reason


@given(st.integers(0, 60), st.text(max_size=300))
@settings(deadline=None)
def test_what_was_sealed_is_what_is_opened(count: int, text: str) -> None:
    original = batch(count, text)
    wire = pb.Envelope.FromString(envelope.seal_batch(original, SIGNER, COLLECTOR.public))
    opened = envelope.open_envelope(wire, COLLECTOR, known)
    assert opened.batch == original
    assert (opened.agent, opened.sequence) == (AGENT, 7)
    assert envelope.decompress_batch(opened.compressed) == original


def test_a_carrier_sees_one_of_few_sizes_and_no_agent() -> None:
    short, longer = (envelope.seal_batch(batch(n), SIGNER, COLLECTOR.public) for n in (0, 5))
    assert len(short) == len(longer)
    assert len(pb.Envelope.FromString(short).sealed) in envelope.SIZES
    assert AGENT not in short
    assert SIGNER.public not in short


def test_golden_bytes_still_open_and_a_batch_is_written_today_as_then() -> None:
    """Golden bytes still open, and a batch is encoded today as then.

    HPKE is randomized, so the golden files hold an envelope sealed once, and its content.
    """
    wire = pb.Envelope.FromString((GOLDEN / "envelope-v1.bin").read_bytes())
    for golden in (envelope.open_envelope(wire, COLLECTOR, known).batch, batch(2)):
        raw = golden.SerializeToString(deterministic=True)
        assert raw == (GOLDEN / "batch-v1.bin").read_bytes()


def test_a_batch_that_fits_no_size_is_refused_by_the_agent() -> None:
    noise = [
        opb.Measurement(target=hashlib.sha256(bytes([n % 256, n // 256])).hexdigest() * 30)
        for n in range(900)
    ]
    with pytest.raises(envelope.EnvelopeError, match="too_large"):
        envelope.seal_batch(pb.Batch(agent=AGENT, measurements=noise), SIGNER, COLLECTOR.public)


def test_envelope_of_other_key_or_agent_is_refused() -> None:
    wire = pb.Envelope.FromString(envelope.seal_batch(batch(), SIGNER, COLLECTOR.public))
    other = keys.SealingKey(bytes(range(64, 96)))
    with pytest.raises(envelope.EnvelopeError, match="unknown_key"):
        envelope.open_envelope(wire, other, known)
    with pytest.raises(envelope.EnvelopeError, match="unknown_agent"):
        envelope.open_envelope(wire, COLLECTOR, lambda _: None)
    forger = keys.SigningKey(bytes(32))
    with pytest.raises(envelope.EnvelopeError, match="bad_signature"):
        envelope.open_envelope(wire, COLLECTOR, lambda _: forger.public)
    wire.key_id = other.id
    with pytest.raises(envelope.EnvelopeError, match="bad_seal"):
        envelope.open_envelope(wire, other, known)


def test_one_agent_cannot_speak_for_another() -> None:
    other = batch()
    other.agent = bytes(16)
    compressed = compress_frame(other.SerializeToString())
    assert reason(signed(compressed)) == "bad_batch"


def reseal_envelope(wire: pb.Envelope, version: int, to: keys.SealingKey) -> pb.Envelope:
    """Open an envelope as its collector, and seal its signed batch to another."""
    padded = envelope.hpke_suite().decrypt(
        wire.sealed, COLLECTOR.private, INFO_BY_VERSION[wire.version]
    )
    resealed = envelope.hpke_suite().encrypt(
        padded, X25519PublicKey.from_public_bytes(to.public), INFO_BY_VERSION[version]
    )
    return pb.Envelope(version=version, key_id=to.id, sealed=resealed)


@pytest.mark.parametrize("version", INFO_BY_VERSION)
def test_collector_cannot_seal_a_batch_to_another(version: int) -> None:
    """A collector cannot seal a batch to another one.

    Nor under the older version, whose signature does not cover the collector's key.
    """
    wire = pb.Envelope.FromString(envelope.seal_batch(batch(), SIGNER, COLLECTOR.public))
    other = keys.SealingKey(bytes(range(64, 96)))
    with pytest.raises(envelope.EnvelopeError, match="bad_signature"):
        envelope.open_envelope(reseal_envelope(wire, version, other), other, known)
    back = reseal_envelope(wire, envelope.VERSION, COLLECTOR)
    assert envelope.open_envelope(back, COLLECTOR, known).sequence == 7


@pytest.mark.parametrize("version", [0, 3, 2**32 - 1])
def test_a_version_we_do_not_speak_is_named(version: int) -> None:
    wire = pb.Envelope.FromString(envelope.seal_batch(batch(), SIGNER, COLLECTOR.public))
    wire.version = version
    assert reason(wire) == "unknown_version"


def compress(size: int, *, declared: bool = True) -> bytes:
    options: dict[int, int] = {zstd.CompressionParameter.content_size_flag: int(declared)}
    return zstd.compress(bytes(size), options=options)


def lie_about_size() -> bytes:
    """Return a frame that declares 20 bytes and unfolds to fifty million."""
    frame = compress(50_000_000)
    assert frame[4] >> 6 == 2, "a four-byte content size, as zstd writes for this length"
    start = 5 if frame[4] & 0x20 else 6
    return frame[:start] + struct.pack("<I", 20) + frame[start + 4 :]


@pytest.mark.parametrize(
    ("bomb", "refusal"),
    [
        (compress(envelope.MAX_BATCH + 1), "too_large"),
        (compress(50_000_000, declared=False), "too_large"),
        (lie_about_size(), "bad_compression"),
        (compress(9) + b"more", "bad_compression"),
    ],
    ids=["honest", "hidden", "lying", "trailing"],
)
def test_bomb_is_refused_before_it_unfolds(bomb: bytes, refusal: str) -> None:
    assert len(bomb) < 10_000
    assert reason(signed(bomb)) == refusal


@given(st.binary(max_size=460))
@settings(deadline=None)
def test_hostile_plaintext_and_signed_bytes_are_named_refusals(inner: bytes) -> None:
    reason(sealed(inner))
    reason(signed(inner[:300]))


@given(st.binary(max_size=700))
def test_hostile_wire_bytes_are_refused_by_protobuf_or_by_name(data: bytes) -> None:
    try:
        message = pb.Envelope.FromString(data)
    except DecodeError:
        return
    reason(message)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_any_flipped_bit_is_noticed(data: st.DataObject) -> None:
    wire = pb.Envelope.FromString(envelope.seal_batch(batch(), SIGNER, COLLECTOR.public))
    at = data.draw(st.integers(0, len(wire.sealed) * 8 - 1))
    flipped = bytearray(wire.sealed)
    flipped[at // 8] ^= 1 << (at % 8)
    wire.sealed = bytes(flipped)
    assert reason(wire) == "bad_seal"


def test_padding_that_hides_bytes_is_refused() -> None:
    padded = bytearray((0).to_bytes(4, "big") + bytes(460))
    padded[-1] = 1
    assert reason(encrypted(bytes(padded))) == "bad_padding"


def test_a_size_that_no_agent_sends_is_refused_unopened() -> None:
    odd = encrypted(bytes(1_000))
    with pytest.raises(envelope.EnvelopeError) as error:
        envelope.open_envelope(odd, COLLECTOR, known)
    assert error.value.reason == "bad_size"
