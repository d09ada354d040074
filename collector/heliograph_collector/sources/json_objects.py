"""Reader of untrusted files within limits: plain, gzip, bzip2; JSON or JSON Lines."""

import bz2
import gzip
import json
import lzma
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

from heliograph_collector.sources.complaints import (
    Complaints,
    ImportRefusedError,
    describe_location,
)

MAX_DOCUMENT_BYTES = 64 << 20  # of one JSON document or table, unpacked
MAX_EXPANDED_BYTES = 1 << 30  # of one file that is read line by line
MAX_LINE_BYTES = 1 << 20
MAX_ROWS = 2_000_000
MAX_STEPS = 200_000  # per series: almost two years in steps of 5 minutes, four months of one
OVERSIZED_LINE = b"\0line"  # markers, compared by identity
OVERSIZED_FILE = b"\0file"
_HEAD = 1 << 16


class LineLimits(NamedTuple):
    line_bytes: int
    file_bytes: int  # unpacked
    lines: int


class JsonObject(NamedTuple):
    """One object of a file, for `read_struct`; line 0 if the file is one document."""

    line: int
    fields: Mapping[str, object]


@contextmanager
def open_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, unpacking by its first bytes. Raises ImportRefusedError."""
    try:
        with path.open("rb") as raw:
            begins = raw.read(3)
            raw.seek(0)
            if begins[:2] == b"\x1f\x8b":
                yield cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
            elif begins == b"BZh":
                yield cast("IO[bytes]", bz2.BZ2File(raw))
            else:
                yield raw
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImportRefusedError(f"{path} cannot be read ({reason}): name another file.") from error


def read_head(path: Path) -> bytes:
    """Read the beginning without a byte order mark."""
    with open_file(path) as file:
        return file.read(_HEAD).removeprefix(b"\xef\xbb\xbf")


def read_file(path: Path) -> bytes:
    with open_file(path) as file:
        body = file.read(MAX_DOCUMENT_BYTES + 1)
    if len(body) > MAX_DOCUMENT_BYTES:
        raise ImportRefusedError(
            f"{path} is one document of more than {MAX_DOCUMENT_BYTES >> 20} MiB: "
            "ask for a shorter time, or for one result a line."
        )
    return body.removeprefix(b"\xef\xbb\xbf")


def looks_like_json(path: Path) -> bool:
    return read_head(path).lstrip()[:1] in (b"{", b"[")


def read_objects(path: Path, complaints: Complaints) -> Iterator[JsonObject]:
    """Yield each JSON object, from lines or one document.

    Lists are flattened, and so are frames of a stream, `[name, object]`.
    """
    beginning = read_head(path)
    first, newline, rest = beginning.lstrip().partition(b"\n")
    if newline and rest.strip() and _parse_json(first) is not None:
        yield from _read_lines(path, complaints)
        return
    body = read_file(path)
    document = _parse_json(body)
    if document is not None:
        yield from _number_objects(0, document)
    elif b"\n" in body.strip():  # perhaps only the first line is broken
        yield from _read_lines(path, complaints)
    else:
        complaints.add(describe_location(path), "this is not JSON")


def _read_lines(path: Path, complaints: Complaints) -> Iterator[JsonObject]:
    """Read lines; when the file breaks off, keep the lines before."""
    try:
        yield from _each_line(path, complaints)
    except ImportRefusedError as error:
        complaints.add(describe_location(path), f"it breaks off: {error}".rstrip("."))


def _each_line(path: Path, complaints: Complaints) -> Iterator[JsonObject]:
    limits = LineLimits(MAX_LINE_BYTES, MAX_EXPANDED_BYTES, MAX_ROWS)
    with open_file(path) as file:
        for number, line in iterate_lines(file, limits):
            location = describe_location(path, number)
            if line is OVERSIZED_LINE:
                complaints.add(location, f"more than {MAX_LINE_BYTES >> 20} MiB in one line")
            elif line is OVERSIZED_FILE:
                complaints.add(location, "the file is too large; the rest is left out")
            else:
                yield from _parse_line(path, number, line, complaints)


def iterate_lines(
    file: IO[bytes], limits: LineLimits, first: bytes | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yield (number, line), with OVERSIZED_LINE and OVERSIZED_FILE beyond the limits.

    Args:
        first: The first line, if it was read already.
    """
    remaining_bytes = limits.file_bytes
    number = 1
    line = file.readline(limits.line_bytes + 1) if first is None else first
    while line:
        remaining_bytes -= len(line)
        if remaining_bytes < 0 or number > limits.lines:
            yield number, OVERSIZED_FILE
            return
        if len(line) > limits.line_bytes:
            remaining_bytes -= _skip_line(file, limits.file_bytes)
            line = OVERSIZED_LINE
        yield number, line
        number += 1
        line = file.readline(limits.line_bytes + 1)


def _parse_line(
    path: Path, line_number: int, line: bytes, complaints: Complaints
) -> Iterator[JsonObject]:
    line = line.removeprefix(b"\xef\xbb\xbf").strip().removesuffix(b",")
    if line in (b"", b"[", b"]"):
        return
    document = _parse_json(line)
    if document is None:
        complaints.add(describe_location(path, line_number), "this is not JSON")
        return
    yield from _number_objects(line_number, document)


def _skip_line(file: IO[bytes], max_bytes: int) -> int:
    skipped = 0
    while skipped < max_bytes:
        piece = file.readline(MAX_LINE_BYTES)
        skipped += len(piece)
        if not piece or piece.endswith(b"\n"):
            break
    return skipped


def _parse_json(body: bytes) -> object:
    try:
        return cast("object", json.loads(body))
    except (ValueError, RecursionError):
        return None


def _number_objects(line: int, document: object) -> Iterator[JsonObject]:
    return (JsonObject(line, fields) for fields in iterate_objects(document))


def iterate_objects(value: object, depth: int = 4) -> Iterator[Mapping[str, object]]:
    """Yield an object, or the objects of nested lists."""
    if isinstance(value, dict):
        yield value
    elif isinstance(value, list) and depth:
        for item in value:
            yield from iterate_objects(item, depth - 1)
