"""The append-only file of alerts: what was said, when, by which rows and versions.

An entry is on the disk before `append` returns. What a crash left half written is put aside.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliograph.keys import SigningKey
from heliograph_collector.incidents.diff import Revision
from heliograph_collector.incidents.hash_chain import MAX_LINE, Proof, hash_of, line, verify
from heliograph_collector.incidents.record import moment, record
from heliograph_collector.model.thresholds import DETECT_VERSION

FILE = "alerts.jsonl"


class AlertLogError(Exception):
    """The log cannot be gone on with; str() says which entry and why."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """What an entry can be made again from: journal positions, a window, and versions."""

    first_row: int
    last_row: int
    since_us: int
    until_us: int
    versions: Mapping[str, str]  # code and data: heliograph, judge, services, state …
    late: Sequence[tuple[int, int]] = ()  # rows that were read only after these moments


def body(revision: Revision, grounds: Grounds, at_us: int) -> dict[str, Any]:
    return {
        "at": moment(at_us),
        "change": revision.change.value,
        "alert": revision.alert,
        "incident": record(revision.incident),
        "rows": {"first": grounds.first_row, "last": grounds.last_row, **_late(grounds.late)},
        "window": {"since": moment(grounds.since_us), "until": moment(grounds.until_us)},
        "versions": {"detect": str(DETECT_VERSION), **grounds.versions},
    }


def _late(late: Sequence[tuple[int, int]]) -> dict[str, Any]:
    return {"late": [[row, moment(at_us)] for row, at_us in late]} if late else {}


class AlertLog:
    """One writer. The whole chain is verified when it is opened.

    Raises AlertLogError on a log that does not hold, OSError.
    """

    def __init__(self, file: Path, key: SigningKey) -> None:
        self._file = file
        self._key = key
        salvage(file)
        proof = verify(lines_of(file), key.public)
        if proof.bad is not None:
            raise AlertLogError(f"Entry {proof.bad} of {file} is bad: {proof.why}.")
        self._proof = proof

    @property
    def proof(self) -> Proof:
        """How many entries there are, and the last one's hash, to be published."""
        return self._proof

    def append(self, bodies: Sequence[Mapping[str, Any]]) -> Proof:
        """All of them or, after a crash, the first few; durable on return. Raises OSError."""
        self.write(bodies)
        return self._proof

    def write(self, bodies: Sequence[Mapping[str, Any]]) -> list[bytes]:
        """The same; the lines that were written."""
        number, before, lines = self._proof.entries, self._proof.head, []
        for each in bodies:
            number += 1
            entry = line(number, before, each, self._key)
            if len(entry) > MAX_LINE:
                raise AlertLogError(f"Entry {number} would be longer than {MAX_LINE} bytes.")
            before = hash_of(entry)
            lines.append(entry)
        _write(self._file, b"".join(line + b"\n" for line in lines))
        self._proof = Proof(number, before)
        return lines


def lines_of(file: Path) -> Iterator[bytes]:
    """Without their newlines; nothing when there is no file. Raises OSError."""
    if not file.exists():
        return
    with file.open("rb") as stream:
        while raw := stream.readline(MAX_LINE + 2):
            yield raw.removesuffix(b"\n")


def salvage(file: Path) -> int:
    """Cut off a last line without its newline, keep it beside; how many bytes. Raises OSError.

    It was never acknowledged: `append` had not returned.
    """
    if not file.exists():
        return 0
    with file.open("r+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - MAX_LINE - 1))
        tail = stream.read()
        torn = tail[tail.rfind(b"\n") + 1 :]
        if torn:
            file.with_suffix(".torn").write_bytes(torn)
            stream.truncate(size - len(torn))
            os.fsync(stream.fileno())
    return len(torn)


def _write(file: Path, content: bytes) -> None:
    """What could only be written in part is taken back, so that the next one starts a line."""
    new = not file.exists()
    with file.open("ab") as stream:
        size = stream.tell()
        try:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        except OSError:
            os.ftruncate(stream.fileno(), size)
            raise
    if new:
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
