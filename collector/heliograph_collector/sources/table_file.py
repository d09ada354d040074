"""Read exported tables: the header, the rows, their times and numbers.

A file may begin with a byte order mark, with comments (`#`) or a title of one cell, and be
separated by commas, semicolons or tabs. Flat objects of JSON are rows too, and their keys the
header; so are the rows of SQL's INSERT, in which OONI's pipeline keeps what its detector is tested
with: only names of columns and literals are read, nothing is executed. `time_columns.py` finds
their times.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from heliograph_collector.sources.complaints import Complaints, ImportRefusedError
from heliograph_collector.sources.json_objects import (
    JsonObject,
    looks_like_json,
    read_file,
    read_objects,
)
from heliograph_collector.sources.json_tables import read_json_table
from heliograph_collector.sources.timestamps import parse_timestamp
from heliograph_collector.sources.typed_reader import as_number

_MAX_COLUMNS = 256
_PREAMBLE_LINES = 20  # at most before the header; assumed
_DOT_GROUPS = re.compile(r"-?[1-9]\d{0,2}(\.\d{3})+(,\d+)?")
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
_SCALED = re.compile(r"(-?[\d.]+)(K|Mil|M|Bil|B|G)", re.IGNORECASE)  # as dashboards export
_SCALES = {"k": 1e3, "mil": 1e6, "m": 1e6, "bil": 1e9, "b": 1e9, "g": 1e9}
_SPACES = re.compile(r"[\s%'\u2019]")  # Swiss thousands have an apostrophe
_THOUSANDS = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d+)?")
_COMMENTS = re.compile(r"\s*(?:--[^\n]*\n\s*)*")
_BEGIN = re.compile(r"INSERT\s+INTO\s+[\w.`\"]+\s*\(([^)]*)\)\s*VALUES", re.I)
_TOKEN = re.compile(r"'((?:[^'\\]|\\.|'')*)'|([(),])|([^\s(),';]+)")
_ESCAPE = re.compile(r"\\(.)|''")


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file by line, each of as many cells as it has."""

    path: Path
    header: list[str]
    rows: list[tuple[int, list[str]]]
    is_comma_decimal: bool  # in `97,5`: the file is separated by something else
    dot_columns: frozenset[int] = frozenset()  # the same, and in `1.012` the dot parts thousands
    comma_columns: frozenset[int] = frozenset()  # in `"97,5"`: quoted, in a file with commas

    @property
    def lower_names(self) -> list[str]:
        return [name.strip().lower() for name in self.header]

    def parse_number(self, cell: str, column: int = -1) -> float | None:
        """Parse a number; a percent sign and separators of thousands are dropped."""
        text = _SPACES.sub("", cell)
        if column in self.dot_columns:
            text = text.replace(".", "")
        if "," in text:
            is_decimal = self.is_comma_decimal or column in self.comma_columns
            is_decimal = is_decimal and text.count(",") == 1
            if not is_decimal and not _THOUSANDS.fullmatch(text):
                return None
            text = text.replace(",", "." if is_decimal else "")
        number = as_number(text)
        if number is None and (scaled := _SCALED.fullmatch(text)):
            factor = as_number(scaled[1])
            return None if factor is None else factor * _SCALES[scaled[2].lower()]
        return number


def open_table(path: Path, complaints: Complaints) -> Table:
    """Read a table. Raises ImportRefusedError if the file is none."""
    if looks_like_json(path):
        return _read_json(path, complaints)
    body = read_file(path).decode("utf-8", "replace")
    if _is_insert(body):
        inserts = list(enumerate(_read_inserts(body)))
        return Table(path, inserts[0][1][:_MAX_COLUMNS], inserts[1:], is_comma_decimal=False)
    delimiter = _guess_delimiter(body)
    csv.field_size_limit(1 << 20)
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter)
    try:
        lines = _drop_preamble([(n, r) for n, r in enumerate(reader, 1) if any(map(str.strip, r))])
    except csv.Error as error:
        raise ImportRefusedError(f"{path} is no table ({error}).") from error
    header = lines[0][1][:_MAX_COLUMNS] if lines else []
    if header and parse_timestamp(header[0]) is not None:  # the first row is data
        names = ["time", *(f"value {i}" if i > 1 else "value" for i in range(1, len(header)))]
        return Table(path, names, lines, delimiter != ",")
    rows = lines[1:]
    if delimiter == ",":
        quoted = [column for column in range(len(header)) if _has_decimal_commas(rows, column)]
        return Table(path, header, rows, is_comma_decimal=False, comma_columns=frozenset(quoted))
    dotted = [column for column in range(len(header)) if _has_dot_groups(rows, column)]
    return Table(path, header, rows, is_comma_decimal=True, dot_columns=frozenset(dotted))


