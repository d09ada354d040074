"""Seal and open a batch: protobuf → zstd → Ed25519 → padding → HPKE.

The signature covers the collector's sealing key, so that a collector cannot seal an opened one to
another one. Padding is inside the seal, so that a carrier sees one of few sizes and cannot change
the padding. HPKE is RFC 9180 base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from heliograph import keys
from heliograph.v1 import envelope_pb2 as pb
from heliograph.zstd_frame import (
    ZstdFrameError,
    ZstdFrameSizeError,
    compress_frame,
    decompress_frame,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.hpke import Suite

VERSION = 2
INFO = b"heliograph envelope v2"
# Version 1, of agents up to 0.1.0, was signed without the collector's key. It is opened until
# 0.3.0, because spools of agents in the dark hold it for 120 days.
UNBOUND_VERSION = 1
_INFO_BY_VERSION = {VERSION: INFO, UNBOUND_VERSION: b"heliograph envelope v1"}
SIZES = (
    512,
    2_048,
    6_144,
    24_576,
    98_304,
    253_952,
)  # bytes of `sealed`, each fits the next carrier
MAX_BATCH = 1_048_576  # bytes of Batch once decompressed
_HPKE_OVERHEAD = 48  # X25519 share and Poly1305 tag
_LENGTH = 4  # bytes of the big-endian size that precedes the SignedBatch


class EnvelopeError(Exception):
    """Report an envelope that is refused; `reason` is from REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"envelope refused: {reason}")
        self.reason = reason


REASONS = frozenset(
    {
        "unknown_version",
        "unknown_key",
        "bad_size",
        "bad_seal",
        "bad_padding",
        "unknown_agent",
        "bad_signature",
        "bad_compression",
        "too_large",
        "bad_batch",
    }
)


@dataclass(frozen=True, slots=True)
class VerifiedBatch:
    """Hold a batch with a verified signature; the journal keeps `compressed`."""

    agent: bytes
    sequence: int
    batch: pb.Batch
    compressed: bytes


def seal_batch(batch: pb.Batch, signer: keys.SigningKey, collector: bytes) -> bytes:
    """Seal a batch for `collector` and return the serialized Envelope.

    `collector` is an X25519 public key of 32 bytes. Raises EnvelopeError("too_large") when the
    batch exceeds the largest size.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    raw = batch.SerializeToString(deterministic=True)
    if len(raw) > MAX_BATCH:
        raise EnvelopeError("too_large")
    compressed = compress_frame(raw, level=9)
    signed = pb.SignedBatch(
        agent=batch.agent,
        batch=compressed,
        signature=signer.sign(keys.BATCH, collector + compressed),
    ).SerializeToString()
    sealed = hpke_suite().encrypt(_pad(signed), X25519PublicKey.from_public_bytes(collector), INFO)
    return pb.Envelope(
        version=VERSION, key_id=keys.key_id(collector), sealed=sealed
    ).SerializeToString()


def open_envelope(
    envelope: pb.Envelope,
    key: keys.SealingKey,
    public_key_of: Callable[[bytes], bytes | None],
    *,
    max_batch: int = MAX_BATCH,
) -> VerifiedBatch:
    """Undo `seal_batch` and verify the signature.

    `public_key_of` maps an agent id to its Ed25519 key, None if not enrolled. Raises
    EnvelopeError with the reason. Sizes are checked before any byte is decompressed.

    Args:
        max_batch: Bytes of the batch once decompressed; a larger one is too_large.
    """
    signed = _unseal(envelope, key)
    public = public_key_of(signed.agent)
    if public is None:
        raise EnvelopeError("unknown_agent")
    if not _is_signed(signed, public, key, envelope.version):
        raise EnvelopeError("bad_signature")
    batch = decompress_batch(signed.batch, max_batch)
    if batch.agent != signed.agent:
        raise EnvelopeError("bad_batch")
    return VerifiedBatch(signed.agent, batch.sequence, batch, signed.batch)


def _is_signed(signed: pb.SignedBatch, public: bytes, key: keys.SealingKey, version: int) -> bool:
    """Verify the signature in the form of the envelope's version."""
    if version == UNBOUND_VERSION:
        return keys.verify(public, signed.signature, keys.UNBOUND_BATCH, signed.batch)
    return keys.verify(public, signed.signature, keys.BATCH, key.public + signed.batch)


def decompress_batch(compressed: bytes, max_bytes: int = MAX_BATCH) -> pb.Batch:
    """Decompress the batch in a journal row. Raises EnvelopeError."""
    try:
        return pb.Batch.FromString(decompress_frame(compressed, max_bytes))
    except ZstdFrameSizeError as error:
        raise EnvelopeError("too_large") from error
    except ZstdFrameError as error:
        raise EnvelopeError("bad_compression") from error
    except DecodeError as error:
        raise EnvelopeError("bad_batch") from error


def find_info(envelope: pb.Envelope) -> bytes:
    """Return the HPKE info of the envelope's version. Raises EnvelopeError."""
    info = _INFO_BY_VERSION.get(envelope.version)
    if info is None:
        raise EnvelopeError("unknown_version")
    return info


def _unseal(envelope: pb.Envelope, key: keys.SealingKey) -> pb.SignedBatch:
    from cryptography.exceptions import InvalidTag

    info = find_info(envelope)
    if envelope.key_id != key.id:
        raise EnvelopeError("unknown_key")
    if len(envelope.sealed) not in SIZES:
        raise EnvelopeError("bad_size")
    try:
        return pb.SignedBatch.FromString(
            _unpad(hpke_suite().decrypt(envelope.sealed, key.private, info))
        )
    except (InvalidTag, ValueError) as error:
        raise EnvelopeError("bad_seal") from error
    except DecodeError as error:
        raise EnvelopeError("bad_batch") from error


def hpke_suite() -> "Suite":
    """Return the HPKE suite that seals everything to the collector."""
    from cryptography.hazmat.primitives import hpke

    return hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


def _pad(signed: bytes) -> bytes:
    needed_bytes = _LENGTH + len(signed) + _HPKE_OVERHEAD
    for size in SIZES:
        if needed_bytes <= size:
            return len(signed).to_bytes(_LENGTH, "big") + signed + bytes(size - needed_bytes)
    raise EnvelopeError("too_large")


def _unpad(padded: bytes) -> bytes:
    end = _LENGTH + int.from_bytes(padded[:_LENGTH], "big")
    if end > len(padded) or padded.count(0, end) != len(padded) - end:
        raise EnvelopeError("bad_padding")
    return padded[_LENGTH:end]
