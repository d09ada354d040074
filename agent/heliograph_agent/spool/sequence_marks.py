"""The numbers that may have been given already, kept beside the database.

A database that lost its last commits, to a bad disk or a hasty restore, would give numbers twice,
and the collector would take new results for duplicates. So the highest number given is written
here first: measurements in blocks, envelopes one by one. Two slots are written in turn, in place:
a write that is cut short leaves the other slot whole, and a full disk changes nothing.
"""

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

BLOCK = 1_024  # measurement numbers reserved at a time
_SLOT = struct.Struct(">QQQ")  # turn, measurement, envelope
_SIZE = _SLOT.size + 4  # and a CRC-32
_AT = (0, 512)  # one slot per sector


@dataclass(frozen=True, slots=True)
class Marks:
    """No number above these was ever given."""

    measurement: int = 0
    envelope: int = 0


class Floor:
    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Marks | None:
        """None when there is no file, or no slot of it is whole. Raises OSError."""
        _, marks = self._newest()
        return marks

    def reserve(self, measurement: int) -> None:
        """Before `measurement` is given. Raises OSError."""
        turn, marks = self._newest()
        if marks is None or measurement > marks.measurement:
            envelope = marks.envelope if marks else 0
            self._write(turn + 1, Marks(measurement + BLOCK, envelope))

    def give(self, envelope: int) -> None:
        """Before `envelope` is given. Raises OSError."""
        turn, marks = self._newest()
        if marks is None or envelope > marks.envelope:
            self._write(turn + 1, Marks(marks.measurement if marks else 0, envelope))

    def offer(self, measurement: int, envelope: int) -> None:
        """Before an envelope goes out: the highest one, and the highest result given by then.

        In a file of its own; what comes of it says `Book.forget_doubtful`. Raises OSError.
        """
        turn, marks = self._newest()
        if marks is None or envelope > marks.envelope:
            self._write(turn + 1, Marks(measurement, envelope))

    def _newest(self) -> tuple[int, Marks | None]:
        try:
            handle = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return 0, None
        try:
            slots = [_slot(os.pread(handle, _SIZE, at)) for at in _AT]
        finally:
            os.close(handle)
        return max((slot for slot in slots if slot), key=lambda slot: slot[0], default=(0, None))

    def _write(self, turn: int, marks: Marks) -> None:
        packed = _SLOT.pack(turn, marks.measurement, marks.envelope)
        slot = packed + zlib.crc32(packed).to_bytes(4, "big")
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(handle, slot, _AT[turn % 2])
            os.fsync(handle)
        finally:
            os.close(handle)


def _slot(data: bytes) -> tuple[int, Marks] | None:
    if len(data) < _SIZE or zlib.crc32(data[:-4]).to_bytes(4, "big") != data[-4:]:
        return None
    turn, measurement, envelope = _SLOT.unpack(data[:-4])
    return turn, Marks(measurement, envelope)
