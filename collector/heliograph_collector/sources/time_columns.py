"""Times of a table: where they stand, and how they are written.

Times stand in one column, or a date and a clock in two. The column has a name of times, or is the
first one that holds times since 2000. All of its cells tell how each is read, where one cell alone
could be read in several ways:

- 8/1/2026 has the order in which the file spans less time, as its rows follow each other.
- 2026010816 is a date, where each cell is one. Seconds since 1970 look so by chance alone.
- 46030.6875 is a spreadsheet's count of days since 1899, where each cell is one of this century.

A clock without a zone is UTC unless its column names another one: `Time (UTC+3:30)`, `Time
(Asia/Tehran)`. Where it is said to be local, and no zone is named, a warning says that it was
taken for UTC.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.sources.complaints import Complaints, ImportRefusedError
from heliograph_collector.sources.json_objects import JsonObject
from heliograph_collector.sources.table_file import Table, list_rows, open_table
from heliograph_collector.sources.timestamps import parse_timestamp
from heliograph_collector.sources.typed_reader import as_number

_TIMES = ("time", "date", "timestamp", "timestamps", "datetime", "ts", "day", "hour")
_LAST_WORDS = ("timestamp", "timestamps", "datetime")  # of `Serie_0 timestamps`
_STARTS = ("measurement_start_time", "measurement_start_day", "test_start_time")  # OONI's
_PARTS = ("year", "month", "day", "hour", "minute")
_CLOCKS = ("time", "hour", "clock")
_YEAR_2000_US = 946_684_800 * SECOND_US
_SAMPLE_ROWS = 20  # in which a column of times is looked for; assumed
_DAY_MONTH = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d\d)(?!\d)(.*)", re.DOTALL)
_COMPACT = re.compile(r"((?:19|20)\d\d)(\d\d)(\d\d)(\d\d)?(\d\d)?(\d\d)?")
_ROUNDED = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)
_SERIALS = (36_526, 73_050)  # days since 1899-12-30, of the years 2000 to 2099
_SERIAL_0 = datetime(1899, 12, 30, tzinfo=UTC)  # of whatever zone the clock is
_OFFSET = re.compile(r"\b(?:UTC|GMT)\s*([+-])\s*(\d{1,2})(?::?(\d\d))?", re.IGNORECASE)
_ZONE = re.compile(r"\b[A-Z][A-Za-z]+(?:/[A-Za-z_]+){1,2}")

Parser = Callable[[str, tzinfo], int | None]


@dataclass(frozen=True, slots=True)
class TimeColumns:
    """The column of times, and the one of clocks where the former holds dates alone."""

    column: int
    clock: int | None = None
    parse: Parser = parse_timestamp
    zone: tzinfo = UTC
    warning: str = ""  # a sentence without its full stop, where they may be read wrongly
    parts: Sequence[int] = ()  # columns of year, month, day and of what of the clock there is

    def read(self, row: Sequence[str]) -> int | None:
        """Return the time of a row; None if it has none."""
        if self.column >= len(row):
            return None
        if self.parts:
            return self._join_parts([row[c].strip() for c in self.parts if c < len(row)])
        cell = row[self.column].strip()
        if self.clock is None or self.clock >= len(row):
            return self.parse(cell, self.zone)
        clock = row[self.clock].strip()
        clock = f"{clock.zfill(2)}:00" if clock.isdecimal() else clock
        return self.parse(f"{cell} {clock}", self.zone)

    def _join_parts(self, parts: Sequence[str]) -> int | None:
        if len(parts) < len(self.parts):
            return None
        year, month, day, hour, minute = (*parts, "0", "0")[: len(_PARTS)]
        return parse_timestamp(f"{year}-{month}-{day} {hour}:{minute:>02}", self.zone)


def find_time_columns(table: Table) -> TimeColumns:
    """Find the times by the names of columns, else by their content.

    Raises:
        ImportRefusedError: No column holds times, or none of them can be read.
    """
    name_words = [_split_words(name) for name in table.header]
    named = _list_named(table, name_words)
    column = named[0] if named else _find_by_content(table)
    if column is None:
        raise ImportRefusedError(
            f"{table.path} has no column of times: name one `time` in its first line, the values "
            "beside it."
        )
    clock = _find_clock(table, column, name_words)
    zone, warning = _find_zone(table.header[column], name_words[column])
    parse = _find_parser(_list_cells(table.rows, column))
    times = TimeColumns(column, clock, parse, zone, warning, _find_parts(table.lower_names))
    _check_readable(table, times)
    return times


def has_times(item: JsonObject) -> bool:
    """Return whether an object is a row with a time and a number."""
    table = list_rows(Path(), [item])
    try:
        times = find_time_columns(table)
    except ImportRefusedError:
        return False
    return any(
        column != times.column and table.parse_number(cell) is not None
        for _, row in table.rows
        for column, cell in enumerate(row)
    )


def is_timed_table(path: Path) -> bool:
    """Return whether a file can be read as a table with times."""
    try:
        find_time_columns(open_table(path, Complaints()))
    except ImportRefusedError:
        return False
    return True


def _list_named(table: Table, name_words: Sequence[Sequence[str]]) -> list[int]:
    """List the columns that have a name of times: in UTC first, local ones last."""
    named = (
        *(i for i, name in enumerate(table.lower_names) if name in _STARTS),
        *(i for i, own in enumerate(name_words) if own and own[0] in _TIMES),
        *(i for i, own in enumerate(name_words) if own and own[-1] in _LAST_WORDS),
    )
    return sorted(
        named, key=lambda column: ("utc" not in name_words[column], "local" in name_words[column])
    )


def _find_by_content(table: Table) -> int | None:
    for column in range(len(table.header)):
        cells = _list_cells(table.rows[:_SAMPLE_ROWS], column)
        parse = _find_parser(cells)
        if parse is _parse_serial:  # it may be a count of anything
            continue
        times_us = [parse(cell, UTC) for cell in cells]
        if times_us and all(at_us is not None and at_us > _YEAR_2000_US for at_us in times_us):
            return column
    return None


def _list_cells(rows: Sequence[tuple[int, Sequence[str]]], column: int) -> list[str]:
    return [row[column].strip() for _, row in rows if column < len(row)]


def _find_clock(table: Table, column: int, name_words: Sequence[Sequence[str]]) -> int | None:
    """Find the clocks beside a column of dates alone."""
    if name_words[column] and name_words[column][0] not in ("date", "day"):
        return None
    if any(":" in cell for cell in _list_cells(table.rows[:_SAMPLE_ROWS], column)):
        return None
    return next(
        (i for i, own in enumerate(name_words) if i != column and own and own[0] in _CLOCKS), None
    )


def _find_parts(names: Sequence[str]) -> Sequence[int]:
    """Find the columns of a time in parts; none unless it has year, month and day."""
    if not set(_PARTS[:3]) <= set(names):
        return ()
    first = next((i for i, part in enumerate(_PARTS) if part not in names), len(_PARTS))
    return [names.index(part) for part in _PARTS[:first]]


def _find_zone(name: str, name_words: Sequence[str]) -> tuple[tzinfo, str]:
    """Return the zone in a column's name, and a warning if the zone is uncertain."""
    offset = _OFFSET.search(name)
    if offset is not None:
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        return timezone(timedelta(minutes=min(minutes, 1_439) * (-1) ** (offset[1] == "-"))), ""
    zone = _ZONE.search(name)
    if zone is not None:
        try:
            return ZoneInfo(zone[0]), ""
        except (KeyError, OSError, ValueError):  # it is none, or this machine has no table of zones
            return UTC, f"{name!r} names a zone that is not known here; it was taken for UTC"
    if "local" in name_words:
        return UTC, (
            f"{name!r} is local and names no zone; it was taken for UTC. Name the zone in the "
            "first line, such as `time (UTC+3:30)`"
        )
    return UTC, ""


