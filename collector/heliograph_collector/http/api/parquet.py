"""Cells of one day as a Parquet file; each column is declared once.

A declaration holds type, unit, meaning and source. Cells of fewer than `k` vantages have no row,
and a count is the lower bound of its band, as in the timeline. So a file reveals no more than the
API.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph.durable_file import move_file
from heliograph_collector.http.anonymity import band_floor
from heliograph_collector.http.api.parameters import write_time
from heliograph_collector.model.records import Cell, VerdictState

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped] # it ships no types
    import pyarrow.parquet as pq  # type: ignore[import-untyped] # it ships no types

SCHEMA = 1  # increases when a column changes; new columns come last
BIN_S = 300
_COUNT = "the least number of its band (0, 5, 10, 20, 50; exact where k_anonymity is 1)"


@dataclass(frozen=True, slots=True)
class DumpColumn:
    """A column; `read` takes a cell and k."""

    name: str
    type: str
    unit: str
    meaning: str
    read: Callable[[Cell, int], Any]


def _count_column(name: str, meaning: str) -> DumpColumn:
    return DumpColumn(
        name,
        "uint32",
        "vantages",
        f"{meaning}: {_COUNT}",
        lambda c, k: band_floor(getattr(c, name), k),
    )


COLUMNS = (
    DumpColumn("country", "string", "ISO 3166-1 alpha-2", "ZZ: not known", lambda c, k: c.country),
    DumpColumn(
        "region",
        "string",
        "ISO 3166-2",
        "as the volunteers declared it; empty: not declared, or other networks",
        lambda c, k: c.region,
    ),
    DumpColumn(
        "asn",
        "uint32",
        "autonomous system number",
        "0: not known, or the country's places of too few together",
        lambda c, k: c.asn,
    ),
    DumpColumn(
        "access",
        "string",
        "mobile, fixed, hosting, unknown",
        "how the vantages reach their provider; empty: other networks",
        lambda c, k: c.access,
    ),
    DumpColumn(
        "service",
        "string",
        "name or target",
        "what was tried; empty: nobody tried anything there, and some fell silent",
        lambda c, k: c.service,
    ),
    DumpColumn("start", "timestamp[us, UTC]", "UTC", "start of the bin", lambda c, k: c.start_us),
    DumpColumn("bin_s", "uint32", "seconds", "width of the bin", lambda c, k: c.bin_s),
    _count_column("vantages", "distinct vantages that measured"),
    _count_column("reachable", "vantages that reached it"),
    _count_column("blocked", "vantages that found it blocked"),
    _count_column("down", "vantages that found it down, as the control did"),
    _count_column("unknown", "vantages in doubt"),
    _count_column(
        "silent", "vantages of the place that were gone without goodbye when the bin ended"
    ),
    DumpColumn(
        "state",
        "string",
        "reachable, blocked, down, unknown",
        "what two thirds of the networks that know say; unknown where too few measured",
        lambda c, k: c.state.value if _has_enough(c, k) else VerdictState.UNKNOWN.value,
    ),
    DumpColumn(
        "confidence",
        "float64",
        "0 to 1",
        "of the state; in tenths, rounded down, unless k_anonymity is 1",
        lambda c, k: c.confidence if _has_enough(c, k) else 0.0,
    ),
    DumpColumn(
        "layer",
        "string",
        "dns, tcp, tls, quic, http, protocol",
        "where it is blocked or down, the commonest; else empty",
        lambda c, k: c.layer if _has_enough(c, k) else "",
    ),
    DumpColumn(
        "method",
        "string",
        "a word of the methodology",
        "how, the commonest; else empty",
        lambda c, k: c.method if _has_enough(c, k) else "",
    ),
)


def _has_enough(cell: Cell, k: int) -> bool:
    return cell.vantages >= max(k, 1)


def build_dictionary() -> dict[str, Any]:
    """Build the description of the columns, for people and programs."""
    return {
        "title": "Heliograph: daily cells",
        "about": "One file a UTC day, one row for each place, service and five minutes in which "
        "at least k_anonymity vantages measured or fell silent. Where there is no row nobody "
        "looked, or too few to be shown: that is not known, and never good. Places of too few "
        "are together as network 0 of their country. No measurement and no vantage is in here.",
        "revisions": "A file is written when its day is over and again when late data changed it: "
        "revision, bytes and sha256 in index.json say so.",
        "schema": SCHEMA,
        "row": ["country", "region", "asn", "access", "service", "start"],
        "columns": [
            {"name": c.name, "type": c.type, "unit": c.unit, "meaning": c.meaning} for c in COLUMNS
        ],
    }


def build_schema(day: str, k: int) -> "pa.Schema":
    import pyarrow as pa

    types = {"timestamp[us, UTC]": pa.timestamp("us", "UTC"), "uint32": pa.uint32()}
    types |= {"string": pa.string(), "float64": pa.float64()}
    fields = [
        pa.field(c.name, types[c.type], False, {"unit": c.unit, "meaning": c.meaning})
        for c in COLUMNS
    ]
    metadata = {"heliograph.schema": SCHEMA, "heliograph.day": day, "heliograph.k_anonymity": k}
    return pa.schema(fields, {name: str(value) for name, value in metadata.items()})


@dataclass(frozen=True, slots=True)
class WrittenDump:
    rows: int
    bytes: int
    sha256: str


class DayFile:
    """A file written hour by hour and renamed when complete. Call it in a thread."""

    def __init__(self, path: Path, day_us: int, k: int) -> None:
        self._path = path
        self._k = k
        self._partial_path = path.with_name(path.name + ".new")
        self._schema = build_schema(write_time(day_us)[:10], k)
        self._writer: pq.ParquetWriter | None = None
        self._rows = 0

    def add(self, cells: Sequence[Cell]) -> None:
        """Add cells of some bins, after k-anonymity (`merge_small_cells`). Raises OSError."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = sorted((c for c in cells if _count_people(c) >= max(self._k, 1)), key=_sort_key)
        if not rows:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._partial_path, self._schema, compression="zstd")
        arrays = [
            pa.array([column.read(c, self._k) for c in rows], field.type)
            for column, field in zip(COLUMNS, self._schema, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows += len(rows)

    def close(self) -> WrittenDump | None:
        """Rename the complete file; None, and no file, if it has no row. Raises OSError."""
        if self._writer is None:
            self._path.unlink(missing_ok=True)
            return None
        self._writer.close()
        with self._partial_path.open("rb") as stream:
            os.fsync(stream.fileno())
            digest = _hash_stream(stream.read)
            size = stream.tell()
        move_file(self._partial_path, self._path)
        return WrittenDump(self._rows, size, digest)

    def abandon(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._partial_path.unlink(missing_ok=True)


def _hash_stream(read: Callable[[int], bytes]) -> str:
    digest = sha256()
    while piece := read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


def _count_people(cell: Cell) -> int:
    return max(cell.vantages, cell.silent)


def _sort_key(cell: Cell) -> tuple[object, ...]:
    return (cell.country, cell.service, cell.region, cell.asn, cell.access, cell.start_us)
