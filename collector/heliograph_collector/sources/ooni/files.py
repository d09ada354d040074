"""Reader of measurement files: JSON or JSON Lines, also gzipped.

An unreadable part becomes a Complaint and does not stop the rest.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar, Literal

from heliograph_collector.sources.json_objects import (
    OVERSIZED_FILE,
    OVERSIZED_LINE,
    LineLimits,
    iterate_lines,
)
from heliograph_collector.sources.ooni.document import OoniMeasurement
from heliograph_collector.sources.typed_reader import read_struct

SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
MAX_BYTES = 16 << 20  # per measurement
MAX_EXPANDED_BYTES = 1 << 30  # per file, unpacked
MAX_MEASUREMENTS = 1_000_000  # per file


@dataclass(frozen=True, slots=True)
class Document:
    path: Path
    line: int  # 0 where the file is one document
    measurement: OoniMeasurement


@dataclass(frozen=True, slots=True)
class Complaint:
    """Description of an unreadable part; str() is a sentence with its place."""

    path: Path
    line: int
    reason: str
    is_readable: ClassVar[Literal[False]] = False  # as opposed to a judged measurement

    def __str__(self) -> str:
        location = f"{self.path}, line {self.line}" if self.line else str(self.path)
        return f"{location}: {self.reason}"


def parse_measurement(document: object) -> OoniMeasurement:
    """Read the fields of a measurement; what is missing or of a wrong type is empty.

    Data format 0.1 (until 2015) had no `test_keys`: the test's own keys lay beside the others.
    """
    if isinstance(document, dict) and "test_keys" not in document:
        document = {**document, "test_keys": document}
    return read_struct(OoniMeasurement, document)


def read_documents(paths: Iterable[Path]) -> Iterator[Document | Complaint]:
    """Read files and directories, sorted by name, without following links."""
    for path in paths:
        if path.is_dir():
            file_paths = sorted(p for p in path.rglob("*") if p.name.endswith(SUFFIXES))
            for file in file_paths:
                if file.is_file() and not file.is_symlink():
                    yield from _read_file(file)
        elif path.is_file():
            yield from _read_file(path)
        else:
            reason = "it is no file and no folder" if path.exists() else "there is no such file"
            yield Complaint(path, 0, reason)


def _read_file(path: Path) -> Iterator[Document | Complaint]:
    try:
        with path.open("rb") as raw, _unpack(path, raw) as file:
            yield from _read_lines(path, file)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        yield Complaint(path, 0, f"it cannot be read on ({reason})")


def _unpack(path: Path, raw: IO[bytes]) -> IO[bytes]:
    if path.name.endswith(".gz"):
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value] # it reads like a file
    return raw


def _read_lines(path: Path, file: IO[bytes]) -> Iterator[Document | Complaint]:
    """Read one document per line if the first line is one, or else one document."""
    first = file.readline(MAX_BYTES + 1)
    may_be_document = first.strip() in (b"{", b"[") or ".jsonl" not in path.name
    if may_be_document and _try_parse(first) is None:
        yield from _read_document(path, first + file.read(max(0, MAX_BYTES + 1 - len(first))))
        return
    limits = LineLimits(MAX_BYTES, MAX_EXPANDED_BYTES, MAX_MEASUREMENTS)
    for number, line in iterate_lines(file, limits, first):
        if line is OVERSIZED_FILE:
            yield Complaint(path, number, "the file is too large; what follows is left out")
        elif line is OVERSIZED_LINE:
            yield Complaint(path, number, f"more than {MAX_BYTES >> 20} MiB in one measurement")
        elif line.strip():
            yield from _parse_items(path, number, line)


def _read_document(path: Path, body: bytes) -> Iterator[Document | Complaint]:
    if not body.strip():
        yield Complaint(path, 0, "the file is empty")
    elif len(body) > MAX_BYTES:
        yield Complaint(path, 0, f"more than {MAX_BYTES >> 20} MiB in one document")
    elif body.count(b"\n{") > 0 and _try_parse(body) is None:
        for number, line in enumerate(body.splitlines(), 1):  # only the first line is broken
            if line.strip():
                yield from _parse_items(path, number, line)
    else:
        yield from _parse_items(path, 0, body)


def _parse_items(path: Path, line: int, body: bytes) -> Iterator[Document | Complaint]:
    try:
        parsed = json.loads(body)
    except RecursionError:
        yield Complaint(path, line, "this is not JSON (nested too deeply)")
        return
    except ValueError as error:
        reason = str(error).replace("\n", " ")[:120]
        yield Complaint(path, line, f"this is not JSON ({reason})")
        return
    for item in parsed if isinstance(parsed, list) else [parsed]:
        if isinstance(item, dict):
            yield Document(path, line, parse_measurement(item))
        else:
            yield Complaint(path, line, "this is JSON, and no measurement")


def _try_parse(body: bytes) -> object | None:
    try:
        return json.loads(body) if body.strip() else None
    except (ValueError, RecursionError):
        return None
