"""Store past days by the hour in DATA/history.db, built from the daily files.

The database can be rebuilt from them at any time. One row is a day of one place and service, so
that a month of a country is some hundreds of rows.

Example:
    with closing(HistoryTable(data / FILE)) as history:
        history.replace_day(day_us, digest, rows)
        answer = history.read(HistoryFilter(axes=[Axis.SERVICE], since_us=a, until_us=b))
"""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from heliograph.units import DAY_US
from heliograph_collector.model.history import (
    MARK_CODES,
    TROUBLE_MARKS,
    Axis,
    BlockingNetwork,
    CellHistory,
    DayRow,
    HistoryFilter,
)
from heliograph_collector.store.clickhouse import StoreError, TooMuchError
from heliograph_collector.store.side_database import open_side_database

FILE = "history.db"
RUNNING = "running "  # begins the digest of a day in progress, which has no daily file yet
MAX_ROWS = 40_000  # of one question: three years of a country's 36 rows; assumed
_SCHEMA = """
CREATE TABLE IF NOT EXISTS days (
  day INTEGER PRIMARY KEY, digest TEXT NOT NULL, version INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS rows (
  axis TEXT NOT NULL, country TEXT NOT NULL, day INTEGER NOT NULL, region TEXT NOT NULL,
  asn INTEGER NOT NULL, access TEXT NOT NULL, service TEXT NOT NULL, hours BLOB NOT NULL,
  shares BLOB NOT NULL, vantages INTEGER NOT NULL, layer TEXT NOT NULL, method TEXT NOT NULL,
  trouble INTEGER NOT NULL,
  PRIMARY KEY (axis, country, day, region, asn, access, service)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rows_by_service ON rows (service, axis, day);
CREATE INDEX IF NOT EXISTS rows_by_network ON rows (asn, axis, day);
CREATE INDEX IF NOT EXISTS rows_by_day ON rows (day);
CREATE INDEX IF NOT EXISTS rows_in_trouble ON rows (axis, country, day) WHERE trouble;
CREATE INDEX IF NOT EXISTS troubles_by_service ON rows (service, axis, day) WHERE trouble;
"""
_VERSION = 1  # of how a day's rows are made; another one makes all of them again
_AXES = {axis.value: axis for axis in Axis}
_TROUBLES = frozenset(MARK_CODES[name] for name in TROUBLE_MARKS)
_BLOCKED = bytes([MARK_CODES["blocked"]])
_COLUMNS = (
    *("axis", "country", "region", "asn", "access", "service", "hours", "shares"),
    *("vantages", "layer", "method"),
)
_INSERT = f"""
INSERT INTO rows (day, trouble, {", ".join(_COLUMNS)})
VALUES (:day, :trouble, {", ".join(f":{name}" for name in _COLUMNS)})
"""  # noqa: S608 fixed names, no value


class HistoryError(StoreError):
    """The file cannot be used; str() is a sentence with the cure."""


