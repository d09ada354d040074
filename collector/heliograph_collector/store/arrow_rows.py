"""Conversion of records to the Arrow columns of each table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from heliograph.codec import measurement_to_pb
from heliograph_collector.model.judgement import Judgement
from heliograph_collector.model.records import ReceivedMeasurement

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped] # it ships no types

NO_BODIES: Mapping[str, bytes] = {}
# Name of the column, its kind, and the path of attributes from a row to the value.
Column = tuple[str, str, str]


class StoredMeasurement(msgspec.Struct, frozen=True):
    """What the row of a measurement and those of its verdicts are made of."""

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
        if measurement.certificates:  # they have a table of their own
            measurement = replace(measurement, certificates=())
        return measurement_to_pb(measurement).SerializeToString()


def _same_names(kind: str, path: str, *names: str) -> list[Column]:
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
_COLUMNS_BY_TABLE: dict[str, list[Column]] = {
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


def build_table(table: str, rows: Iterable[object], **constants: str | int) -> "pa.Table":
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


class JudgedTables:
    """Rows of measurements and of their verdicts, whose shared columns are read once."""

    def __init__(
        self, judgements: Sequence[Judgement], bodies: Mapping[str, bytes] = NO_BODIES
    ) -> None:
        self._judgements = judgements
        self._stored = [
            StoredMeasurement(j.measurement, bodies.get(j.measurement.id, b"")) for j in judgements
        ]
        self._shared = build_table("shared", self._stored)

    def build_measurements(self, first: int) -> "pa.Table":
        """Build the rows of the measurements at this journal position and after it."""
        chosen = [i for i, s in enumerate(self._stored) if s.record.position >= first]
        own = build_table("measurements", [self._stored[i] for i in chosen])
        return _join(self._shared, chosen, own)

    def build_verdicts(self) -> "pa.Table":
        """Build the rows of all verdicts; the highest number of a judgement replaces all others."""
        import pyarrow as pa

        owners = [i for i, j in enumerate(self._judgements) for _ in j.verdicts]
        own = build_table("verdicts", [v for j in self._judgements for v in j.verdicts])
        numbers = pa.array([self._judgements[i].number for i in owners], pa.uint64())
        return _join(self._shared, owners, own.append_column("judged", numbers))


def _join(shared: "pa.Table", rows: Sequence[int], own: "pa.Table") -> "pa.Table":
    """Put columns beside those of the shared rows at these indices, in order."""
    import pyarrow as pa

    joined = shared.take(pa.array(rows, pa.int64()))
    for name in own.column_names:
        joined = joined.append_column(name, own.column(name))
    return joined


def drop_present(
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
