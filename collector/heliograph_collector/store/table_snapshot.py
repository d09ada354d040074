"""Clones of all tables at one moment, which later writes and merges do not change.

A clone shares its parts with the table by hard links, so that making it takes a fraction of a
second whatever the size: blocks wait for that only, and the clones are read beside them. Rows of a
table that replaces are counted and hashed as a reader sees them (FINAL), because how many of the
replaced rows are still there depends on merges, and on whether they came in one insert.
"""

from collections.abc import Generator, Iterable

import msgspec

from heliograph_collector.store.clickhouse import CLONES, DATABASE, ClickHouse, StoreError
from heliograph_collector.store.writers import DONE_MARK

# Tables of earlier versions; what they held is in another table of the same backup.
RETIRED_TABLES = frozenset({"observations"})  # until schema 14: the steps of measurements' bodies


class TableSummary(msgspec.Struct, frozen=True):
    """Rows of a table as a reader sees them; `hash` is "" where it is not known."""

    name: str
    rows: int
    hash: str = ""
    columns: tuple[str, ...] = ()


class StoreSnapshot(msgspec.Struct, frozen=True):
    """Content of a snapshot; `positions` has the last stored position of each journal."""

    tables: tuple[TableSummary, ...]
    positions: dict[str, int]


class TableSnapshot:
    """Clones of the tables, to be exported.

    `create` and `drop` belong to the writing thread, the other methods to the exporting one.
    """

    def __init__(self, clickhouse: ClickHouse, tables: Iterable[str]) -> None:
        self._clickhouse = clickhouse
        self._tables = tuple(tables)

    def create(self) -> None:
        """Clone all tables, in place of an earlier snapshot. Raises StoreError."""
        self.drop()
        self._clickhouse.command(f"CREATE DATABASE {CLONES}")
        for table in self._tables:
            clone = f"{CLONES}.{table}"
            self._clickhouse.command(f"CREATE TABLE {clone} AS {DATABASE}.{table}")
            # A clone is read once: merges would be for nothing.
            self._clickhouse.command(f"SYSTEM STOP MERGES {clone}")
            attach = f"ALTER TABLE {clone} ATTACH PARTITION ALL FROM {DATABASE}.{table}"
            self._clickhouse.command(attach)

    def drop(self) -> None:
        """Delete the clones, also those that a kill left behind. Raises StoreError.

        Truncation frees their disk at once. The engine itself deletes a dropped table minutes
        later, and DROP … SYNC never returned on the embedded engine (26.5, 300 s).
        """
        sql = f"SELECT name FROM system.tables WHERE database = '{CLONES}'"  # noqa: S608 fixed name
        for (table,) in self._clickhouse.query_written(sql, {}):
            self._clickhouse.command(f"TRUNCATE TABLE {CLONES}.{table}")
        self._clickhouse.command(f"DROP DATABASE IF EXISTS {CLONES}")

    def summarize(self) -> StoreSnapshot:
        """Count and hash the clones. Raises StoreError."""
        sql = (
            f"SELECT journal, max(last) FROM {CLONES}.blocks"  # noqa: S608 fixed names
            f" WHERE kind = '{DONE_MARK}' GROUP BY journal"
        )
        positions = {str(row[0]): int(row[1]) for row in self._clickhouse.query_export(sql)}
        tables = [self._summarize(CLONES, table, ()) for table in self._tables]
        return StoreSnapshot(tuple(tables), positions)

    def read(self, table: str) -> Generator[bytes, None, None]:
        """Read a clone in the engine's Native format. Raises StoreError."""
        yield from self._clickhouse.export(f"SELECT * FROM {CLONES}.{table} FINAL")  # noqa: S608 the table is one of ours

    def load(self, summary: TableSummary, pieces: Iterable[bytes]) -> None:
        """Fill an empty table and compare it with its summary. Raises StoreError.

        A retired table is passed over. It runs in the writing thread.
        """
        table = summary.name
        if table in RETIRED_TABLES:
            return
        if table not in self._tables:
            raise StoreError(f"{table[:64]!r} is no table of this version: update Heliograph.")
        self._clickhouse.command(f"SYSTEM STOP MERGES {DATABASE}.{table}")
        try:
            self._clickhouse.load(table, summary.columns, pieces)
            loaded = self._summarize(DATABASE, table, summary.columns)
        finally:
            self._clickhouse.command(f"SYSTEM START MERGES {DATABASE}.{table}")
        _compare(summary, loaded)

    def count_rows(self) -> int:
        """Return the number of rows in all tables. Raises StoreError."""
        return sum(self._count_rows(table) for table in self._tables)

    def clear(self) -> None:
        """Delete all rows of all tables. Raises StoreError."""
        for table in self._tables:
            self._clickhouse.command(f"TRUNCATE TABLE {DATABASE}.{table}")

    def _count_rows(self, table: str) -> int:
        sql = f"SELECT count() AS rows_ FROM {DATABASE}.{table}"  # noqa: S608 the table is one of ours
        return int(self._clickhouse.query_written(sql, {})[0][0])

    def _summarize(self, database: str, table: str, columns: tuple[str, ...]) -> TableSummary:
        names = columns or self._list_columns(database, table)
        row = ", ".join(f"`{name}`" for name in names)
        # A sum of 64-bit hashes does not depend on the order of rows; it finds damage, not malice.
        sql = (
            f"SELECT count() AS rows_, sum(cityHash64({row})) AS hash_"  # noqa: S608 names of ours
            f" FROM {database}.{table} FINAL"
        )
        ((count, hash_),) = self._clickhouse.query_export(sql)
        return TableSummary(table, int(count), str(hash_), names)

    def _list_columns(self, database: str, table: str) -> tuple[str, ...]:
        sql = (
            f"SELECT name FROM system.columns WHERE database = '{database}'"  # noqa: S608 fixed names
            f" AND table = '{table}' ORDER BY position"
        )
        return tuple(str(row[0]) for row in self._clickhouse.query_export(sql))


def _compare(saved: TableSummary, loaded: TableSummary) -> None:
    if not saved.hash:  # format 1 counted replaced rows too, where they were not merged yet
        is_equal = loaded.rows <= saved.rows and (loaded.rows > 0) == (saved.rows > 0)
    else:
        is_equal = (loaded.rows, loaded.hash) == (saved.rows, saved.hash)
    if not is_equal:
        raise StoreError(
            f"The table {saved.name} came out with {loaded.rows} rows, and {saved.rows} were "
            "saved or their content differs: take another backup."
        )
