"""Reader of measurement files: JSON or JSON Lines, also gzipped.

An unreadable part becomes a Complaint and does not stop the rest. Reading has two steps, so that
other processes can do the second one: files to texts, and a text to its measurements.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar, Literal

import msgspec

from heliograph_collector.sources.json_objects import (
    OVERSIZED_FILE,
    OVERSIZED_LINE,
    LineLimits,
    iterate_lines,
)
from heliograph_collector.sources.ooni.document import OoniDocument
from heliograph_collector.sources.typed_reader import CUT_ROWS, read_struct

SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
MAX_BYTES = 16 << 20  # per measurement
MAX_EXPANDED_BYTES = 1 << 30  # per file, unpacked; `--max-expanded` sets another
MAX_MEASUREMENTS = 1_000_000  # per file


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a measurement, or of a list of them."""

    path: Path
    line: int  # 0 where the file is one document
    body: bytes


@dataclass(frozen=True, slots=True)
class Document:
    path: Path
    line: int
    measurement: OoniDocument


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


def parse_measurement(document: object) -> OoniDocument:
    """Read the fields of a measurement; missing or mistyped fields are empty.

    Data format 0.1 (until 2015) had no `test_keys`: the test's own keys lay beside the others.
    """
    if isinstance(document, dict) and "test_keys" not in document:
        document = {**document, "test_keys": document}
    cut_rows: list[int] = []
    token = CUT_ROWS.set(cut_rows)
    try:
        measurement = read_struct(OoniDocument, document)
    finally:
        CUT_ROWS.reset(token)
    return msgspec.structs.replace(measurement, cut_rows=sum(cut_rows))


def read_documents(paths: Iterable[Path]) -> Iterator[Document | Complaint]:
    """Read files and directories, sorted by name, without following links."""
    for text in read_texts(paths):
        if isinstance(text, Text):
            yield from parse_text(text)
        else:
            yield text


def read_texts(
    paths: Iterable[Path], max_expanded: int | None = None
) -> Iterator[Text | Complaint]:
    """Read the texts of files and directories, `max_expanded` bytes unpacked at most.

    The limit holds for each file.
    """
    limit = MAX_EXPANDED_BYTES if max_expanded is None else max_expanded
    for path in list_files(paths):
        if isinstance(path, Complaint):
            yield path
        else:
            yield from _read_file(path, limit)


def list_files(paths: Iterable[Path]) -> Iterator[Path | Complaint]:
    """List the files of `paths` and of their directories."""
    for path in paths:
        if path.is_dir():
            named = sorted(p for p in path.rglob("*") if p.name.endswith(SUFFIXES))
            file_paths = [p for p in named if p.is_file() and not p.is_symlink()]
            yield from file_paths
            if not file_paths:
                yield Complaint(path, 0, f"it has no file ending in {', '.join(SUFFIXES)}")
        elif path.is_file():
            yield path
        else:
            reason = "it is no file and no folder" if path.exists() else "there is no such file"
            yield Complaint(path, 0, reason)


def _read_file(path: Path, max_expanded: int) -> Iterator[Text | Complaint]:
    try:
        with path.open("rb") as raw, _unpack(path, raw) as file:
            yield from _read_lines(path, file, max_expanded)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        yield Complaint(path, 0, f"it cannot be read on ({reason})")


def _unpack(path: Path, raw: IO[bytes]) -> IO[bytes]:
    if path.name.endswith(".gz"):
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value] # it reads like a file
    return raw


def _read_lines(path: Path, file: IO[bytes], max_expanded: int) -> Iterator[Text | Complaint]:
    """Read one text per line if the first line is a document, or else one text."""
    most = min(MAX_BYTES, max_expanded)  # of one text
    first = file.readline(most + 1)
    may_be_document = first.strip() in (b"{", b"[") or ".jsonl" not in path.name
    if may_be_document and not _is_json(first):
        yield from _read_document(path, first + file.read(max(0, most + 1 - len(first))), most)
        return
    limits = LineLimits(MAX_BYTES, max_expanded, MAX_MEASUREMENTS)
    for number, line in iterate_lines(file, limits, first):
        if line is OVERSIZED_FILE:
            yield Complaint(path, number, describe_limit(max_expanded))
        elif line is OVERSIZED_LINE:
            yield Complaint(path, number, f"more than {MAX_BYTES >> 20} MiB in one measurement")
        elif line.strip():
            yield Text(path, number, line)


def describe_limit(max_expanded: int) -> str:
    return (
        f"the file is too large: what follows {max_expanded} bytes unpacked (--max-expanded), or "
        f"{MAX_MEASUREMENTS} measurements, is left out"
    )


def _read_document(path: Path, body: bytes, most: int) -> Iterator[Text | Complaint]:
    if not body.strip():
        yield Complaint(path, 0, "the file is empty")
    elif len(body) > most:
        is_whole = most == MAX_BYTES
        reason = f"more than {most >> 20} MiB in one document" if is_whole else describe_limit(most)
        yield Complaint(path, 0, reason)
    elif body.count(b"\n{") > 0 and not _is_json(body):
        for number, line in enumerate(body.splitlines(), 1):  # only the first line is broken
            if line.strip():
                yield Text(path, number, line)
    else:
        yield Text(path, 0, body)


def parse_text(text: Text) -> Iterator[Document | Complaint]:
    """Parse the measurements of a text."""
    for item in parse_objects(text):
        if isinstance(item, Complaint):
            yield item
        else:
            yield Document(text.path, text.line, parse_measurement(item))


def parse_objects(text: Text) -> Iterator[Mapping[str, object] | Complaint]:
    """Parse the JSON objects of a text."""
    try:
        parsed = json.loads(text.body)
    except RecursionError:
        yield Complaint(text.path, text.line, "this is not JSON (nested too deeply)")
        return
    except ValueError as error:
        reason = str(error).replace("\n", " ")[:120]
        yield Complaint(text.path, text.line, f"this is not JSON ({reason})")
        return
    for item in parsed if isinstance(parsed, list) else [parsed]:
        if isinstance(item, dict):
            yield item
        else:
            yield Complaint(text.path, text.line, "this is JSON, and no measurement")


def _is_json(body: bytes) -> bool:
    try:
        return bool(body.strip()) and json.loads(body) is not None
    except (ValueError, RecursionError):
        return False
