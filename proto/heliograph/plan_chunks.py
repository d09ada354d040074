"""Deliver a plan in pieces to agents that have no session.

Some networks freeze a flow after about 25 packets, and the answer shares those packets with the
envelope. A piece is therefore small where the envelope is of a middle size. Pure.
"""

import re
from dataclasses import dataclass

from heliograph.v1 import intake_pb2 as pb
from heliograph.zstd_frame import compress_frame, decompress_frame

MAX_PACKED = 262_144  # bytes of a whole frame
MAX_PLAN = 1_048_576  # bytes of the plan after decompression
# bytes of a piece
LARGE_PIECE = 4_096
SMALL_PIECE = 1_000
# bytes of an envelope: SMALL_PIECE applies between these sizes
_SMALL = 2_048 + 64
_LARGE = 6_144 + 64
_PROGRESS = re.compile(r"([0-9]{1,19})(?: ([0-9]{1,19})/([0-9]{1,7}))?")


def pack_plan(signed: bytes) -> bytes:
    """Compress a serialized SignedPlan into the frame that is cut into pieces."""
    return compress_frame(signed, level=19)


def unpack_plan(packed: bytes) -> bytes:
    """Decompress a frame. Raises ValueError when it is not a valid frame."""
    return decompress_frame(packed, MAX_PLAN)


def format_progress(progress: pb.PlanHeld) -> str:
    """Format `5`, or `5 6/4096` where 4096 bytes of version 6 have arrived."""
    return (
        f"{progress.version} {progress.next}/{progress.bytes}"
        if progress.bytes
        else str(progress.version)
    )


def parse_progress(header_value: str) -> pb.PlanHeld | None:
    """Parse the output of `format_progress`; None for anything else."""
    match = _PROGRESS.fullmatch(header_value)
    if match is None:
        return None
    version, after, size = (int(part or 0) for part in match.groups())
    return pb.PlanHeld(version=version, next=after, bytes=size)


def next_piece(
    packed: bytes, version: int, progress: pb.PlanHeld, envelope_bytes: int
) -> pb.PlanPiece | None:
    """Cut the next piece of plan `version`.

    None when the agent has that plan already, or when the frame is too large.
    """
    if progress.version >= version or not 0 < len(packed) <= MAX_PACKED:
        return None
    room = SMALL_PIECE if _SMALL < envelope_bytes <= _LARGE else LARGE_PIECE
    offset = progress.bytes if progress.next == version and progress.bytes < len(packed) else 0
    return pb.PlanPiece(
        version=version, size=len(packed), at=offset, piece=packed[offset : offset + room]
    )


@dataclass(slots=True)
class PlanAssembler:
    """Collect the pieces of one newer plan, proven only by the plan's signature."""

    version: int = 0
    packed: bytes = b""

    def progress(self, version: int) -> pb.PlanHeld:
        """Report the pieces so far, to be sent with the next envelope.

        `version` is the plan in force; pieces of a plan that is not newer are discarded.
        """
        if self.version <= version:
            self.version = 0
            self.packed = b""
        return pb.PlanHeld(version=version, next=self.version, bytes=len(self.packed))

    def add_piece(self, piece: pb.PlanPiece) -> bytes | None:
        """Add a piece and return the serialized SignedPlan once it is complete.

        A piece that does not fit discards the pieces so far.
        """
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
