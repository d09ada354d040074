"""Files that anybody may have made, within limits: plain, gzip, bzip2; JSON, or lines of it."""

import bz2
import gzip
import json
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from heliograph_collector.sources.complaints import Complaints, ImportRefusedError, place

MOST_DOCUMENT = 64 << 20  # bytes of one JSON document or table, unpacked
MOST_EXPANDED = 1 << 30  # of one file that is read line by line
MOST_LINE = 1 << 20
MOST_ROWS = 2_000_000
MOST_STEPS = 200_000  # of a series: a year in steps of 5 minutes, four months in steps of one
_HEAD = 1 << 16
Json = dict[str, Any]


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Unpacked by what it begins with, not by its name. Raises ImportRefusedError."""
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
        raise ImportRefusedError(f"{path} cannot be read ({reason}).") from error


def head(path: Path) -> bytes:
    """How it begins, without a byte order mark."""
    with opened(path) as file:
        return file.read(_HEAD).removeprefix(b"\xef\xbb\xbf")


def whole(path: Path) -> bytes:
    with opened(path) as file:
        body = file.read(MOST_DOCUMENT + 1)
    if len(body) > MOST_DOCUMENT:
        raise ImportRefusedError(
            f"{path} is one document of more than {MOST_DOCUMENT >> 20} MiB: "
            "ask for a shorter time, or for one result a line."
        )
    return body.removeprefix(b"\xef\xbb\xbf")


def looks_like_json(path: Path) -> bool:
    return head(path).lstrip()[:1] in (b"{", b"[")


def objects(path: Path, complaints: Complaints) -> Iterator[tuple[int, Json]]:
    """(line, object) of each JSON object: one a line, or one document; lists are opened.

    The frame of a stream, `[name, object]`, is opened too. Line 0: the file is one document.
    """
    begins = head(path)
    first, newline, rest = begins.lstrip().partition(b"\n")
    if newline and rest.strip() and _parsed(first) is not None:
        yield from _lines(path, complaints)
        return
    body = whole(path)
    found = _parsed(body)
    if found is not None:
        for item in _opened(found):
            yield 0, item
    elif b"\n" in body.strip():  # perhaps its first line alone is broken
        yield from _lines(path, complaints)
    else:
        complaints.add(place(path), "this is not JSON")


def _lines(path: Path, complaints: Complaints) -> Iterator[tuple[int, Json]]:
    """What was read before a file breaks off counts."""
    try:
        yield from _each_line(path, complaints)
    except ImportRefusedError as error:
        complaints.add(place(path), f"it breaks off: {error}".rstrip("."))


def _each_line(path: Path, complaints: Complaints) -> Iterator[tuple[int, Json]]:
    room, number = MOST_EXPANDED, 0
    with opened(path) as file:
        while line := file.readline(MOST_LINE + 1):
            number, room = number + 1, room - len(line)
            if room < 0 or number > MOST_ROWS:
                complaints.add(place(path, number), "the file is too large; the rest is left out")
                return
            if len(line) > MOST_LINE:
                complaints.add(place(path, number), f"more than {MOST_LINE >> 20} MiB in one line")
                room -= _skip(file)
                continue
            yield from _line(path, number, line, complaints)


def _line(
    path: Path, number: int, line: bytes, complaints: Complaints
) -> Iterator[tuple[int, Json]]:
    line = line.removeprefix(b"\xef\xbb\xbf").strip().removesuffix(b",")
    if line in (b"", b"[", b"]"):
        return
    found = _parsed(line)
    if found is None:
        complaints.add(place(path, number), "this is not JSON")
        return
    for item in _opened(found):
        yield number, item


def _skip(file: IO[bytes]) -> int:
    skipped = 0
    while skipped < MOST_EXPANDED:
        piece = file.readline(MOST_LINE)
        skipped += len(piece)
        if not piece or piece.endswith(b"\n"):
            break
    return skipped


def _parsed(body: bytes) -> object:
    try:
        return cast("object", json.loads(body))
    except (ValueError, RecursionError):
        return None


def _opened(found: object, depth: int = 4) -> Iterator[Json]:
    if isinstance(found, dict):
        yield found
    elif isinstance(found, list) and depth:
        for item in found:
            yield from _opened(item, depth - 1)


def number(value: object) -> float | None:
    """A finite number, also as text; anything else is not known."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < 1e300 else None  # nan compares false


def text(value: object, most: int = 256) -> str:
    return value[:most] if isinstance(value, str) else ""


def texts(value: object) -> list[str]:
    return [text(item) for item in value[:256]] if isinstance(value, list) else []
