"""Deliver a plan in pieces to agents that no session reaches.

On a network that freezes flows after some 25 packets, answer and envelope share them. Pure.
"""

import re
from dataclasses import dataclass

import zstandard

from heliograph.v1 import intake_pb2 as pb

MAX_PACKED = 262_144  # bytes of a whole frame
MAX_PLAN = 1_048_576  # … and of what is in it
# bytes of a piece
LARGE_PIECE = 4_096
SMALL_PIECE = 1_000
# bytes of an envelope: up to, and from
_SMALL = 2_048 + 64
_LARGE = 6_144 + 64
_PROGRESS = re.compile(r"([0-9]{1,19})(?: ([0-9]{1,19})/([0-9]{1,7}))?")


def pack_plan(signed: bytes) -> bytes:
    """A serialized SignedPlan as it is cut up."""
    return zstandard.ZstdCompressor(level=19, write_content_size=True).compress(signed)


def unpack_plan(packed: bytes) -> bytes:
    """Raises ValueError: what came is no frame of ours."""
    try:
        if zstandard.get_frame_parameters(packed).content_size > MAX_PLAN:
            raise ValueError("a plan that is too large")
        return zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ValueError("not a frame") from error


def format_progress(progress: pb.PlanHeld) -> str:
    """`5`, or `5 6/4096` where 4096 bytes of version 6 are there."""
    return (
        f"{progress.version} {progress.next}/{progress.bytes}"
        if progress.bytes
        else str(progress.version)
    )


def parse_progress(header_value: str) -> pb.PlanHeld | None:
    """None for anything else than `format_progress` writes."""
    match = _PROGRESS.fullmatch(header_value)
    if match is None:
        return None
    version, after, size = (int(part or 0) for part in match.groups())
    return pb.PlanHeld(version=version, next=after, bytes=size)


def next_piece(
    packed: bytes, version: int, progress: pb.PlanHeld, envelope_bytes: int
) -> pb.PlanPiece | None:
    """The next piece of plan `version`; None for who has it already, or where it is too large."""
    if progress.version >= version or not 0 < len(packed) <= MAX_PACKED:
        return None
    room = SMALL_PIECE if _SMALL < envelope_bytes <= _LARGE else LARGE_PIECE
    offset = progress.bytes if progress.next == version and progress.bytes < len(packed) else 0
    return pb.PlanPiece(
        version=version, size=len(packed), at=offset, piece=packed[offset : offset + room]
    )


@dataclass(slots=True)
class PlanAssembler:
    """The pieces of one newer plan so far. Only the plan's signature vouches for them."""

    version: int = 0
    packed: bytes = b""

    def progress(self, version: int) -> pb.PlanHeld:
        """To be said with the next envelope; `version` is the plan gone by."""
        if self.version <= version:
            self.version = 0
            self.packed = b""
        return pb.PlanHeld(version=version, next=self.version, bytes=len(self.packed))

    def add_piece(self, piece: pb.PlanPiece) -> bytes | None:
        """The serialized SignedPlan once it is whole. A piece that does not fit restarts it."""
        if piece.at == 0:
            self.version = piece.version
            self.packed = b""
        fits = piece.version == self.version and piece.at == len(self.packed)
        if not fits or not piece.piece or piece.size > MAX_PACKED:
            self.version = 0
            self.packed = b""
            return None
        self.packed += piece.piece[: piece.size - piece.at]
        if len(self.packed) < piece.size:
            return None
        packed = self.packed
        self.packed = b""
        try:
            return unpack_plan(packed)
        except ValueError:
            return None
