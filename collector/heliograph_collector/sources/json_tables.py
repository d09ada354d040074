"""Read JSON tables that are no lists of objects, as notebooks and charts write.

- `[[1767888000000, 97], …]`, with or without a first row of names;
- `{"columns": ["time", "value"], "data": [[…], …]}`;
- `{"time": […], "value": […]}`, a list for each column;
- `{"value": {"1767888000000": 97, …}, …}`, an object for each column, by row or by time;
- `{"2026-01-08T16:00:00Z": 97, …}`;
- `{"data": [{"time": …, "value": …}, …], …}`, or pairs there, beside other fields.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from heliograph_collector.sources.json_objects import read_file
from heliograph_collector.sources.timestamps import parse_timestamp

_YEAR_2000_US = 946_684_800_000_000
Rows = list[list[object]]  # the first one has the names


def read_json_table(path: Path) -> Rows | None:
    """Return the names and rows of a table; None if the document is of no such form."""
    try:
        document = json.loads(read_file(path))
    except (ValueError, RecursionError):
        return None
    if isinstance(document, list):
        return _read_lists(document)
    if not isinstance(document, dict) or not document:
        return None
    names = document.get("columns")
    if isinstance(names, list) and (rows := _read_lists(document.get("data"), names)):
        return rows
    columns = list(document.values())
    if all(isinstance(column, list) for column in columns):
        return _join_columns(list(document), columns) or _find_rows(document)
    if all(isinstance(column, dict) for column in columns):
        return _join_objects(document)
    return _join_objects({"value": document}) or _find_rows(document)


def _find_rows(document: Mapping[str, object]) -> Rows | None:
    """Find the longest list of rows in an object; None if it has none."""
    lists = [value for value in document.values() if isinstance(value, list)]
    for rows in sorted(lists, key=len, reverse=True):
        if rows and all(isinstance(row, dict) for row in rows):
            names = list(dict.fromkeys(name for row in rows for name in row))
            return [names, *([row.get(name) for name in names] for row in rows)]
        if (table := _read_lists(rows)) is not None:
            return table
    return None


def _read_lists(rows: object, names: Sequence[object] = ()) -> Rows | None:
    """Read a list of rows, which are lists."""
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
        return None
    width = max(map(len, rows))
    if width < 2:
        return None
    if not names and all(isinstance(name, str) for name in rows[0]):
        first_us = parse_timestamp(rows[0][0])
        if first_us is None:
            return rows
    header = list(names) or ["time", "value", *(f"value {n}" for n in range(2, width))]
    return [header, *rows]


def _join_columns(names: Sequence[str], columns: Sequence[list[object]]) -> Rows | None:
    if len(columns) < 2 or len(set(map(len, columns))) > 1:
        return None
    return [list(names), *(list(row) for row in zip(*columns, strict=True))]


def _join_objects(columns: Mapping[str, Mapping[str, object]]) -> Rows | None:
    """Join columns that are objects by their keys.

    The keys are times, unless a column has these.
    """
    keys = list(dict.fromkeys(key for column in columns.values() for key in column))
    rows: Rows = [[column.get(key) for column in columns.values()] for key in keys]
    if all((parse_timestamp(key) or 0) > _YEAR_2000_US for key in keys):
        return [["time", *columns], *([key, *row] for key, row in zip(keys, rows, strict=True))]
    return [list(columns), *rows] if len(columns) > 1 else None
