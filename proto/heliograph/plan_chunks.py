"""A plan piece by piece, for agents that no session reaches: as much as each answer has room for.

On a network that freezes flows after some 25 packets, answer and envelope share them. Pure.
"""

import re
from dataclasses import dataclass

import zstandard

from heliograph.v1 import intake_pb2 as pb

MAX_PACKED = 262_144  # bytes of a whole frame
MAX_PLAN = 1_048_576  # … and of what is in it
MUCH, LITTLE = 4_096, 1_000  # bytes of a piece
_SMALL, _LARGE = 2_048 + 64, 6_144 + 64  # bytes of an envelope: up to, and from
_HELD = re.compile(r"([0-9]{1,19})(?: ([0-9]{1,19})/([0-9]{1,7}))?")


def pack(signed: bytes) -> bytes:
    """A serialized SignedPlan as it is cut up."""
    return zstandard.ZstdCompressor(level=19, write_content_size=True).compress(signed)


def unpack(packed: bytes) -> bytes:
    """Raises ValueError: what came is no frame of ours."""
    try:
        if zstandard.get_frame_parameters(packed).content_size > MAX_PLAN:
            raise ValueError("a plan that is too large")
        return zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ValueError("not a frame") from error


def held_text(held: pb.PlanHeld) -> str:
    """`5`, or `5 6/4096` where 4096 bytes of version 6 are there."""
    return f"{held.version} {held.next}/{held.bytes}" if held.bytes else str(held.version)


def held_from(text: str) -> pb.PlanHeld | None:
    """None for anything else than `held_text` writes."""
    found = _HELD.fullmatch(text)
    if found is None:
        return None
    version, after, size = (int(part or 0) for part in found.groups())
    return pb.PlanHeld(version=version, next=after, bytes=size)


def cut(packed: bytes, version: int, held: pb.PlanHeld, envelope_bytes: int) -> pb.PlanPiece | None:
    """The next piece of plan `version`; None for who has it already, or where it is too large."""
    if held.version >= version or not 0 < len(packed) <= MAX_PACKED:
        return None
    room = LITTLE if _SMALL < envelope_bytes <= _LARGE else MUCH
    at = held.bytes if held.next == version and held.bytes < len(packed) else 0
    return pb.PlanPiece(version=version, size=len(packed), at=at, piece=packed[at : at + room])


@dataclass(slots=True)
class Gathered:
    """What has come of one newer plan. The pieces are nobody's word: the plan's signature is."""

    version: int = 0
    packed: bytes = b""

    def held(self, version: int) -> pb.PlanHeld:
        """To be said with the next envelope; `version` is the plan gone by."""
        if self.version <= version:
            self.version, self.packed = 0, b""
        return pb.PlanHeld(version=version, next=self.version, bytes=len(self.packed))

    def take(self, piece: pb.PlanPiece) -> bytes | None:
        """The serialized SignedPlan once it is whole. What does not fit is begun anew."""
        if piece.at == 0:
            self.version, self.packed = piece.version, b""
        fits = piece.version == self.version and piece.at == len(self.packed)
        if not fits or not piece.piece or piece.size > MAX_PACKED:
            self.version, self.packed = 0, b""
            return None
        self.packed += piece.piece[: piece.size - piece.at]
        if len(self.packed) < piece.size:
            return None
        packed, self.packed = self.packed, b""
        try:
            return unpack(packed)
        except ValueError:
            return None
