"""States of the lookout on the disk, so that a restart goes on and an entry can be made again.

Two files each in DATA/detect: POSITION-HASH.state, and POSITION-HASH.opinions with what was heard
since. A state is named by its content's SHA-256, which entries of the log give.
"""

import errno
import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import zstandard

from heliograph_collector.detect.engine import Frame, Lookout, LookoutState
from heliograph_collector.model.thresholds import DETECT_VERSION

FOLDER = "detect"
KEPT = 8 * 24  # hourly states: as long as the journal keeps its rows, and a day
_OPINIONS_KEPT = 48
_MOST = 1 << 30  # bytes of a state, unpacked
_FRAME = 1 << 28
_LENGTH = struct.Struct(">I")
_DAMAGED = (OSError, zstandard.ZstdError, msgspec.MsgspecError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Saved:
    """A state on the disk; `hash` in hex."""

    file: Path
    hash: str

    @property
    def opinions(self) -> Path:
        return self.file.with_suffix(".opinions")


def save(folder: Path, lookout: Lookout) -> Saved:
    """Whole or not at all, durable on return; older ones than are kept go. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = msgspec.json.encode(lookout.state())
    hash_ = hashlib.sha256(content).hexdigest()
    saved = Saved(folder / f"{lookout.position:015d}-{hash_[:16]}.state", hash_)
    new = saved.file.with_suffix(".new")
    with new.open("wb") as stream:
        stream.write(zstandard.ZstdCompressor(3).compress(content))
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(saved.file)
    saved.opinions.write_bytes(b"")
    _forget(folder, saved.file)
    return saved


def states(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted(folder.glob("*.state"), key=_age, reverse=True) if folder.is_dir() else []


def newest(folder: Path, journal: str, last: int, secret: bytes) -> tuple[Lookout, Saved] | None:
    """The newest that can be gone on from: whole, of this journal and detector version, and not
    from beyond the journal's `last` position."""
    for file in states(folder):
        found = load(file, secret)
        if found is None:
            continue
        lookout, hash_ = found
        if lookout.journal == journal and lookout.position <= last:
            return lookout, Saved(file, hash_)
    return None


def load(file: Path, secret: bytes) -> tuple[Lookout, str] | None:
    """None when it is damaged, or of another version."""
    try:
        content = _unpacked(file.read_bytes(), _MOST)
        if msgspec.json.decode(content, type=_Version).version != DETECT_VERSION:
            return None
        state = msgspec.json.decode(content, type=LookoutState)
        return Lookout.of(state, secret), hashlib.sha256(content).hexdigest()
    except _DAMAGED:
        return None


def find(folder: Path, hash_: str) -> Path | None:
    """The state of this hash."""
    return next((f for f in states(folder) if f.stem.rpartition("-")[2] == hash_[:16]), None)


def add(saved: Saved, frame: Frame) -> None:
    """What was heard before a bin closed, in order. Raises OSError: then nothing of it is there."""
    packed = zstandard.ZstdCompressor(3).compress(msgspec.json.encode(frame))
    with saved.opinions.open("ab", buffering=0) as stream:
        size, line = stream.tell(), _LENGTH.pack(len(packed)) + packed
        try:
            if stream.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(saved.opinions))
        except OSError:
            os.ftruncate(stream.fileno(), size)
            raise


def frames(file: Path) -> Iterator[Frame]:
    """In order, up to the first that a crash left half written."""
    for frame, _ in _framed(file):
        yield frame


def mend(file: Path) -> None:
    """Cut off what a crash left half written. Raises OSError."""
    if file.exists():
        os.truncate(file, max((end for _, end in _framed(file)), default=0))


def _framed(file: Path) -> Iterator[tuple[Frame, int]]:
    """With where each ends."""
    try:
        with file.open("rb") as stream:
            while len(head := stream.read(_LENGTH.size)) == _LENGTH.size:
                (length,) = _LENGTH.unpack(head)
                packed = stream.read(min(length, _FRAME))
                yield msgspec.json.decode(_unpacked(packed, _FRAME), type=Frame), stream.tell()
    except _DAMAGED:
        return


class _Version(msgspec.Struct):
    version: int


def _age(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_mtime_ns, int(file.stem.partition("-")[0] or 0)


def _forget(folder: Path, keep: Path) -> None:
    every: Sequence[Path] = states(folder)
    for number, file in enumerate(every):
        if number >= _OPINIONS_KEPT and file != keep:
            file.with_suffix(".opinions").unlink(missing_ok=True)
        if number >= KEPT and file != keep:
            file.unlink(missing_ok=True)


def _unpacked(packed: bytes, most: int) -> bytes:
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=most)
