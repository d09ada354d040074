"""Levels as a table: IODA's export (a column per source), `time,value`, or a row per value.

The step is the commonest distance between two times; each value lies in the step in which its
time lies. A row that is no time, or a time twice, gets its sentence.
"""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from heliograph_collector.incidents.scope import Scope
from heliograph_collector.model.signals import SECOND_US
from heliograph_collector.sources.complaints import Complaints, ImportRefusedError, place
from heliograph_collector.sources.json_objects import MOST_STEPS, number, whole
from heliograph_collector.sources.replay import Series
from heliograph_collector.sources.timestamps import moment, together

SOURCES: Mapping[str, str] = {  # words of a column's name, in order
    "bgp": "bgp",
    "active probing": "ping-slash24",
    "ping": "ping-slash24",
    "telescope": "merit-nt",
    "merit": "merit-nt",
    "ucsd": "ucsd-nt",
    "google": "gtr",
    "gtr": "gtr",
    "mozilla": "mozilla",
}
_TIMES = ("time", "date", "timestamp", "datetime", "ts")
_MOST_COLUMNS = 256
Points = dict[str, dict[int, float | None]]


def series(path: Path, scope: Scope, complaints: Complaints) -> list[Series]:
    header, rows = _rows(path)
    when = _when(path, header)
    points = _points(path, header, rows, when, complaints)
    points = _near(path, points, complaints)
    every = sorted({at_us for column in points.values() for at_us in column})
    if len(every) < 2:
        raise ImportRefusedError(f"{path} holds fewer than two times with a value: no series.")
    step_us = Counter(b - a for a, b in pairwise(every)).most_common(1)[0][0]
    if (every[-1] - every[0]) // step_us > MOST_STEPS:
        raise ImportRefusedError(
            f"{path} spans {(every[-1] - every[0]) // step_us} steps of "
            f"{step_us / SECOND_US:g} s, more than {MOST_STEPS}: cut it into parts."
        )
    return [
        _series(name, scope, every[0], every[-1], step_us, known)
        for name, known in points.items()
        if any(value is not None for value in known.values())
    ]


def source_of(column: str) -> str:
    """IODA's word for it, or the column's own name."""
    low = column.lower()
    return next((source for word, source in SOURCES.items() if word in low), column.strip()[:64])


def _rows(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    body = whole(path).decode("utf-8", "replace")
    first = body.partition("\n")[0]
    mark = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(body), delimiter=mark)
    csv.field_size_limit(1 << 20)
    try:
        header = next(reader, [])
        bare = header[:1] and moment(header[0]) is not None
    except csv.Error as error:
        raise ImportRefusedError(f"{path} is no table ({error}).") from error
    if bare:  # no header: the first row is data already
        names = ["time", *(f"value {i}" if i > 1 else "value" for i in range(1, len(header)))]
        return names, _numbered(path, iter([header, *reader]), 1)
    return header[:_MOST_COLUMNS], _numbered(path, reader, 2)


def _numbered(
    path: Path, reader: Iterator[list[str]], first: int
) -> Iterator[tuple[int, list[str]]]:
    try:
        yield from enumerate(reader, first)
    except csv.Error as error:
        raise ImportRefusedError(f"{path} cannot be read on as a table ({error}).") from error


def _when(path: Path, header: Sequence[str]) -> int:
    for at, name in enumerate(header):
        words = name.strip().lower().replace("(", " ").replace("_", " ").split()
        if words and words[0] in _TIMES:
            return at
    raise ImportRefusedError(
        f"{path} has no column of times: name one `time` in its first line, the values beside it."
    )


def _points(
    path: Path,
    header: Sequence[str],
    rows: Iterator[tuple[int, list[str]]],
    when: int,
    complaints: Complaints,
) -> Points:
    low = [name.strip().lower() for name in header]
    tall = "datasource" in low and "value" in low
    points: Points = defaultdict(dict)
    for line, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        at_us = moment(row[when]) if when < len(row) else None
        if at_us is None:
            complaints.add(place(path, line), "its time cannot be read")
            continue
        cells = _tall(row, low) if tall else _wide(row, header, when)
        for name, value in cells:
            if at_us in points[name]:
                complaints.add(place(path, line), "its time was there before; the later counts")
            points[name][at_us] = value
    return points


def _near(path: Path, points: Points, complaints: Complaints) -> Points:
    every = {at_us for column in points.values() for at_us in column}
    low_us, high_us = together(list(every))
    far = sum(1 for at_us in every if not low_us <= at_us <= high_us)
    if not far:
        return points
    complaints.add(place(path), f"{far} times lie over 200 days from the others; they are left out")
    return {
        name: {at_us: value for at_us, value in column.items() if low_us <= at_us <= high_us}
        for name, column in points.items()
    }


def _tall(row: Sequence[str], low: Sequence[str]) -> Iterator[tuple[str, float | None]]:
    cell = dict(zip(low, row, strict=False))
    if cell.get("datasource"):
        yield source_of(cell["datasource"]), _level(cell.get("value", ""))


def _wide(
    row: Sequence[str], header: Sequence[str], when: int
) -> Iterator[tuple[str, float | None]]:
    for at, name in enumerate(header):
        if at != when and at < len(row) and name.strip():
            yield source_of(name), _level(row[at])


def _level(cell: str) -> float | None:
    value = number(cell.strip().replace("%", ""))
    return None if value is not None and value < 0 else value


def _series(
    name: str,
    scope: Scope,
    since_us: int,
    last_us: int,
    step_us: int,
    known: Mapping[int, float | None],
) -> Series:
    values: list[float | None] = [None] * ((last_us - since_us) // step_us + 1)
    for at_us, value in known.items():
        if value is not None:
            values[(at_us - since_us) // step_us] = value
    return Series(scope, name, since_us, step_us, tuple(values))
