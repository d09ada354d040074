"""Conversion of records to the Arrow columns of each table."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from heliograph.codec import measurement_to_pb
from heliograph.observation import Observation
from heliograph_collector.model.records import (
    Cell,
    DecodeFailure,
    JudgedMeasurement,
    Judgement,
    PresenceRow,
    ReceivedMeasurement,
)

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped] # it ships no types

# Name of the column, its Arrow type, and the function that reads it.
Column = tuple[str, str, Callable[[Any], Any]]
Step = tuple[ReceivedMeasurement, int, Observation]

_ABSENT = -1


def service_key(record: ReceivedMeasurement) -> str:
    """Return the service, or the single target, by which votes are counted."""
    return record.measurement.service or record.measurement.target


def _shared_columns(read_record: Callable[[Any], ReceivedMeasurement]) -> list[Column]:
    """Return the columns that all rows of one measurement share."""
    return [
        ("id", "text", lambda r: read_record(r).id),
        ("started", "time", lambda r: read_record(r).started_us),
        ("role", "text", lambda r: read_record(r).role),
        ("country", "text", lambda r: read_record(r).vantage.country),
        ("region", "text", lambda r: read_record(r).vantage.region),
        ("asn", "uint32", lambda r: read_record(r).vantage.asn),
        ("access", "text", lambda r: read_record(r).vantage.access),
        ("experiment", "text", lambda r: read_record(r).measurement.experiment),
        ("service", "text", lambda r: service_key(read_record(r))),
    ]


_MEASUREMENT_COLUMNS: list[Column] = [
    *_shared_columns(lambda r: r),
    ("position", "uint64", lambda r: r.position),
    ("received", "time", lambda r: r.received_us),
    ("nym", "text", lambda r: r.pseudonym),
    ("prefix", "text", lambda r: r.prefix),
    ("established", "bool", lambda r: r.established),
    ("link", "text", lambda r: r.measurement.link),
    ("experiment_version", "uint32", lambda r: r.measurement.experiment_version),
    ("target", "text", lambda r: r.measurement.target),
    ("runtime_us", "uint64", lambda r: r.measurement.runtime_us),
    ("not_measured", "text", lambda r: r.measurement.not_measured),
    ("plan_version", "uint64", lambda r: r.measurement.plan_version),
    ("services_version", "text", lambda r: r.measurement.services_version),
    ("body", "bytes", lambda r: measurement_to_pb(r.measurement).SerializeToString()),
]


def _read_fact(part_name: str, fact_name: str, default: Any) -> Callable[[Step], Any]:
    """Return a reader of one fact, with `default` when the observation lacks it."""

    def read(step: Step) -> Any:
        facts = getattr(step[2], part_name)
        value = None if facts is None else getattr(facts, fact_name)
        return default if value is None else value

    return read


def _list_answers(step: Step) -> list[str]:
    dns = step[2].dns
    return [] if dns is None else [f"{a.type} {a.data}" for a in dns.answers]


def _list_certificates(step: Step) -> list[str]:
    tls = step[2].tls
    return [] if tls is None else [c.sha256 for c in tls.chain]


def _read_issuer(step: Step) -> str:
    tls = step[2].tls
    return tls.chain[0].issuer if tls is not None and tls.chain else ""


_OBSERVATION_COLUMNS: list[Column] = [
    *_shared_columns(lambda r: r[0]),
    ("position", "uint64", lambda r: r[0].position),
    ("step", "uint16", lambda r: r[1]),
    ("endpoint", "text", lambda r: r[2].endpoint),
    ("operation", "text", lambda r: r[2].operation),
    ("failure", "text", lambda r: r[2].failure or ""),
    ("failure_detail", "text", lambda r: r[2].failure_detail),
    ("parent", "int32", lambda r: _ABSENT if r[2].parent is None else r[2].parent),
    ("at_us", "uint64", lambda r: r[2].started_us),
    ("duration_us", "uint64", lambda r: r[2].duration_us),
    ("engine", "text", _read_fact("dns", "engine", "")),
    ("resolver", "text", _read_fact("dns", "resolver", "")),
    ("name", "text", _read_fact("dns", "name", "")),
    ("query_type", "text", _read_fact("dns", "query_type", "")),
    ("rcode", "int32", lambda r: min(_read_fact("dns", "rcode", _ABSENT)(r), 65_535)),
    ("answers", "texts", _list_answers),
    ("address", "text", _read_fact("tcp", "address", "")),
    ("port", "uint16", _read_fact("tcp", "port", 0)),
    ("server_name", "text", _read_fact("tls", "server_name", "")),
    ("tls_version", "text", _read_fact("tls", "version", "")),
    ("cipher", "text", _read_fact("tls", "cipher", "")),
    ("alpn", "text", _read_fact("tls", "alpn", "")),
    ("alert", "int32", lambda r: min(_read_fact("tls", "alert", _ABSENT)(r), 65_535)),
    ("certificates", "texts", _list_certificates),
    ("issuer", "text", _read_issuer),
    ("method", "text", _read_fact("http", "method", "")),
    ("url", "text", _read_fact("http", "url", "")),
    ("status", "uint32", _read_fact("http", "status", 0)),
    ("title", "text", _read_fact("http", "title", "")),
    ("server", "text", _read_fact("http", "server", "")),
    ("location", "text", _read_fact("http", "location", "")),
    ("body_bytes", "uint64", _read_fact("http", "body_bytes", 0)),
    ("body_sha256", "text", _read_fact("http", "body_sha256", "")),
    ("truncated", "bool", _read_fact("http", "truncated", False)),
]

_VERDICT_COLUMNS: list[Column] = [
    *_shared_columns(lambda r: r[0]),
    ("judged", "uint64", lambda r: r[2]),
    ("nym", "text", lambda r: r[0].pseudonym),
    ("prefix", "text", lambda r: r[0].prefix),
    ("established", "bool", lambda r: r[0].established),
    ("link", "text", lambda r: r[0].link),
    ("target", "text", lambda r: r[0].measurement.target),
    ("endpoint", "text", lambda r: r[1].endpoint),
    ("state", "text", lambda r: r[1].state),
    ("layer", "text", lambda r: r[1].layer),
    ("method", "text", lambda r: r[1].method),
    ("rule", "text", lambda r: r[1].rule),
    ("confidence", "float64", lambda r: r[1].confidence),
    ("evidence", "uint16s", lambda r: list(r[1].evidence)),
    ("reachable_endpoints", "uint16", lambda r: r[1].reachable_endpoints),
    ("endpoints", "uint16", lambda r: r[1].endpoints),
    ("issuer", "text", lambda r: r[1].issuer),
]

_PRESENCE_COLUMNS: list[Column] = [
    ("position", "uint64", lambda r: r.position),
    ("received", "time", lambda r: r.received_us),
    ("heard", "time", lambda r: r.heard_us),
    ("why", "text", lambda r: r.reason),
    ("kind", "text", lambda r: r.kind),
    ("nym", "text", lambda r: r.pseudonym),
    ("prefix", "text", lambda r: r.prefix),
    ("role", "text", lambda r: r.role),
    ("country", "text", lambda r: r.vantage.country),
    ("region", "text", lambda r: r.vantage.region),
    ("asn", "uint32", lambda r: r.vantage.asn),
    ("access", "text", lambda r: r.vantage.access),
]

_QUARANTINE_COLUMNS: list[Column] = [
    ("position", "uint64", lambda r: r.position),
    ("index", "int32", lambda r: r.index),
    ("received", "time", lambda r: r.received_us),
    ("reason", "text", lambda r: r.reason),
    ("body", "bytes", lambda r: r.body),
]

_CELL_COLUMNS: list[Column] = [
    ("start", "time", lambda r: r.start_us),
    *(
        (name, "text", lambda r, name=name: getattr(r, name))
        for name in ("country", "region", "access", "service", "state", "layer", "method")
    ),
    *(
        (name, "uint32", lambda r, name=name: getattr(r, name))
        for name in ("asn", "bin_s", "vantages", "reachable", "blocked", "down", "unknown")
    ),
    ("silent", "uint32", lambda r: r.silent),
    ("prefixes", "uint32", lambda r: r.prefixes),
    ("confidence", "float64", lambda r: r.confidence),
    ("layers", "counts", lambda r: list(r.layers)),
]


def build_measurement_table(judged: Iterable[JudgedMeasurement]) -> "pa.Table":
    return _build_table(_MEASUREMENT_COLUMNS, [record for record, _ in judged])


def build_observation_table(judged: Iterable[JudgedMeasurement]) -> "pa.Table":
    steps = [(t, n, o) for t, _ in judged for n, o in enumerate(t.measurement.observations)]
    return _build_table(_OBSERVATION_COLUMNS, steps)


def build_verdict_table(judged: Iterable[JudgedMeasurement], block: int) -> "pa.Table":
    return _build_table(
        _VERDICT_COLUMNS,
        [(record, v, block) for record, record_verdicts in judged for v in record_verdicts],
    )


def build_judgement_table(rows: Iterable[Judgement]) -> "pa.Table":
    """Build verdict rows in which each judgement has its own number.

    `build_verdict_table` uses one number for a whole block.
    """
    return _build_table(
        _VERDICT_COLUMNS, [(j.measurement, v, j.number) for j in rows for v in j.verdicts]
    )


def build_presence_table(rows: Sequence[PresenceRow], journal: str) -> "pa.Table":
    return _build_table([*_PRESENCE_COLUMNS, ("journal", "text", lambda _: journal)], rows)


def build_quarantine_table(rows: Sequence[DecodeFailure], journal: str) -> "pa.Table":
    return _build_table([*_QUARANTINE_COLUMNS, ("journal", "text", lambda _: journal)], rows)


def build_cell_table(rows: Sequence[Cell], written_us: int) -> "pa.Table":
    written_column: Column = ("written", "time", lambda r: written_us)
    return _build_table([*_CELL_COLUMNS, written_column], rows)


def build_block_table(journal: str, kind: str, first: int, last: int) -> "pa.Table":
    columns: list[Column] = [
        ("journal", "text", lambda r: r[0]),
        ("kind", "text", lambda r: r[1]),
        ("first", "uint64", lambda r: r[2]),
        ("last", "uint64", lambda r: r[3]),
    ]
    return _build_table(columns, [(journal, kind, first, last)])


def drop_present(
    rows: "pa.Table", key: Sequence[str], present_keys: set[tuple[Any, ...]]
) -> "pa.Table":
    """Return the rows whose key is not in `present_keys`."""
    import pyarrow as pa

    keys = zip(*(rows.column(name).to_pylist() for name in key), strict=True)
    return rows.filter(pa.array([row_key not in present_keys for row_key in keys], pa.bool_()))


def _build_table(columns: Sequence[Column], rows: Sequence[Any]) -> "pa.Table":
    import pyarrow as pa

    types: dict[str, pa.DataType] = {
        "text": pa.string(),
        "texts": pa.list_(pa.string()),
        "bytes": pa.binary(),
        "time": pa.timestamp("us", "UTC"),  # never int64: the engine would read it as seconds
        "bool": pa.bool_(),
        "uint16": pa.uint16(),
        "uint16s": pa.list_(pa.uint16()),
        "uint32": pa.uint32(),
        "uint64": pa.uint64(),
        "int32": pa.int32(),
        "float64": pa.float64(),
        "counts": pa.map_(pa.string(), pa.uint32()),
    }
    return pa.table(
        {name: pa.array([read(r) for r in rows], types[kind]) for name, kind, read in columns}
    )