def _guess_delimiter(body: str) -> str:
    """Guess what separates cells, by the first lines: one may be a title."""
    first_lines = "\n".join(islice(body.splitlines(), _PREAMBLE_LINES + 1))
    return max(",;\t|", key=first_lines.count)


def _has_dot_groups(rows: Sequence[tuple[int, Sequence[str]]], column: int) -> bool:
    """Return whether the dots of a column part thousands: `1.012` beside `987`.

    Decimals of three places all have a dot, or some begin with 0.
    """
    cells = [_SPACES.sub("", row[column]) for _, row in rows if column < len(row)]
    dotted = [cell for cell in cells if "." in cell]
    has_others = any(cell.isdecimal() and len(cell) < 4 for cell in cells)
    is_certain = has_others or any("," in cell or cell.count(".") > 1 for cell in dotted)
    return bool(dotted) and is_certain and all(map(_DOT_GROUPS.fullmatch, dotted))


def _has_decimal_commas(rows: Sequence[tuple[int, Sequence[str]]], column: int) -> bool:
    """Return whether a column's commas mark decimals: not all can group thousands."""
    cells = [_SPACES.sub("", row[column]) for _, row in rows if column < len(row)]
    commas = [cell for cell in cells if "," in cell]
    return (
        bool(commas)
        and all(_DECIMAL_COMMA.fullmatch(cell) for cell in commas)
        and not all(_THOUSANDS.fullmatch(cell) for cell in commas)
    )


def _drop_preamble(lines: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Drop comments, and lines of one cell before the header of a wider table."""
    rows = [(n, row) for n, row in lines if not row[0].lstrip().startswith("#")]
    widths = [sum(map(bool, row)) for _, row in rows[: _PREAMBLE_LINES + 1]]
    if not widths or widths[-1] < 2:
        return rows
    return rows[next(i for i, width in enumerate(widths) if width > 1) :]


def _read_json(path: Path, complaints: Complaints) -> Table:
    rows = read_json_table(path)
    if rows is None:
        return list_rows(path, list(read_objects(path, complaints)))
    cells = [(number, list(map(_format_cell, row))) for number, row in enumerate(rows)]
    return Table(path, cells[0][1][:_MAX_COLUMNS], cells[1:], is_comma_decimal=False)


def list_rows(path: Path, items: Sequence[JsonObject]) -> Table:
    """List flat objects as rows; their keys are the header."""
    names = list(dict.fromkeys(name for item in items for name in item.fields))[:_MAX_COLUMNS]
    rows = [
        (item.line or number, [_format_cell(item.fields.get(name)) for name in names])
        for number, item in enumerate(items, 1)
    ]
    return Table(path, names, rows, is_comma_decimal=False)


def _format_cell(value: object) -> str:
    return str(value) if isinstance(value, str | int | float) else ""


def _is_insert(text: str) -> bool:
    comments = _COMMENTS.match(text)
    return _BEGIN.match(text, comments.end() if comments else 0) is not None


def _read_inserts(text: str) -> Iterator[list[str]]:
    """Yield the names of the columns, then each row; NULL is an empty cell.

    Further statements of the same table add their rows.
    """
    starts = list(_BEGIN.finditer(text))
    for index, start in enumerate(starts):
        if index == 0:
            yield [name.strip(' `"\n') for name in start[1].split(",")]
        end = starts[index + 1].start() if index + 1 < len(starts) else len(text)
        yield from _read_rows(text, start.end(), end)


def _read_rows(text: str, begin: int, end: int) -> Iterator[list[str]]:
    row: list[str] | None = None
    for token in _TOKEN.finditer(text, begin, end):
        quoted, mark, literal = token.groups()
        if mark == "(":
            row = []
        elif mark == ")" and row is not None:
            yield row
            row = None
        elif row is not None and quoted is not None:
            row.append(_ESCAPE.sub(lambda match: match[1] or "'", quoted))
        elif row is not None and literal is not None:
            row.append("" if literal.upper() == "NULL" else literal)
