"""Store results imported from other projects in a separate file, DATA/imported.db.

They are apart from the store, so that no query of votes, cells or daily files can reach them, and
so that a command adds to them while `serve` runs. Outages that other projects report stand beside
them.

Example:
    with closing(ImportedResults(data / FILE)) as imported:
        imported.add(results, now_us, RULES_VERSION)
        cells = imported.count_cells(ImportedFilter(since_us=0, until_us=now_us), bin_s=86_400)
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.model.imported import (
    MAX_CELLS,
    ImportedCell,
    ImportedFilter,
    ImportedHistory,
    ImportedResult,
    ReportedOutage,
)
from heliograph_collector.store.clickhouse import StoreError
from heliograph_collector.store.disk_errors import describe_database_error
from heliograph_collector.store.imported_history import (
    DAYS_SCHEMA,
    SUM_NETWORKS,
    TARGET_GROUPS,
    read_imported_history,
)
from heliograph_collector.store.side_database import open_side_database

FILE = "imported.db"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS results (
  source TEXT NOT NULL, key TEXT NOT NULL, country TEXT NOT NULL, asn INTEGER NOT NULL,
  test TEXT NOT NULL, target TEXT NOT NULL, started_us INTEGER NOT NULL, state TEXT NOT NULL,
  layer TEXT NOT NULL, method TEXT NOT NULL, rule TEXT NOT NULL, confidence REAL NOT NULL,
  reachable_endpoints INTEGER NOT NULL, endpoints INTEGER NOT NULL, imported_us INTEGER NOT NULL,
  rules_version INTEGER NOT NULL, PRIMARY KEY (source, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS results_by_time ON results (started_us);
CREATE INDEX IF NOT EXISTS results_by_place ON results (country, started_us);
CREATE TABLE IF NOT EXISTS day_counts (
  country TEXT NOT NULL, day INTEGER NOT NULL, source TEXT NOT NULL, test TEXT NOT NULL,
  target TEXT NOT NULL, asn INTEGER NOT NULL, reachable INTEGER NOT NULL, partial INTEGER NOT NULL,
  blocked INTEGER NOT NULL, down INTEGER NOT NULL, unknown INTEGER NOT NULL,
  newest_us INTEGER NOT NULL, imported_us INTEGER NOT NULL,
  PRIMARY KEY (country, day, source, test, target, asn)
) WITHOUT ROWID;
"""
_COUNT_DAYS = f"""
INSERT INTO day_counts
SELECT country, started_us / {DAY_US}, source, test, target, asn, sum(state = 'reachable'),
  sum(state = 'partial'), sum(state = 'blocked'), sum(state = 'down'), sum(state = 'unknown'),
  max(started_us), max(imported_us)
FROM results
"""  # noqa: S608 a fixed number
_DAY_GROUPS = f" GROUP BY country, started_us / {DAY_US}, source, test, target, asn"
_COLUMNS = (
    *("source", "key", "country", "asn", "test", "target", "started_us", "state", "layer"),
    *("method", "rule", "confidence", "reachable_endpoints", "endpoints"),
)
# Of the second import of a measurement, only what the rules say now is new.
_ADD = f"""
INSERT INTO results ({", ".join(_COLUMNS)}, imported_us, rules_version)
VALUES ({", ".join(f":{name}" for name in _COLUMNS)}, :imported_us, :rules_version)
ON CONFLICT (source, key) DO UPDATE SET
  state = excluded.state, layer = excluded.layer, method = excluded.method, rule = excluded.rule,
  confidence = excluded.confidence, reachable_endpoints = excluded.reachable_endpoints,
  endpoints = excluded.endpoints, rules_version = excluded.rules_version
WHERE excluded.rules_version >= results.rules_version
"""  # noqa: S608 fixed names, no value
_COUNT = """
SELECT source, country, asn, test, target, started_us - started_us % :bin_us AS start_us,
  :bin_s AS bin_s, sum(state = 'reachable') AS reachable, sum(state = 'partial') AS partial,
  sum(state = 'blocked') AS blocked, sum(state = 'down') AS down,
  sum(state = 'unknown') AS unknown, max(started_us) AS newest_us, max(imported_us) AS imported_us
FROM results
WHERE started_us >= :since_us AND started_us < :until_us
  AND :source IN ('', source) AND :country IN ('', country) AND :test IN ('', test)
  AND (:asn IS NULL OR asn = :asn) AND (:target IS NULL OR target = :target)
GROUP BY source, country, asn, test, target, start_us
ORDER BY start_us, country, asn, test, target, source LIMIT :most
"""
_MAX_OUTAGES = 2_000  # of one question; assumed
_OUTAGES_SCHEMA = """
CREATE TABLE IF NOT EXISTS outages (
  source TEXT NOT NULL, signal TEXT NOT NULL, country TEXT NOT NULL, asn INTEGER NOT NULL,
  since_us INTEGER NOT NULL, until_us INTEGER, read_us INTEGER NOT NULL, url TEXT NOT NULL,
  attribution TEXT NOT NULL, PRIMARY KEY (country, asn, source, signal, since_us)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS outages_by_network ON outages (asn, since_us) WHERE asn > 0;
"""
_OUTAGE_COLUMNS = (
    "source", "signal", "country", "asn", "since_us", "until_us", "read_us", "url", "attribution",
)  # fmt: skip
_INSERT_OUTAGE = (
    f"INSERT OR REPLACE INTO outages ({', '.join(_OUTAGE_COLUMNS)}) "  # noqa: S608 fixed names
    f"VALUES ({', '.join(f':{name}' for name in _OUTAGE_COLUMNS)})"
)


