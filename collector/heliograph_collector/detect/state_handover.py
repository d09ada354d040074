"""Hand over what a leading collector has learned, as bytes for the next leader.

The newest checkpoint is handed over whole, then the votes since as they are appended to its file.
With them go the small files beside it: amendments, the position of the verdicts, the beginning.
The collector that takes that over resumes as after a restart.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from heliograph.durable_file import replace_file
from heliograph.zstd_frame import compress_frame, decompress_frame
from heliograph_collector.detect.checkpoint import (
    FOLDER,
    SavedState,
    age_other_states,
    find_whole_end,
    list_states,
    read_state_version,
)
from heliograph_collector.detect.state import SMALL_FILES
from heliograph_collector.model.thresholds import DETECT_VERSION

MAX_STATE_BYTES = 256 * 1_048_576  # packed, as its file is; assumed
_MAX_BESIDE_BYTES = 64 * 1_048_576  # of the small files, unpacked; assumed
_MAX_PACKED_BESIDE_BYTES = 1_048_576  # servers take messages of twice as much


class StateHandoverError(Exception):
    """The state of the last leader is unusable, or too large to be handed over."""


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """The name of a checkpoint, and the small files beside it by name."""

    state: str
    state_bytes: int  # of its file; what follows are votes
    files: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class StateNews:
    """Content of the state that is new since the last reading."""

    is_other: bool  # the content begins with another checkpoint
    beside: bytes
    content: bytes


class StateReader:
    """Reader of the checkpoints in a data directory while detectors write them."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER
        self._state = ""
        self._state_bytes = 0
        self._votes_end = 0
        self._beside = b""

    def forget(self) -> None:
        """Read all again the next time: what was read last was not stored."""
        self._state = ""

    def read_news(self) -> StateNews | None:
        """Return new content, or None. Raises OSError, StateHandoverError."""
        newest = next(iter(list_states(self._folder)), None)
        if newest is None:
            return None
        files = self._read_small_files()  # before the votes: their position may be too early only
        votes = newest.with_suffix(".opinions")
        is_other = newest.name != self._state or votes.stat().st_size < self._votes_end
        content = b""
        if is_other:
            content = newest.read_bytes()
            if len(content) > MAX_STATE_BYTES:
                raise StateHandoverError(f"{newest.name} has {len(content)} bytes")
            self._state_bytes = len(content)
            self._votes_end = 0
        with votes.open("rb") as stream:
            stream.seek(self._votes_end)
            new_votes = stream.read()
        new_votes = new_votes[: find_whole_end(new_votes)]
        self._state = newest.name
        self._votes_end += len(new_votes)
        beside = compress_frame(
            msgspec.msgpack.encode(
                Beside(state=newest.name, state_bytes=self._state_bytes, files=files)
            )
        )
        if len(beside) > _MAX_PACKED_BESIDE_BYTES:
            raise StateHandoverError(f"the files beside {newest.name} have {len(beside)} bytes")
        if not is_other and not new_votes and beside == self._beside:
            return None
        self._beside = beside
        return StateNews(is_other, beside, content + new_votes)

    def _read_small_files(self) -> dict[str, bytes]:
        files: dict[str, bytes] = {}
        for name in SMALL_FILES:
            with suppress(FileNotFoundError):
                files[name] = (self._folder / name).read_bytes()
        return files


def adopt_state(data: Path, beside: bytes, content: bytes) -> str:
    """Write the last leader's state as the newest checkpoint; return its name.

    Returns:
        "" if this directory has a checkpoint as new.

    Raises OSError, StateHandoverError.
    """
    folder = data / FOLDER
    handed = _decode_beside(beside)
    packed = content[: handed.state_bytes]
    hash_ = _check_state(handed.state, packed)
    own = max((_read_position(file.name) for file in list_states(folder)), default=-1)
    if own >= _read_position(handed.state):
        return ""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, small in handed.files.items():
        if name in SMALL_FILES:
            replace_file(folder / name, small)
    state = SavedState(folder / handed.state, hash_)
    votes = content[handed.state_bytes :]
    replace_file(state.votes_file, votes[: find_whole_end(votes)])
    replace_file(state.file, packed)  # last: votes without a state are nothing
    age_other_states(folder, state)
    return handed.state


def _decode_beside(beside: bytes) -> Beside:
    try:
        unpacked = decompress_frame(beside, _MAX_BESIDE_BYTES)
        handed = msgspec.msgpack.decode(unpacked, type=Beside)
        _read_position(handed.state)
    except ValueError as error:  # those of both libraries are
        raise StateHandoverError("it is of another version") from error
    return handed


def _check_state(name: str, packed: bytes) -> str:
    """Check that a checkpoint is whole and of this version; return its hash."""
    try:
        content = decompress_frame(packed, 4 * MAX_STATE_BYTES)
        version = read_state_version(content)
    except ValueError as error:
        raise StateHandoverError("it is damaged") from error
    hash_ = hashlib.sha256(content).hexdigest()
    if name.removesuffix(".state").partition("-")[2] != hash_[:16]:
        raise StateHandoverError("it is damaged")
    if version != DETECT_VERSION:
        raise StateHandoverError(f"it is of detector {version}, and this is {DETECT_VERSION}")
    return hash_


def _read_position(name: str) -> int:
    """Read the position in a checkpoint's name. Raises ValueError."""
    position, _, hash_ = name.removesuffix(".state").partition("-")
    if not hash_.isalnum():
        raise ValueError(f"{name!r} names no checkpoint")
    return int(position)
