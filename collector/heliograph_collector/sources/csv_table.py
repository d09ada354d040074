"""Reader of CSV tables of levels over time.

Layouts: IODA's export (one column per source), `time,value`, or one row per value. The step is the
most common difference of times, and each value belongs to the step that contains its time. Rows
without a valid time and repeated times get a complaint.
"""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path

from heliograph.units import SECOND_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.complaints import (
    Complaints,
    ImportRefusedError,
    describe_location,
)
from heliograph_collector.sources.json_objects import MAX_STEPS, read_file
from heliograph_collector.sources.level_names import find_misfit
from heliograph_collector.sources.replay import Series
from heliograph_collector.sources.timestamps import find_time_range, parse_timestamp
from heliograph_collector.sources.typed_reader import as_number

SOURCES: Mapping[str, str] = {  # words in a column's name → source, first match
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
_MAX_COLUMNS = 256
Points = dict[str, dict[int, float | None]]


def read_series(path: Path, scope: Scope, complaints: Complaints) -> list[Series]:
    header, rows = _open_table(path)
    time_column = _find_time_column(path, header)
    points = _collect_points(path, header, rows, time_column, complaints)
    points = _drop_distant(path, _drop_misfits(path, points, complaints), complaints)
    times_us = sorted({at_us for column in points.values() for at_us in column})
    if len(times_us) < 2:
        raise ImportRefusedError(f"{path} holds fewer than two times with a value: no series.")
    step_us = Counter(b - a for a, b in pairwise(times_us)).most_common(1)[0][0]
    if (times_us[-1] - times_us[0]) // step_us > MAX_STEPS:
        raise ImportRefusedError(
            f"{path} spans {(times_us[-1] - times_us[0]) // step_us} steps of "
            f"{step_us / SECOND_US:g} s, more than {MAX_STEPS}: cut it into parts."
        )
    return [
        _build_series(name, scope, times_us[0], times_us[-1], step_us, values)
        for name, values in points.items()
        if any(value is not None for value in values.values())
    ]


def guess_source(column: str) -> str:
    """Return IODA's name of the source, or the column's own name."""
    lower_name = column.lower()
    return next(
        (source for keyword, source in SOURCES.items() if keyword in lower_name),
        column.strip()[:64],
    )


def _open_table(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    body = read_file(path).decode("utf-8", "replace")
    first_line = body.partition("\n")[0]
    delimiter = max(",;\t", key=first_line.count)
    reader = csv.reader(io.StringIO(body), delimiter=delimiter)
    csv.field_size_limit(1 << 20)
    try:
        header = next(reader, [])
        has_no_header = header[:1] and parse_timestamp(header[0]) is not None
    except csv.Error as error:
        raise ImportRefusedError(f"{path} is no table ({error}).") from error
    if has_no_header:  # the first row is data
        names = ["time", *(f"value {i}" if i > 1 else "value" for i in range(1, len(header)))]
        return names, _number_rows(path, chain((header,), reader), 1)
    return header[:_MAX_COLUMNS], _number_rows(path, reader, 2)


def _number_rows(
    path: Path, reader: Iterator[list[str]], first: int
) -> Iterator[tuple[int, list[str]]]:
    try:
        yield from enumerate(reader, first)
    except csv.Error as error:
        raise ImportRefusedError(f"{path} cannot be read on as a table ({error}).") from error


def _find_time_column(path: Path, header: Sequence[str]) -> int:
    for column, name in enumerate(header):
        tokens = name.strip().lower().replace("(", " ").replace("_", " ").split()
        if tokens and tokens[0] in _TIMES:
            return column
    raise ImportRefusedError(
        f"{path} has no column of times: name one `time` in its first line, the values beside it."
    )


def _collect_points(
    path: Path,
    header: Sequence[str],
    rows: Iterator[tuple[int, list[str]]],
    time_column: int,
    complaints: Complaints,
) -> Points:
    lower_names = [name.strip().lower() for name in header]
    is_long = "datasource" in lower_names and "value" in lower_names
    points: Points = defaultdict(dict)
    for line, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        at_us = parse_timestamp(row[time_column]) if time_column < len(row) else None
        if at_us is None:
            complaints.add(describe_location(path, line), "its time cannot be read")
            continue
        cells = (
            _read_long_row(row, lower_names)
            if is_long
            else _read_wide_row(row, header, time_column)
        )
        for name, value in cells:
            if at_us in points[name]:
                complaints.add(
                    describe_location(path, line), "its time was there before; the later counts"
                )
            points[name][at_us] = value
    return points


def _drop_misfits(path: Path, points: Points, complaints: Complaints) -> Points:
    """Leave out columns that are no levels. Raises ImportRefusedError if none remains."""
    misfits = {name: find_misfit(name, list(column.values())) for name, column in points.items()}
    for reason in filter(None, misfits.values()):
        complaints.add(describe_location(path), reason)
    fitting = {name: column for name, column in points.items() if not misfits[name]}
    if points and not fitting:
        raise ImportRefusedError(f"{path}: {next(filter(None, misfits.values()))}.")
    return fitting


def _drop_distant(path: Path, points: Points, complaints: Complaints) -> Points:
    times_us = {at_us for column in points.values() for at_us in column}
    low_us, high_us = find_time_range(list(times_us))
    distant_count = sum(1 for at_us in times_us if not low_us <= at_us <= high_us)
    if not distant_count:
        return points
    complaints.add(
        describe_location(path),
        f"{distant_count} times lie over 200 days from the others; they are left out",
    )
    return {
        name: {at_us: value for at_us, value in column.items() if low_us <= at_us <= high_us}
        for name, column in points.items()
    }


def _read_long_row(
    row: Sequence[str], lower_names: Sequence[str]
) -> Iterator[tuple[str, float | None]]:
    cell = dict(zip(lower_names, row, strict=False))
    if cell.get("datasource"):
        yield guess_source(cell["datasource"]), _parse_level(cell.get("value", ""))


def _read_wide_row(
    row: Sequence[str], header: Sequence[str], time_column: int
) -> Iterator[tuple[str, float | None]]:
    for column, name in enumerate(header):
        if column != time_column and column < len(row) and name.strip():
            yield guess_source(name), _parse_level(row[column])


def _parse_level(cell: str) -> float | None:
    value = as_number(cell.strip().replace("%", ""))
    return None if value is not None and value < 0 else value


def _build_series(
    name: str,
    scope: Scope,
    since_us: int,
    last_us: int,
    step_us: int,
    levels: Mapping[int, float | None],
) -> Series:
    values: list[float | None] = [None] * ((last_us - since_us) // step_us + 1)
    for at_us, value in levels.items():
        if value is not None:
            values[(at_us - since_us) // step_us] = value
    return Series(scope, name, since_us, step_us, tuple(values))