class HistoryTable:
    """The rows of past days. One process writes, others may read."""

    def __init__(self, file: Path) -> None:
        """Open the file, and make it if it is missing. Raises HistoryError."""
        self._file = file
        try:
            self._db = open_side_database(file, _SCHEMA)
        except OSError as error:
            raise HistoryError(f"{file} cannot be written ({error.strerror}).") from error
        except sqlite3.Error as error:
            raise HistoryError(_describe_error(file, error)) from error

    def close(self) -> None:
        self._db.close()

    def read_digests(self) -> Mapping[int, str]:
        """Return the digest of the daily file of each day. Raises HistoryError."""
        try:
            days = self._db.execute("SELECT day, digest FROM days WHERE version = ?", (_VERSION,))
            return {day * DAY_US: digest for day, digest in days}
        except sqlite3.Error as error:
            raise HistoryError(_describe_error(self._file, error)) from error

    def replace_day(self, day_us: int, digest: str, rows: Iterable[DayRow]) -> None:
        """Replace a day in one transaction. Raises HistoryError."""
        day = day_us // DAY_US
        values = [
            {name: getattr(row, name) for name in _COLUMNS}
            | {"day": day, "trouble": int(bool(_TROUBLES.intersection(row.hours)))}
            for row in rows
        ]
        try:
            with self._db:
                self._db.execute("DELETE FROM rows WHERE day = ?", (day,))
                self._db.executemany(_INSERT, values)
                self._db.execute(
                    "INSERT OR REPLACE INTO days VALUES (?, ?, ?)", (day, digest, _VERSION)
                )
        except sqlite3.Error as error:
            raise HistoryError(_describe_error(self._file, error)) from error

    def drop_day(self, day_us: int) -> None:
        """Forget a day that has no daily file any more. Raises HistoryError."""
        day = day_us // DAY_US
        try:
            with self._db:
                self._db.execute("DELETE FROM rows WHERE day = ?", (day,))
                self._db.execute("DELETE FROM days WHERE day = ?", (day,))
        except sqlite3.Error as error:
            raise HistoryError(_describe_error(self._file, error)) from error

    def read(self, filters: HistoryFilter) -> CellHistory:
        """Read the rows of whole days, oldest first. Raises HistoryError, TooMuchError."""
        condition, values = _build_condition(filters)
        query = (
            f"SELECT {', '.join(DayRow._fields)} FROM "  # noqa: S608 fixed names
            f"(SELECT *, day * {DAY_US} AS day_us FROM rows {_choose_index(filters)}) "
            f"WHERE {condition} "
            f"ORDER BY day {'DESC' if filters.only_newest else ''} LIMIT ?"
        )
        most = 1 if filters.only_newest else MAX_ROWS + 1
        try:
            ((first, last),) = self._db.execute("SELECT min(day), max(day) FROM days")
            with closing(self._db.execute(query, (*values, most))) as cursor:
                rows = [DayRow._make((_AXES[row[0]], *row[1:])) for row in cursor]
        except sqlite3.Error as error:
            raise HistoryError(_describe_error(self._file, error)) from error
        if len(rows) > MAX_ROWS:
            raise TooMuchError(f"That is more than {MAX_ROWS} rows of history; ask for fewer days.")
        return CellHistory(
            rows=rows,
            first_us=None if first is None else first * DAY_US,
            last_us=None if last is None else last * DAY_US,
        )

    def count_blocking_networks(self, filters: HistoryFilter) -> list[BlockingNetwork]:
        """Count the days on which each network blocked. Raises HistoryError.

        The engine sums, because a service has thousands of rows in sixty countries.
        """
        condition, values = _build_condition(filters)
        query = (
            f"SELECT country, service, asn, count(*) FROM rows {_choose_index(filters)} "  # noqa: S608 fixed names
            f"WHERE {condition} AND instr(hours, ?) GROUP BY country, service, asn"
        )
        try:
            with closing(self._db.execute(query, (*values, _BLOCKED))) as cursor:
                return [BlockingNetwork._make(row) for row in cursor]
        except sqlite3.Error as error:
            raise HistoryError(_describe_error(self._file, error)) from error


def _choose_index(filters: HistoryFilter) -> str:
    """Return the INDEXED BY clause for a query.

    Without statistics the planner would read an axis of all countries.
    """
    if filters.country:  # of one in trouble there are ten that are well
        return "INDEXED BY rows_in_trouble" if filters.only_trouble else ""  # the primary key
    if filters.asn:
        return "INDEXED BY rows_by_network"
    if filters.service:
        name = "troubles_by_service" if filters.only_trouble else "rows_by_service"
        return f"INDEXED BY {name}"
    return ""


def _build_condition(filters: HistoryFilter) -> tuple[str, list[object]]:
    """Return the WHERE clause and its values."""
    marks = ", ".join("?" * len(filters.axes))
    clauses = [f"axis IN ({marks})", "day >= ?", "day < ?"]
    values: list[object] = [axis.value for axis in filters.axes]
    values += [filters.since_us // DAY_US, -(-filters.until_us // DAY_US)]
    for name in ("country", "region", "asn", "service"):
        if value := getattr(filters, name):
            clauses.append(f"{name} = ?")
            values.append(value)
    if filters.only_trouble:
        clauses.append("trouble")
    return " AND ".join(clauses), values


def _describe_error(file: Path, error: sqlite3.Error) -> str:
    return f"{file} cannot be used ({error}): delete it; it is made again from the daily files."


class HistoryReader:
    """Reader for one question at a time; without the file there is no history."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self, filters: HistoryFilter) -> CellHistory:
        """Read as HistoryTable does. Raises HistoryError, TooMuchError."""
        if not self._file.exists():
            return CellHistory()
        with closing(HistoryTable(self._file)) as history:
            return history.read(filters)

    def count_blocking_networks(self, filters: HistoryFilter) -> list[BlockingNetwork]:
        """Count as HistoryTable does. Raises HistoryError."""
        if not self._file.exists():
            return []
        with closing(HistoryTable(self._file)) as history:
            return history.count_blocking_networks(filters)
