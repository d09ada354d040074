"""Conversion of records to the Arrow columns of each table."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from heliograph.codec import measurement_to_pb
from heliograph_collector.model.judgement import Judgement
from heliograph_collector.model.records import ReceivedMeasurement, Verdict

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped] # it ships no types

# Name of the column, its kind, and the path of attributes from a row to the value.
Column = tuple[str, str, str]

_DEFAULT_BY_KIND = {"text": "", "bool": False, "optional": None}  # others: 0


@dataclass(frozen=True, slots=True)
class MeasurementRecord:
    """What the rows of a measurement and of its verdicts share."""

    record: ReceivedMeasurement

    @property
    def service(self) -> str:
        """Return the service, or the single target, by which votes are counted."""
        return self.record.measurement.service or self.record.measurement.target


@dataclass(frozen=True, slots=True)
class StoredMeasurement(MeasurementRecord):
    """Row of `measurements`."""

    received_body: bytes  # as it came, b"" where it was not kept

    @property
    def body(self) -> bytes:
        if self.received_body:  # to encode it again takes half of a row's CPU
            return self.received_body
        measurement = self.record.measurement
        if measurement.certificates:  # they have a table of their own
            measurement = replace(measurement, certificates=())
        return measurement_to_pb(measurement).SerializeToString()


@dataclass(frozen=True, slots=True)
class VerdictRecord(MeasurementRecord):
    """Row of `verdicts`; the highest number of a judgement replaces all others."""

    verdict: Verdict
    judged: int


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
]
_VOTER_COLUMNS = [
    ("nym", "text", "record.pseudonym"),
    *_same_names("text", "record", "prefix", "link"),
    *_same_names("text", "record", "seniority"),
    *_same_names("text", "record.measurement", "target"),
]
_COLUMNS_BY_TABLE: dict[str, list[Column]] = {
    "measurements": [
        *_SHARED_COLUMNS,
        *_VOTER_COLUMNS,
        ("received", "time", "record.received_us"),
        ("body", "bytes", "body"),
        *_same_names("uint64", "record", "position"),
        *_same_names("text", "record.measurement", "not_measured", "services_version"),
        *_same_names("uint32", "record.measurement", "experiment_version"),
        *_same_names("uint64", "record.measurement", "runtime_us", "plan_version"),
    ],
    "verdicts": [
        *_SHARED_COLUMNS,
        *_VOTER_COLUMNS,
        ("received", "time", "record.received_us"),
        *_same_names("uint64", "", "judged"),
        *_same_names("text", "verdict", "endpoint", "state", "layer", "method", "rule", "issuer"),
        *_same_names("text", "verdict", "fingerprint", "function"),
        *_same_names("bool", "verdict", "confirmed"),
        *_same_names("float64", "verdict", "confidence"),
        *_same_names("uint16s", "verdict", "evidence"),
        *_same_names("uint16", "verdict", "reachable_endpoints", "endpoints"),
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
        rows: One object for each row, whose attributes are the values.
        constants: Values of columns that all rows share.
    """
    import pyarrow as pa

    records = list(rows)
    columns = {}
    for name, kind, path in _COLUMNS_BY_TABLE[table]:
        if name in constants:
            values = [constants[name]] * len(records)
        else:
            values = _read_column(records, kind, path)
        columns[name] = pa.array(values, _find_arrow_type(kind))
    return pa.table(columns)


def list_verdicts(judgements: Iterable[Judgement]) -> Iterator[VerdictRecord]:
    for judgement in judgements:
        for verdict in judgement.verdicts:
            yield VerdictRecord(judgement.measurement, verdict, judgement.number)


def drop_present(
    rows: "pa.Table", key: Sequence[str], present_keys: set[tuple[Any, ...]]
) -> "pa.Table":
    """Return the rows whose key is not in `present_keys`."""
    import pyarrow as pa

    keys = zip(*(rows.column(name).to_pylist() for name in key), strict=True)
    return rows.filter(pa.array([row_key not in present_keys for row_key in keys], pa.bool_()))


def _read_column(records: Sequence[object], kind: str, path: str) -> list[Any]:
    """Read one path of all records, with the default of the kind where a part is missing."""
    values: list[Any] = list(records)
    for name in path.split("."):
        values = [None if value is None else getattr(value, name) for value in values]
    default = _DEFAULT_BY_KIND.get(kind, 0)
    return [default if value is None else value for value in values]


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
