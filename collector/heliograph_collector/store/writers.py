"""Write blocks and cells as Arrow tables; only the writing thread may call it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from heliograph.codec import measurement_to_pb
from heliograph_collector.model.judgement import Judgement
from heliograph_collector.model.records import Block, Cell, ReceivedMeasurement
from heliograph_collector.store import queries
from heliograph_collector.store.certificates import CertificateSelector
from heliograph_collector.store.clickhouse import ClickHouse
from heliograph_collector.store.daily_totals import DailyTotals

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped] # it ships no types

_LEAP = 1_000_000  # versions of cells; a process writes far fewer after it has lost its lease
NO_BODIES: Mapping[str, bytes] = {}
# Name of the column, its kind, and the path of attributes from a row to the value.
_Column = tuple[str, str, str]
BEGUN_MARK = "begun"
DONE_MARK = "done"
_IN_BLOCK = "position BETWEEN {first:UInt64} AND {last:UInt64}"
_PRESENCE_TESTS = {
    "measurements": (("id",), _IN_BLOCK),
    "verdicts": (("id", "endpoint"), "judged = {last:UInt64}"),
    "presence": (("position",), f"journal = {{journal:String}} AND {_IN_BLOCK}"),
    "quarantine": (("position", "index"), f"journal = {{journal:String}} AND {_IN_BLOCK}"),
}


class _StoredMeasurement(msgspec.Struct, frozen=True):
    """The measurement from which a row and the rows of its verdicts are built."""

    record: ReceivedMeasurement
    received_body: bytes  # as it came, b"" where it was not kept

    @property
    def service(self) -> str:
        """Return the service, or the single target, by which votes are counted."""
        return self.record.measurement.service or self.record.measurement.target

    @property
    def body(self) -> bytes:
        if self.received_body:  # to encode it again takes half of a row's CPU
            return self.received_body
        measurement = self.record.measurement
        if measurement.certificates:  # they have a separate table
            measurement = replace(measurement, certificates=())
        return measurement_to_pb(measurement).SerializeToString()


def _same_names(kind: str, path: str, *names: str) -> list[_Column]:
    """Return columns that are named as the attributes of the part at `path`."""
    prefix = f"{path}." if path else ""
    return [(name, kind, prefix + name) for name in names]


_PLACE = ("country", "region", "access")
_SHARED_COLUMNS = [
    ("started", "time", "record.started_us"),
    ("service", "text", "service"),
    *_same_names("text", "record", "id", "role"),
    *_same_names("text", "record.vantage", *_PLACE),
    *_same_names("uint32", "record.vantage", "asn"),
    *_same_names("text", "record.measurement", "experiment"),
    ("nym", "text", "record.pseudonym"),
    *_same_names("text", "record", "prefix", "link"),
    *_same_names("text", "record", "seniority"),
    *_same_names("text", "record.measurement", "target"),
    ("received", "time", "record.received_us"),
]
_COLUMNS_BY_TABLE: dict[str, list[_Column]] = {
    "shared": _SHARED_COLUMNS,
    "measurements": [  # beside those that are shared
        ("body", "bytes", "body"),
        *_same_names("uint64", "record", "position"),
        *_same_names("text", "record.measurement", "not_measured", "services_version"),
        *_same_names("uint32", "record.measurement", "experiment_version"),
        *_same_names("uint64", "record.measurement", "runtime_us", "plan_version"),
    ],
    "verdicts": [
        *_same_names("text", "", "endpoint", "state", "layer", "method", "rule", "issuer"),
        *_same_names("text", "", "fingerprint", "function"),
        *_same_names("bool", "", "confirmed"),
        *_same_names("float64", "", "confidence"),
        *_same_names("uint16s", "", "evidence"),
        *_same_names("uint16", "", "reachable_endpoints", "endpoints"),
    ],
    "certificates": [
        *_same_names("text", "", "sha256"),
        ("started", "time", "started_us"),
        ("received", "time", "received_us"),
        *_same_names("bytes", "", "der"),
    ],
    "presence": [
        ("received", "time", "received_us"),
        ("heard", "time", "heard_us"),
        ("why", "text", "reason"),
        ("nym", "text", "pseudonym"),
        *_same_names("uint64", "", "position"),
        *_same_names("text", "", "kind", "prefix", "role", "journal", "seniority"),
        *_same_names("text", "vantage", *_PLACE),
        *_same_names("uint32", "vantage", "asn"),
    ],
    "quarantine": [
        ("received", "time", "received_us"),
        *_same_names("uint64", "", "position"),
        *_same_names("int32", "", "index"),
        *_same_names("text", "", "reason", "journal"),
        *_same_names("bytes", "", "body"),
    ],
    "cells": [
        ("start", "time", "start_us"),
        ("written", "time", "written"),
        *_same_names("text", "", *_PLACE, "service", "state", "layer", "method"),
        *_same_names("uint32", "", "asn", "bin_s", "vantages", "reachable", "blocked", "down"),
        *_same_names("uint32", "", "unknown", "silent", "prefixes"),
        ("established", "optional", "established"),
        ("silent_established", "optional", "silent_established"),
        *_same_names("float64", "", "confidence"),
        *_same_names("counts", "", "layers"),
    ],
    "blocks": [
        *_same_names("text", "", "journal", "kind"),
        *_same_names("uint64", "", "first", "last"),
    ],
}


def _build_table(table: str, rows: Iterable[object], **constants: str | int) -> "pa.Table":
    """Build the columns of a table from its records.

    Args:
        table: Its name; "shared" are the columns that `measurements` and `verdicts` both have.
        rows: One object for each row, whose attributes are the values.
        constants: Values of columns that all rows share.
    """
    import pyarrow as pa

    records = list(rows)
    columns = {}
    for name, kind, path in _COLUMNS_BY_TABLE[table]:
        is_constant = name in constants
        values = [constants[name]] * len(records) if is_constant else map(attrgetter(path), records)
        columns[name] = pa.array(values, _find_arrow_type(kind), size=len(records))
    return pa.table(columns)


class _JudgedTables:
    """Rows of measurements and of their verdicts, whose shared columns are read once."""

    def __init__(
        self, judgements: Sequence[Judgement], bodies: Mapping[str, bytes] = NO_BODIES
    ) -> None:
        self._judgements = judgements
        self._stored = [
            _StoredMeasurement(j.measurement, bodies.get(j.measurement.id, b"")) for j in judgements
        ]
        self._shared = _build_table("shared", self._stored)

    def build_measurements(self, first: int) -> "pa.Table":
        """Build the rows of the measurements at this journal position and after it."""
        chosen = [i for i, s in enumerate(self._stored) if s.record.position >= first]
        own = _build_table("measurements", [self._stored[i] for i in chosen])
        return _join(self._shared, chosen, own)

    def build_verdicts(self) -> "pa.Table":
        """Build the rows of all verdicts.

        The judgement with the highest number replaces all others.
        """
        import pyarrow as pa

        owners = [i for i, j in enumerate(self._judgements) for _ in j.verdicts]
        own = _build_table("verdicts", [v for j in self._judgements for v in j.verdicts])
        numbers = pa.array([self._judgements[i].number for i in owners], pa.uint64())
        return _join(self._shared, owners, own.append_column("judged", numbers))


def _join(shared: "pa.Table", rows: Sequence[int], own: "pa.Table") -> "pa.Table":
    """Put columns beside those of the shared rows at these indices, in order."""
    import pyarrow as pa

    joined = shared.take(pa.array(rows, pa.int64()))
    for name in own.column_names:
        joined = joined.append_column(name, own.column(name))
    return joined


def _drop_present_rows(
    rows: "pa.Table", key: Sequence[str], present_keys: set[tuple[Any, ...]]
) -> "pa.Table":
    """Return the rows whose key is not in `present_keys`."""
    import pyarrow as pa

    keys = zip(*(rows.column(name).to_pylist() for name in key), strict=True)
    return rows.filter(pa.array([row_key not in present_keys for row_key in keys], pa.bool_()))


def _find_arrow_type(kind: str) -> "pa.DataType":
    import pyarrow as pa

    types: dict[str, pa.DataType] = {
        "text": pa.string(),
        "bytes": pa.binary(),
        "time": pa.timestamp("us", "UTC"),  # never int64: the engine would read it as seconds
        "bool": pa.bool_(),
        "int32": pa.int32(),
        "uint16": pa.uint16(),
        "uint16s": pa.list_(pa.uint16()),
        "uint32": pa.uint32(),
        "optional": pa.uint32(),
        "uint64": pa.uint64(),
        "float64": pa.float64(),
        "counts": pa.map_(pa.string(), pa.uint32()),
    }
    return types[kind]


class CellWriter:
    """Replace cells by key, with a version that rises with every write.

    The column `written` has the version. It was the machine's time in earlier versions, and no
    clock is asked now, so that one that was ahead or goes back cannot decide which cell counts.
    Each process begins far above the one before, which may have a last write under way.
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
            version = self._choose_version(table)
            self._versions[table] = version
            self._clickhouse.insert(table, _build_table("cells", table_cells, written=version), "")

    def _choose_version(self, table: str) -> int:
        if table not in self._versions:
            sql = f"SELECT toUnixTimestamp64Micro(max(written)) FROM {table}"  # noqa: S608 the table is one of queries.CELL_TABLES or "cells"
            return int(self._clickhouse.query_written(sql, {})[0][0]) + _LEAP
        return self._versions[table] + 1


class BlockWriter:
    """Write blocks; a block can be repeated whole, or from any point in it.

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
        yield "presence", _build_table("presence", block.presence, journal=block.journal)
        yield "quarantine", _build_table("quarantine", block.refused, journal=block.journal)
        new_records = (record for record, _ in block.judged if record.position >= block.first)
        certificates = self._certificates.select(new_records, is_replay=is_replay)
        yield "certificates", _build_table("certificates", certificates)
        tables = _JudgedTables(
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
        self._clickhouse.insert("verdicts", _JudgedTables(judgements).build_verdicts(), "")

    def _drop_present(self, table: str, rows: "pa.Table", block: Block) -> "pa.Table":
        sql, key = _build_present_query(table)
        bounds = {"journal": block.journal, "first": block.first, "last": block.last}
        return _drop_present_rows(rows, key, set(self._clickhouse.query_written(sql, bounds)))

    def _write_mark(self, block: Block, kind: str) -> None:
        mark = _build_table("blocks", [block], kind=kind)
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