def _find_parser(cells: Sequence[str]) -> Parser:
    """Find how the cells of a column are read."""
    filled = [cell for cell in cells if cell]
    if filled and all(_parse_compact(cell, UTC) is not None for cell in filled):
        return _parse_compact
    if filled and all(_parse_serial(cell, UTC) is not None for cell in filled):
        return _parse_serial
    matches = [match for cell in filled if (match := _DAY_MONTH.fullmatch(cell))]
    return _parse_day_first if matches and _has_day_first(matches) else parse_timestamp


def _has_day_first(matches: Sequence[re.Match[str]]) -> bool:
    """Return whether dates such as 13/1/2026 and 8.1.2026 begin with the day."""
    firsts = [int(match[1]) for match in matches]
    seconds = [int(match[3]) for match in matches]
    if matches[0][2] == "." or max(firsts) > 12 or max(seconds) > 12:
        return matches[0][2] == "." or max(firsts) > 12
    years = [int(match[4]) for match in matches]
    by_day = _count_days(zip(years, seconds, firsts, strict=True))
    return by_day < _count_days(zip(years, firsts, seconds, strict=True))


def _count_days(dates: Iterable[tuple[int, int, int]]) -> int:
    """Count the days that dates span; of a wrong one, as of a month of 31 days, many."""
    try:
        ordinals = [date(2000 + year % 100, month, day).toordinal() for year, month, day in dates]
    except ValueError:
        return 1 << 20
    return max(ordinals) - min(ordinals)