class ImportedResultsError(StoreError):
    """The file cannot be used; str() is a sentence with the cure."""


class ImportedResults:
    """The imported results; commands write them while `serve` reads."""

    def __init__(self, file: Path) -> None:
        """Open the file, and make it if it is missing. Raises ImportedResultsError."""
        self._file = file
        try:
            self._db = open_side_database(file, _SCHEMA + DAYS_SCHEMA + _OUTAGES_SCHEMA)
        except OSError as error:
            raise ImportedResultsError(f"{file} cannot be written ({error.strerror}).") from error
        except sqlite3.Error as error:
            raise ImportedResultsError(describe_database_error(file, error)) from error
        try:
            self._count_earlier_days()
        except sqlite3.Error as error:
            self._db.close()
            raise ImportedResultsError(describe_database_error(file, error)) from error

    def close(self) -> None:
        self._db.close()

    def add(self, results: Iterable[ImportedResult], imported_us: int, rules_version: int) -> int:
        """Add results in one transaction, and judge again those that are here already.

        Returns:
            How many are new.

        Raises:
            ImportedResultsError: Nothing of them was added.
        """
        shared = {"imported_us": imported_us, "rules_version": rules_version}
        rows = [{name: getattr(x, name) for name in _COLUMNS} | shared for x in results]
        try:
            with self._db:
                before = self._count()
                self._db.executemany(_ADD, rows)
                self._count_days_again(
                    {(str(row["country"]), int(row["started_us"]) // DAY_US) for row in rows}
                )
                return self._count() - before
        except sqlite3.Error as error:
            raise ImportedResultsError(describe_database_error(self._file, error)) from error

    def _count_earlier_days(self) -> None:
        """Count the days of a file from before there were counts. Raises sqlite3.Error.

        A reader that finds counts writes nothing, so that it never waits for an import.
        """
        has_sums, has_counts, has_results = self._db.execute(
            "SELECT EXISTS (SELECT 1 FROM day_sums), EXISTS (SELECT 1 FROM day_counts), "
            "EXISTS (SELECT 1 FROM results)"
        ).fetchone()
        if has_sums or not (has_counts or has_results):
            return
        with self._db:
            if not has_counts:
                self._db.execute(f"{_COUNT_DAYS} WHERE true {_DAY_GROUPS}")
            self._db.execute("DELETE FROM day_sums")
            self._db.execute(f"{SUM_NETWORKS} {TARGET_GROUPS}")

    def _count_days_again(self, days: Iterable[tuple[str, int]]) -> None:
        """Count (country, day) again from their results. Raises sqlite3.Error."""
        for country, day in days:
            place = (country, day)
            for table in ("day_counts", "day_sums"):
                self._db.execute(
                    f"DELETE FROM {table} WHERE country = ? AND day = ?",  # noqa: S608 fixed names
                    place,
                )
            window = (country, day * DAY_US, (day + 1) * DAY_US)
            self._db.execute(
                f"{_COUNT_DAYS} WHERE country = ? AND started_us >= ? AND started_us < ? "
                f"{_DAY_GROUPS}",
                window,
            )
            self._db.execute(f"{SUM_NETWORKS} WHERE country = ? AND day = ? {TARGET_GROUPS}", place)

    def _count(self) -> int:
        ((count,),) = self._db.execute("SELECT count(*) FROM results")
        return int(count)

    def count_cells(self, filters: ImportedFilter, bin_s: int) -> list[ImportedCell]:
        """Count measurements by network, target and bin, oldest first, at most MAX_CELLS.

        Raises ImportedResultsError.
        """
        values = {
            "since_us": filters.since_us,
            "until_us": filters.until_us,
            "source": filters.source,
            "country": filters.country,
            "asn": filters.asn,
            "test": filters.test,
            "target": filters.target,
            "bin_s": bin_s,
            "bin_us": bin_s * SECOND_US,
            "most": MAX_CELLS,
        }
        try:
            with closing(self._db.execute(_COUNT, values)) as cursor:
                names = [column[0] for column in cursor.description]
                return [ImportedCell(**dict(zip(names, row, strict=True))) for row in cursor]
        except sqlite3.Error as error:
            raise ImportedResultsError(describe_database_error(self._file, error)) from error

    def read_history(self, filters: ImportedFilter, most: int) -> ImportedHistory:
        """Read whole days of the targets that were found blocked most often.

        Raises ImportedResultsError.
        """
        try:
            history = read_imported_history(self._db, filters, most)
            return replace(history, outages=_read_outages(self._db, filters))
        except sqlite3.Error as error:
            raise ImportedResultsError(describe_database_error(self._file, error)) from error

    def replace_outages(
        self,
        source: str,
        place: tuple[str, int],
        window: tuple[int, int],
        outages: Iterable[ReportedOutage],
    ) -> None:
        """Replace the outages that a source reported for a place in a window.

        Raises ImportedResultsError.
        """
        try:
            with self._db:
                _replace_outages(self._db, source, place, window, outages)
        except sqlite3.Error as error:
            raise ImportedResultsError(describe_database_error(self._file, error)) from error


class ImportedReader:
    """Read imported results, one query at a time.

    Without the file there are no results.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def count_cells(self, filters: ImportedFilter, bin_s: int) -> list[ImportedCell]:
        """Count as ImportedResults does. Raises ImportedResultsError."""
        if not self._file.exists():
            return []
        with closing(ImportedResults(self._file)) as imported:
            return imported.count_cells(filters, bin_s)

    def read_history(self, filters: ImportedFilter, most: int) -> ImportedHistory:
        """Read as ImportedResults does. Raises ImportedResultsError."""
        if not self._file.exists():
            return ImportedHistory()
        with closing(ImportedResults(self._file)) as imported:
            return imported.read_history(filters, most)


def _replace_outages(
    db: sqlite3.Connection,
    source: str,
    place: tuple[str, int],
    window: tuple[int, int],
    outages: Iterable[ReportedOutage],
) -> None:
    """Replace a source's outages of a place in a window. Raises sqlite3.Error.

    Args:
        db: The database, in a transaction of the caller.
        source: Which was asked.
        place: Country and ASN that it was asked about; 0 for the whole country.
        window: From when until when, microseconds UTC.
        outages: The source's answer.
    """
    db.execute(
        "DELETE FROM outages WHERE source = ? AND country = ? AND asn = ? AND since_us < ? "
        "AND coalesce(until_us, since_us) >= ?",
        (source, *place, window[1], window[0]),
    )
    db.executemany(
        _INSERT_OUTAGE, ({name: getattr(x, name) for name in _OUTAGE_COLUMNS} for x in outages)
    )


def _read_outages(db: sqlite3.Connection, filters: ImportedFilter) -> list[ReportedOutage]:
    """Read the outages of a country as a whole, or of a network. Raises sqlite3.Error."""
    if filters.test or filters.target is not None or not (filters.country or filters.asn):
        return []
    place = "asn = ? AND ? IN ('', country)" if filters.asn else "asn = ? AND country = ?"
    records = db.execute(
        f"SELECT {', '.join(_OUTAGE_COLUMNS)} FROM outages WHERE {place} AND since_us < ? "  # noqa: S608 fixed names
        "AND (until_us IS NULL OR until_us >= ?) ORDER BY source, signal, since_us LIMIT ?",
        (filters.asn or 0, filters.country, filters.until_us, filters.since_us, _MAX_OUTAGES),
    )
    return [ReportedOutage(**dict(zip(_OUTAGE_COLUMNS, record, strict=True))) for record in records]
