"""Finds measurements in files: JSON of one or many, one a line, each also gzipped.

Nothing in a file stops the rest: what cannot be read is a Complaint with its place.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
MOST_BYTES = 16 << 20  # of one measurement
MOST_EXPANDED = 1 << 30  # of one file, unpacked
MOST_MEASUREMENTS = 1_000_000  # of one file


@dataclass(frozen=True, slots=True)
class Document:
    """One measurement, not yet looked into."""

    path: Path
    line: int  # 0 where the file is one document
    json: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Complaint:
    """What could not be read; str() is a sentence with its place."""

    path: Path
    line: int
    why: str

    def __str__(self) -> str:
        place = f"{self.path}, line {self.line}" if self.line else str(self.path)
        return f"{place}: {self.why}"


def documents(paths: Iterable[Path]) -> Iterator[Document | Complaint]:
    """Folders are walked by name; links in them are not followed."""
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.name.endswith(SUFFIXES))
            for file in found:
                if file.is_file() and not file.is_symlink():
                    yield from _file(file)
        elif path.is_file():
            yield from _file(path)
        else:
            why = "it is no file and no folder" if path.exists() else "there is no such file"
            yield Complaint(path, 0, why)


def _file(path: Path) -> Iterator[Document | Complaint]:
    try:
        with path.open("rb") as raw, _unpacked(path, raw) as file:
            yield from _lines(path, file)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        yield Complaint(path, 0, f"it cannot be read on ({reason})")


def _unpacked(path: Path, raw: IO[bytes]) -> IO[bytes]:
    if path.name.endswith(".gz"):
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value] # reads as one
    return raw


def _lines(path: Path, file: IO[bytes]) -> Iterator[Document | Complaint]:
    """One document a line when the first line is one; else the whole file is one."""
    first = file.readline(MOST_BYTES + 1)
    one = first.strip() in (b"{", b"[") or ".jsonl" not in path.name
    if one and _parsed(first) is None:
        yield from _whole(path, first + file.read(max(0, MOST_BYTES + 1 - len(first))))
        return
    number, line, room = 1, first, MOST_EXPANDED
    while line:
        room -= len(line)
        if room < 0 or number > MOST_MEASUREMENTS:
            yield Complaint(path, number, "the file is too large; what follows is left out")
            return
        if len(line) > MOST_BYTES:
            yield Complaint(path, number, f"more than {MOST_BYTES >> 20} MiB in one measurement")
            room -= _skip(file)
        elif line.strip():
            yield from _items(path, number, line)
        number, line = number + 1, file.readline(MOST_BYTES + 1)


def _skip(file: IO[bytes]) -> int:
    """To the line's end, which need not come."""
    skipped = 0
    while skipped < MOST_EXPANDED:
        piece = file.readline(1 << 20)
        skipped += len(piece)
        if not piece or piece.endswith(b"\n"):
            break
    return skipped


def _whole(path: Path, body: bytes) -> Iterator[Document | Complaint]:
    if not body.strip():
        yield Complaint(path, 0, "the file is empty")
    elif len(body) > MOST_BYTES:
        yield Complaint(path, 0, f"more than {MOST_BYTES >> 20} MiB in one document")
    elif body.count(b"\n{") > 0 and _parsed(body) is None:
        for number, line in enumerate(body.splitlines(), 1):  # the first line alone is broken
            if line.strip():
                yield from _items(path, number, line)
    else:
        yield from _items(path, 0, body)


def _items(path: Path, line: int, body: bytes) -> Iterator[Document | Complaint]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        yield Complaint(path, line, f"this is not JSON ({_reason(error)})")
        return
    for item in found if isinstance(found, list) else [found]:
        if isinstance(item, dict):
            yield Document(path, line, item)
        else:
            yield Complaint(path, line, "this is JSON, and no measurement")


def _parsed(body: bytes) -> object | None:
    try:
        return json.loads(body) if body.strip() else None
    except (ValueError, RecursionError):
        return None


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error).replace("\n", " ")[:120]
