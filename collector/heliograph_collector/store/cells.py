"""Cells as they are now, in place of those with the same key: the one that was written last stays.

By a clock that only goes forward: one that was set back would leave what it wrote before in place.
"""

from collections.abc import Sequence

from heliograph_collector.store import columns
from heliograph_collector.store.clickhouse import ClickHouse
from heliograph_collector.store.queries import CELLS
from heliograph_collector.store.rows import Cell

_NOW = "SELECT toUnixTimestamp64Micro(now64(6))"


class Cells:
    """The writing side; only the writing thread may call it."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._written: dict[str, int] = {}  # by table: the last moment written, in µs

    def put(self, cells: Sequence[Cell]) -> None:
        """Raises StoreError."""
        by_table: dict[str, list[Cell]] = {}
        for cell in cells:
            by_table.setdefault(CELLS.get(cell.bin_s, "cells"), []).append(cell)
        for table, some in by_table.items():
            self._written[table] = written_us = max(self._ask(_NOW), self._last(table) + 1)
            self._clickhouse.insert(table, columns.cells(some, written_us), "")

    def _last(self, table: str) -> int:
        if table not in self._written:
            text = f"SELECT toUnixTimestamp64Micro(max(written)) FROM {table}"  # noqa: S608 our own words
            return self._ask(text)
        return self._written[table]

    def _ask(self, text: str) -> int:
        return int(self._clickhouse.written(text, {})[0][0])