def _parse_day_first(cell: str, zone: tzinfo) -> int | None:
    match = _DAY_MONTH.fullmatch(cell)
    if match is None:
        return parse_timestamp(cell, zone)
    year = match[4] if len(match[4]) == 4 else f"20{match[4]}"
    return parse_timestamp(f"{year}-{match[3]:>02}-{match[1]:>02}{match[5]}", zone)


def _parse_compact(cell: str, zone: tzinfo) -> int | None:
    digits, _, clock = cell.partition(" ")
    match = _COMPACT.fullmatch(digits)
    if match is None:
        return None
    year, month, day, hour, minute, second = match.groups()
    clock = clock or f"{hour or '00'}:{minute or '00'}:{second or '00'}"
    return parse_timestamp(f"{year}-{month}-{day} {clock}", zone)


def _parse_serial(cell: str, zone: tzinfo) -> int | None:
    """Parse a count of days to its second, which takes about ten digits of fraction."""
    days = as_number(cell.replace(",", "."))
    if days is None or not _SERIALS[0] <= days < _SERIALS[1]:
        return None
    seconds = round(days * DAY_US / SECOND_US)
    return parse_timestamp(f"{_SERIAL_0 + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}", zone)


def _check_readable(table: Table, times: TimeColumns) -> None:
    """Raise ImportRefusedError if none of the times can be read, or they are rounded."""
    rows = table.rows[:_SAMPLE_ROWS]
    rounded = [cell for cell in _list_cells(rows[:1], times.column) if _ROUNDED.fullmatch(cell)]
    if rounded:
        raise ImportRefusedError(
            f"{table.path}: a spreadsheet has rounded its times ({rounded[0]}): show that column "
            "as numbers without an exponent, and save it again."
        )
    if not rows or any((times.read(row) or 0) > _YEAR_2000_US for _, row in rows):
        return
    line, row = rows[0]
    cell = row[times.column].strip()[:40] if times.column < len(row) else ""
    raise ImportRefusedError(
        f"{table.path}, line {line}: {cell!r} in column {table.header[times.column].strip()!r} is "
        "no time that can be read. Write 2026-01-08 16:30, or seconds since 1970."
    )


def _split_words(name: str) -> list[str]:
    return re.sub(r"[()\[\]_\-:]", " ", name.strip().lower()).split()
