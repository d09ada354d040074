"""Store upper bounds of all given sequence numbers in a file beside the database.

A database that lost its last commits, by a bad disk or a restored backup, would give numbers twice,
and the collector would treat new results as duplicates. So the highest number is written here
first, in blocks. Two slots are written in turn and in
place. An interrupted write leaves the other slot intact, and a full disk changes nothing.
"""

import os
import struct
import zlib
from dataclasses import dataclass, replace
from io import FileIO
from operator import itemgetter
from pathlib import Path

BLOCK = 1_024  # measurement numbers reserved at a time
ENVELOPE_BLOCK = 64  # fewer, because each start skips the rest
_SLOT = struct.Struct(">QQQ")  # turn, measurement, envelope
_SIZE = _SLOT.size + 4  # and a CRC-32
_SLOT_OFFSETS = (0, 512)  # one slot per sector


@dataclass(frozen=True, slots=True)
class HighestSequences:
    """Hold upper bounds of all given numbers."""

    measurement: int = 0
    envelope: int = 0


class SequenceMarks:
    """Read and write the two slots of the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read_marks(self) -> HighestSequences | None:
        """Read the marks; return None without an intact slot. Raises OSError."""
        turn, marks = self._read_newest()
        return marks if turn else None

    def reserve_measurements(self, measurement: int) -> None:
        """Reserve a block before `measurement` is given. Raises OSError."""
        turn, marks = self._read_newest()
        if measurement > marks.measurement:
            self._write_slot(turn + 1, replace(marks, measurement=measurement + BLOCK))

    def reserve_envelopes(self, envelope: int) -> None:
        """Reserve a block before `envelope` is given. Raises OSError."""
        turn, marks = self._read_newest()
        if envelope > marks.envelope:
            self._write_slot(turn + 1, replace(marks, envelope=envelope + ENVELOPE_BLOCK))

    def record_offer(self, measurement: int, envelope: int) -> None:
        """Record the highest envelope and measurement before an envelope is sent.

        It uses a separate file, for `SpoolOperations.drop_doubtful`. Raises OSError.
        """
        turn, marks = self._read_newest()
        if envelope > marks.envelope:
            self._write_slot(turn + 1, HighestSequences(measurement, envelope))

    def _read_newest(self) -> tuple[int, HighestSequences]:
        """Return turn and marks; turn 0 without an intact slot."""
        try:
            with self._path.open("rb", buffering=0) as file:
                slots = [_read_slot(file, offset) for offset in _SLOT_OFFSETS]
        except FileNotFoundError:
            return 0, HighestSequences()
        return max(filter(None, slots), key=itemgetter(0), default=(0, HighestSequences()))

    def _write_slot(self, turn: int, marks: HighestSequences) -> None:
        packed = _SLOT.pack(turn, marks.measurement, marks.envelope)
        slot = packed + zlib.crc32(packed).to_bytes(4, "big")
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(handle, "wb", buffering=0) as file:
            file.seek(_SLOT_OFFSETS[turn % 2])
            file.write(slot)
            os.fsync(handle)


def _read_slot(file: FileIO, offset: int) -> tuple[int, HighestSequences] | None:
    file.seek(offset)
    return _parse_slot(file.read(_SIZE))


def _parse_slot(data: bytes) -> tuple[int, HighestSequences] | None:
    if len(data) < _SIZE or zlib.crc32(data[:-4]).to_bytes(4, "big") != data[-4:]:
        return None
    turn, measurement, envelope = _SLOT.unpack(data[:-4])
    return turn, HighestSequences(measurement, envelope)
