"""Writers of blocks and cells; only the writing thread may call them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from heliograph_collector.model.judgement import Judgement
from heliograph_collector.model.records import Block, Cell
from heliograph_collector.store import queries
from heliograph_collector.store.arrow_rows import (
    JudgedTables,
    build_table,
    drop_present,
)
from heliograph_collector.store.certificates import CertificateSelector
from heliograph_collector.store.clickhouse import ClickHouse
from heliograph_collector.store.daily_totals import DailyTotals

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped] # it ships no types

BEGUN_MARK = "begun"
DONE_MARK = "done"
_IN_BLOCK = "position BETWEEN {first:UInt64} AND {last:UInt64}"
_PRESENCE_TESTS = {
    "measurements": (("id",), _IN_BLOCK),
    "verdicts": (("id", "endpoint"), "judged = {last:UInt64}"),
    "presence": (("position",), f"journal = {{journal:String}} AND {_IN_BLOCK}"),
    "quarantine": (("position", "index"), f"journal = {{journal:String}} AND {_IN_BLOCK}"),
}


class CellWriter:
    """Replace cells by key, with a version that rises with every write.

    The column `written` has the version. It was the machine's time in earlier versions, and no
    clock is asked now, so that one that was ahead or goes back cannot decide which cell counts.
    """

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._versions: dict[str, int] = {}  # the last one of each table

    def put(self, cells: Sequence[Cell]) -> None:
        """Write cells. Raises StoreError."""
        by_table: dict[str, list[Cell]] = {}
        for cell in cells:
            by_table.setdefault(queries.CELL_TABLES.get(cell.bin_s, "cells"), []).append(cell)
        for table, table_cells in by_table.items():
            version = self._read_version(table) + 1
            self._versions[table] = version
            self._clickhouse.insert(table, build_table("cells", table_cells, written=version), "")

    def _read_version(self, table: str) -> int:
        if table not in self._versions:
            sql = f"SELECT toUnixTimestamp64Micro(max(written)) FROM {table}"  # noqa: S608 the table is one of queries.CELL_TABLES or "cells"
            return int(self._clickhouse.query_written(sql, {})[0][0])
        return self._versions[table]


class BlockWriter:
    """Write blocks; a block can be repeated fully or from any point on.

    States of a block: *begun* (its begun mark is stored, any of its rows may be), *done* (its done
    mark is stored, so are all rows). A block with the bounds of the last begun mark is a replay,
    which inserts only missing rows.
    """

    def __init__(self, clickhouse: ClickHouse, daily_totals: DailyTotals) -> None:
        self._clickhouse = clickhouse
        self._daily_totals = daily_totals
        # By journal. Where other hosts write its blocks too, each block asks for the mark.
        self._begun: dict[str, tuple[int, int]] = {}
        self._certificates = CertificateSelector(clickhouse)

    def put(self, block: Block) -> None:
        """Write a block: the begun mark, its rows, the done mark.

        Measurements are the last rows, so that no reader sees one without its verdicts. A replay
        queries for stored rows, because deduplication tokens are not reliable on the embedded
        engine: after a kill it refused the replay of a block whose rows were missing.
        """
        begun = self._begun.pop(block.journal, None) or self.read_mark(block.journal, BEGUN_MARK)
        is_replay = begun == (block.first, block.last)
        self._daily_totals.mark_changed((t.started_us, t.vantage.country) for t, _ in block.judged)
        token = f"{block.journal}-{block.first}-{block.last}"
        if not is_replay:
            self._write_mark(block, BEGUN_MARK)
        if self._clickhouse.is_only_writer:
            self._begun[block.journal] = (block.first, block.last)
        for table, rows in self._build_tables(block, is_replay=is_replay):
            # A certificate that comes twice is one row after a merge, and one in each answer.
            has_key = is_replay and table != "certificates"
            self._clickhouse.insert(
                table, self._drop_present(table, rows, block) if has_key else rows, token
            )
        self._write_mark(block, DONE_MARK)

    def _build_tables(self, block: Block, *, is_replay: bool) -> "Iterator[tuple[str, pa.Table]]":
        """Yield the rows of each table when those before it are written, in order."""
        yield "presence", build_table("presence", block.presence, journal=block.journal)
        yield "quarantine", build_table("quarantine", block.refused, journal=block.journal)
        new_records = (record for record, _ in block.judged if record.position >= block.first)
        certificates = self._certificates.select(new_records, is_replay=is_replay)
        yield "certificates", build_table("certificates", certificates)
        tables = JudgedTables(
            [Judgement(measurement=t, verdicts=v, number=block.last) for t, v in block.judged],
            block.bodies,
        )
        yield "verdicts", tables.build_verdicts()
        yield "measurements", tables.build_measurements(block.first)

    def put_judgements(self, judgements: Sequence[Judgement]) -> None:
        """Write judgements that replace those with lower numbers. Raises StoreError."""
        self._daily_totals.mark_changed(
            (j.measurement.started_us, j.measurement.vantage.country) for j in judgements
        )
        self._clickhouse.insert("verdicts", JudgedTables(judgements).build_verdicts(), "")

    def _drop_present(self, table: str, rows: "pa.Table", block: Block) -> "pa.Table":
        sql, key = _build_present_query(table)
        bounds = {"journal": block.journal, "first": block.first, "last": block.last}
        return drop_present(rows, key, set(self._clickhouse.query_written(sql, bounds)))

    def _write_mark(self, block: Block, kind: str) -> None:
        mark = build_table("blocks", [block], kind=kind)
        self._clickhouse.insert("blocks", mark, f"{block.journal}-{block.last}-{kind}")

    def read_mark(self, journal: str, kind: str) -> tuple[int, int]:
        sql = (
            "SELECT first, last FROM blocks WHERE journal = {journal:String} AND kind = "
            "{kind:String} ORDER BY last DESC LIMIT 1"
        )
        rows = self._clickhouse.query_written(sql, {"journal": journal, "kind": kind})
        return (rows[0][0], rows[0][1]) if rows else (0, 0)


def _build_present_query(table: str) -> tuple[str, tuple[str, ...]]:
    """Return SQL for the stored rows of a block, and their key columns."""
    key, condition = _PRESENCE_TESTS[table]
    names = ", ".join(f"`{name}`" for name in key)
    return f"SELECT {names} FROM {table} WHERE {condition}", key  # noqa: S608 fixed text, no value
