"""Checkpoints of the detector engine, to resume it and to reproduce log entries.

Each has two files in DATA/detect: POSITION-HASH.state, and POSITION-HASH.opinions with the votes
since. HASH is the start of the SHA-256 of the state, which log entries name in full.
"""

import errno
import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from heliograph.durable_file import replace_file
from heliograph.zstd_frame import compress_frame, decompress_frame
from heliograph_collector.detect.engine import DetectorEngine, EngineState, ReplayBatch
from heliograph_collector.model.thresholds import DETECT_VERSION

FOLDER = "detect"
MAX_STATES = 8 * 24  # hourly: one day more than the journal keeps its rows (a week)
_MAX_VOTE_FILES = 48  # hourly: two days; assumed
_MAX_STATE_BYTES = 1 << 30  # bytes of a state, unpacked; assumed, as is the next limit
_MAX_BATCH_BYTES = 1 << 28
_LENGTH = struct.Struct(">I")
_DAMAGED = (OSError, msgspec.MsgspecError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class SavedState:
    """A saved state; `hash` in hex."""

    file: Path
    hash: str

    @property
    def votes_file(self) -> Path:
        return self.file.with_suffix(".opinions")


def save_state(folder: Path, engine: DetectorEngine) -> SavedState:
    """Save a state atomically and durably, and delete old ones. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = msgspec.json.encode(engine.state())
    hash_ = hashlib.sha256(content).hexdigest()
    saved_state = SavedState(folder / f"{engine.position:015d}-{hash_[:16]}.state", hash_)
    replace_file(saved_state.file, compress_frame(content))
    saved_state.votes_file.write_bytes(b"")
    _delete_old(folder, saved_state.file)
    return saved_state


def age_other_states(folder: Path, newest: SavedState) -> None:
    """Make the newest state the youngest file, despite wrong clocks. Raises OSError."""
    modified_ns = newest.file.stat().st_mtime_ns
    for file in folder.glob("*.state"):
        if file != newest.file and file.stat().st_mtime_ns >= modified_ns:
            os.utime(file, ns=(modified_ns - 1, modified_ns - 1))


def list_states(folder: Path) -> list[Path]:
    """List state files, newest first."""
    return sorted(folder.glob("*.state"), key=_age_key, reverse=True) if folder.is_dir() else []


def load_newest(
    folder: Path, journal: str, last_position: int, secret: bytes
) -> tuple[DetectorEngine, SavedState] | None:
    """Load the newest usable state; None if there is none.

    It must be complete, of this journal and detector version, and not beyond `last_position`.
    """
    for file in list_states(folder):
        loaded = load_state(file, secret)
        if loaded is None:
            continue
        engine, hash_ = loaded
        if engine.journal == journal and engine.position <= last_position:
            return engine, SavedState(file, hash_)
    return None


def load_state(file: Path, secret: bytes) -> tuple[DetectorEngine, str] | None:
    """Load a state; None if it is damaged or of another version."""
    try:
        content = decompress_frame(file.read_bytes(), _MAX_STATE_BYTES)
        if read_state_version(content) != DETECT_VERSION:
            return None
        state = msgspec.json.decode(content, type=EngineState)
        return DetectorEngine.from_state(state, secret), hashlib.sha256(content).hexdigest()
    except _DAMAGED:
        return None


def read_state_version(content: bytes) -> int:
    """Read the detector version of an unpacked state. Raises ValueError."""
    return msgspec.json.decode(content, type=_StateVersion).version


def find_state(folder: Path, hash_: str) -> Path | None:
    """Find the state file of a hash; None if it is gone."""
    return next((f for f in list_states(folder) if f.stem.rpartition("-")[2] == hash_[:16]), None)


def append_batch(saved_state: SavedState, batch: ReplayBatch) -> None:
    """Append a batch of votes. Raises OSError; then nothing is appended."""
    packed = compress_frame(msgspec.json.encode(batch))
    with saved_state.votes_file.open("ab", buffering=0) as stream:
        size = stream.tell()
        record = _LENGTH.pack(len(packed)) + packed
        try:
            if stream.write(record) != len(record):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(saved_state.votes_file))
        except OSError:
            os.ftruncate(stream.fileno(), size)
            raise


def read_batches(file: Path) -> Iterator[ReplayBatch]:
    """Read batches in order, up to the first that a crash left incomplete."""
    for batch, _ in _read_with_offsets(file):
        yield batch


def find_whole_end(content: bytes) -> int:
    """Find the end of the last batch that is whole, in bytes of a file of batches."""
    end = 0
    while len(header := content[end : end + _LENGTH.size]) == _LENGTH.size:
        next_end = end + _LENGTH.size + _LENGTH.unpack(header)[0]
        if next_end > len(content):
            break
        end = next_end
    return end


def repair(file: Path) -> None:
    """Truncate a batch that a crash left incomplete. Raises OSError."""
    if file.exists():
        os.truncate(file, max((end for _, end in _read_with_offsets(file)), default=0))


def _read_with_offsets(file: Path) -> Iterator[tuple[ReplayBatch, int]]:
    """Read batches, each with the offset of its end."""
    try:
        with file.open("rb") as stream:
            while len(header := stream.read(_LENGTH.size)) == _LENGTH.size:
                (length,) = _LENGTH.unpack(header)
                packed_batch = stream.read(min(length, _MAX_BATCH_BYTES))
                yield (
                    msgspec.json.decode(
                        decompress_frame(packed_batch, _MAX_BATCH_BYTES), type=ReplayBatch
                    ),
                    stream.tell(),
                )
    except _DAMAGED:
        return


class _StateVersion(msgspec.Struct):
    version: int


def _age_key(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_mtime_ns, int(file.stem.partition("-")[0] or 0)


def _delete_old(folder: Path, keep: Path) -> None:
    all_states: Sequence[Path] = list_states(folder)
    for number, file in enumerate(all_states):
        if number >= _MAX_VOTE_FILES and file != keep:
            file.with_suffix(".opinions").unlink(missing_ok=True)
        if number >= MAX_STATES and file != keep:
            file.unlink(missing_ok=True)
