"""The envelope: what goes in comes out, one size hides another, and nothing hostile gets past."""

import hashlib
import struct
from pathlib import Path

import pytest
import zstandard
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph import envelope, keys
from heliograph.v1 import envelope_pb2 as pb
from heliograph.v1 import observation_pb2 as opb

SIGNER = keys.SigningKey(bytes(range(32)))
COLLECTOR = keys.SealingKey(bytes(range(32, 64)))
AGENT = keys.agent_id(SIGNER.public)
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


def sealed(signed: bytes) -> pb.Envelope:
    """An envelope around arbitrary inner bytes, as a hostile agent would make it."""
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
    size = next(s for s in envelope.SIZES if len(signed) + 52 <= s)
    padded = len(signed).to_bytes(4, "big") + signed + bytes(size - 52 - len(signed))
    public = X25519PublicKey.from_public_bytes(COLLECTOR.public)
    return pb.Envelope(
        version=1, key_id=COLLECTOR.id, sealed=suite.encrypt(padded, public, envelope.INFO)
    )


def signed(compressed: bytes, agent: bytes = AGENT) -> pb.Envelope:
    signature = SIGNER.sign(keys.BATCH, compressed)
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
    wire = pb.Envelope.FromString(envelope.seal(original, SIGNER, COLLECTOR.public))
    opened = envelope.open_envelope(wire, COLLECTOR, known)
    assert opened.batch == original
    assert (opened.agent, opened.sequence) == (AGENT, 7)
    assert envelope.decompress(opened.compressed) == original


def test_a_carrier_sees_one_of_few_sizes_and_no_agent() -> None:
    short, longer = (envelope.seal(batch(n), SIGNER, COLLECTOR.public) for n in (0, 5))
    assert len(short) == len(longer)
    assert len(pb.Envelope.FromString(short).sealed) in envelope.SIZES
    assert AGENT not in short
    assert SIGNER.public not in short


def test_golden_bytes_of_the_signed_part_still_open() -> None:
    """HPKE is randomised, so the golden files are what was sealed once, and what it must say."""
    wire = (GOLDEN / "envelope-v1.bin").read_bytes()
    opened = envelope.open_envelope(pb.Envelope.FromString(wire), COLLECTOR, known)
    assert (
        opened.batch.SerializeToString(deterministic=True) == (GOLDEN / "batch-v1.bin").read_bytes()
    )


def test_golden_bytes_of_a_batch_are_written_today_as_then() -> None:
    assert batch(2).SerializeToString(deterministic=True) == (GOLDEN / "batch-v1.bin").read_bytes()


def test_a_batch_that_fits_no_size_is_refused_by_the_agent() -> None:
    noise = [
        opb.Measurement(target=hashlib.sha256(bytes([n % 256, n // 256])).hexdigest() * 30)
        for n in range(900)
    ]
    with pytest.raises(envelope.EnvelopeError, match="too_large"):
        envelope.seal(pb.Batch(agent=AGENT, measurements=noise), SIGNER, COLLECTOR.public)


def test_another_key_opens_nothing() -> None:
    wire = pb.Envelope.FromString(envelope.seal(batch(), SIGNER, COLLECTOR.public))
    other = keys.SealingKey(bytes(range(64, 96)))
    with pytest.raises(envelope.EnvelopeError, match="unknown_key"):
        envelope.open_envelope(wire, other, known)
    wire.key_id = other.id
    with pytest.raises(envelope.EnvelopeError, match="bad_seal"):
        envelope.open_envelope(wire, other, known)


def test_strangers_and_forgers_are_told_apart() -> None:
    wire = pb.Envelope.FromString(envelope.seal(batch(), SIGNER, COLLECTOR.public))
    with pytest.raises(envelope.EnvelopeError, match="unknown_agent"):
        envelope.open_envelope(wire, COLLECTOR, lambda _: None)
    forger = keys.SigningKey(bytes(32))
    with pytest.raises(envelope.EnvelopeError, match="bad_signature"):
        envelope.open_envelope(wire, COLLECTOR, lambda _: forger.public)


def test_one_agent_cannot_speak_for_another() -> None:
    other = batch()
    other.agent = bytes(16)
    compressed = zstandard.ZstdCompressor().compress(other.SerializeToString())
    assert reason(signed(compressed)) == "bad_batch"


@pytest.mark.parametrize("version", [0, 2, 2**32 - 1])
def test_a_version_we_do_not_speak_is_named(version: int) -> None:
    wire = pb.Envelope.FromString(envelope.seal(batch(), SIGNER, COLLECTOR.public))
    wire.version = version
    assert reason(wire) == "unknown_version"


def test_a_bomb_is_refused_before_it_unfolds() -> None:
    honest = zstandard.ZstdCompressor(write_content_size=True).compress(
        bytes(envelope.MAX_BATCH + 1)
    )
    assert len(honest) < 1_000
    assert reason(signed(honest)) == "too_large"


def test_a_bomb_that_hides_its_size_is_refused() -> None:
    hidden = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(50_000_000))
    assert reason(signed(hidden)) in {"too_large", "bad_compression"}


def test_a_bomb_that_lies_about_its_size_is_refused() -> None:
    """A frame header that declares 20 bytes in front of blocks that unfold to fifty million."""
    frame = zstandard.ZstdCompressor(write_content_size=True).compress(bytes(50_000_000))
    magic, descriptor = frame[:4], frame[4]
    assert descriptor >> 6 == 2, "a four-byte content size, as zstd writes for this length"
    start = 5 if descriptor & 0x20 else 6
    lying = magic + frame[4:start] + struct.pack("<I", 20) + frame[start + 4 :]
    assert reason(signed(lying)) in {"too_large", "bad_compression"}


def test_trailing_bytes_after_the_frame_are_refused() -> None:
    compressed = zstandard.ZstdCompressor().compress(batch().SerializeToString())
    assert reason(signed(compressed + b"more")) == "bad_compression"


@given(st.binary(max_size=460))
@settings(deadline=None)
def test_hostile_plaintext_is_a_named_refusal(inner: bytes) -> None:
    assert reason(sealed(inner)) in envelope.REASONS


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_hostile_signed_bytes_are_a_named_refusal(compressed: bytes) -> None:
    reason(signed(compressed))


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
    wire = pb.Envelope.FromString(envelope.seal(batch(), SIGNER, COLLECTOR.public))
    at = data.draw(st.integers(0, len(wire.sealed) * 8 - 1))
    flipped = bytearray(wire.sealed)
    flipped[at // 8] ^= 1 << (at % 8)
    wire.sealed = bytes(flipped)
    assert reason(wire) == "bad_seal"


def test_padding_that_hides_bytes_is_refused() -> None:
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
    padded = bytearray((0).to_bytes(4, "big") + bytes(460))
    padded[-1] = 1
    wire = pb.Envelope(
        version=1,
        key_id=COLLECTOR.id,
        sealed=suite.encrypt(
            bytes(padded), X25519PublicKey.from_public_bytes(COLLECTOR.public), envelope.INFO
        ),
    )
    assert reason(wire) == "bad_padding"
