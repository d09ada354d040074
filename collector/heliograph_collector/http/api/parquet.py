"""Cells of one day as a Parquet file; each column is declared once.

A declaration holds type, unit, meaning and source. Its rows are the atoms of
`aggregate.disclosure`, and a count is the lower bound of its band, as in the timeline. So a file
reveals no more than the API.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import file_digest
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph.durable_file import move_file
from heliograph.timestamps import format_day
from heliograph_collector.http.anonymity import band_floor
from heliograph_collector.http.backend import DEFAULT_LICENSE
from heliograph_collector.model.published.files import ColumnDescription, DictionaryDocument
from heliograph_collector.model.records import Cell, VerdictState

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped] # it ships no types
    import pyarrow.parquet as pq  # type: ignore[import-untyped] # it ships no types

SCHEMA = 2  # increases when a column changes; new columns come last
_SORT_KEY = attrgetter("country", "service", "region", "asn", "access", "start_us")
_COUNT = "the least number of its band (0, 5, 10, 20, 50; exact where k_anonymity is 1)"


COLUMNS = tuple(
    ColumnDescription(*column)
    for column in (
        ("country", "string", "ISO 3166-1 alpha-2", "ZZ: not known"),
        (
            "region",
            "string",
            "ISO 3166-2",
            "as the volunteers declared it; empty: not declared, or other networks",
        ),
        (
            "asn",
            "uint32",
            "autonomous system number",
            "0: not known, or the country's places of too few together",
        ),
        (
            "access",
            "string",
            "mobile, fixed, hosting, unknown",
            "how the vantages reach their provider; empty: other networks",
        ),
        (
            "service",
            "string",
            "name or target",
            "what was tried; empty: nobody tried anything there, and some fell silent",
        ),
        ("start", "timestamp[us, UTC]", "UTC", "start of the bin"),
        ("bin_s", "uint32", "seconds", "width of the bin"),
        ("vantages", "uint32", "vantages", f"distinct vantages that measured: {_COUNT}"),
        ("reachable", "uint32", "vantages", f"vantages that reached it: {_COUNT}"),
        ("blocked", "uint32", "vantages", f"vantages that found it blocked: {_COUNT}"),
        (
            "down",
            "uint32",
            "vantages",
            f"vantages that found it down, as the control did: {_COUNT}",
        ),
        ("unknown", "uint32", "vantages", f"vantages in doubt: {_COUNT}"),
        (
            "silent",
            "uint32",
            "vantages",
            f"vantages of the place that were gone without goodbye when the bin ended: {_COUNT}",
        ),
        (
            "state",
            "string",
            "reachable, partial, blocked, down, unknown",
            "what two thirds of the networks that know say; unknown where too few measured",
        ),
        (
            "confidence",
            "float64",
            "0 to 1",
            "of the state; in tenths, from the bands of the counts, unless k_anonymity is 1",
        ),
        (
            "layer",
            "string",
            "dns, tcp, tls, quic, http, protocol",
            "where it is blocked or down, the commonest; else empty",
        ),
        (
            "method",
            "string",
            "a word of the methodology",
            "how, the commonest; of a partial state the blocked functions, separated by commas",
        ),
    )
)


def _build_row(cell: Cell, k: int) -> tuple[str | int | float, ...]:
    has_enough = cell.vantages >= max(k, 1)
    counts = (cell.vantages, cell.reachable, cell.blocked, cell.down, cell.unknown, cell.silent)
    return (
        cell.country,
        cell.region,
        cell.asn,
        cell.access,
        cell.service,
        cell.start_us,
        cell.bin_s,
        *(band_floor(count, k) for count in counts),
        cell.state.value if has_enough else VerdictState.UNKNOWN.value,
        cell.confidence if has_enough else 0.0,
        cell.layer if has_enough else "",
        cell.method if has_enough else "",
    )


def build_dictionary(k: int, license_name: str) -> DictionaryDocument:
    """Build the description of the columns, for people and programs."""
    return DictionaryDocument(
        title="Heliograph: daily cells",
        about="One file a UTC day, one row for each place, service and five minutes in which "
        "at least k_anonymity vantages measured or fell silent. Where there is no row nobody "
        "looked, or too few to be shown: that is not known, and never good. Networks of too few "
        "are together as network 0 of their country, regions of too few as the network without a "
        "region; who cannot hide there is counted nowhere. No measurement and no vantage is in "
        "here.",
        revisions="A file is written when its day is over and again when late data changed it: "
        "revision, bytes and sha256 in index.json say so.",
        schema=SCHEMA,
        row=("country", "region", "asn", "access", "service", "start"),
        columns=COLUMNS,
        k_anonymity=k,
        license=license_name,
    )


def build_schema(day: str, k: int, license_name: str) -> "pa.Schema":
    import pyarrow as pa

    types = {"timestamp[us, UTC]": pa.timestamp("us", "UTC"), "uint32": pa.uint32()}
    types |= {"string": pa.string(), "float64": pa.float64()}
    fields = [
        pa.field(c.name, types[c.type], False, {"unit": c.unit, "meaning": c.meaning})
        for c in COLUMNS
    ]
    metadata = {"heliograph.schema": SCHEMA, "heliograph.day": day, "heliograph.k_anonymity": k}
    metadata["license"] = license_name
    return pa.schema(fields, {name: str(value) for name, value in metadata.items()})


@dataclass(frozen=True, slots=True)
class WrittenDump:
    rows: int
    bytes: int
    sha256: str


class DayFile:
    """A file written hour by hour and renamed when complete. Call it in a thread."""

    def __init__(
        self, path: Path, day_us: int, k: int, license_name: str = DEFAULT_LICENSE
    ) -> None:
        self._path = path
        self._k = k
        self._partial_path = path.with_name(path.name + ".new")
        self._schema = build_schema(format_day(day_us), k, license_name)
        self._writer: pq.ParquetWriter | None = None
        self._rows = 0

    def add(self, cells: Sequence[Cell]) -> None:
        """Add released cells of some bins. Raises OSError."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        shown_cells = [c for c in cells if max(c.vantages, c.silent) >= max(self._k, 1)]
        if not shown_cells:
            return
        rows = [_build_row(cell, self._k) for cell in sorted(shown_cells, key=_SORT_KEY)]
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._partial_path, self._schema, compression="zstd")
        arrays = [
            pa.array(values, field.type)
            for values, field in zip(zip(*rows, strict=True), self._schema, strict=True)
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
            digest = file_digest(stream, "sha256").hexdigest()
            size = stream.tell()
        if _read_digest(self._path) == digest:  # its time would tell of a change that it hides
            self._partial_path.unlink()
        else:
            move_file(self._partial_path, self._path)
        return WrittenDump(self._rows, size, digest)

    def abandon(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._partial_path.unlink(missing_ok=True)


def _read_digest(path: Path) -> str:
    """Return the digest of a file; "" if there is none."""
    try:
        with path.open("rb") as stream:
            return file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return ""
