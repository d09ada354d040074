"""Queries of the store: fixed SQL, with values as typed parameters of the engine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heliograph.codec import measurement_from_pb
from heliograph.units import DAY_US, SECOND_US
from heliograph.v1.observation_pb2 import Measurement as MeasurementPb
from heliograph_collector.model.records import (
    AgentRole,
    Cell,
    CellFilter,
    JudgedMeasurement,
    MeasurementFilter,
    ReceivedMeasurement,
    SilenceCount,
    Vantage,
    Verdict,
    VerdictState,
)

CELL_TABLES = {60: "minute_cells"}  # seconds per bin → table, for bins that are not in `cells`

VerdictRow = tuple[str, int, Verdict]  # id of the measurement, number of the judgement, verdict


class WhereClause:
    """Builder of a WHERE clause with one condition per given value."""

    def __init__(self) -> None:
        self.conditions: list[str] = []
        self.parameters: dict[str, object] = {}

    def add_condition(self, condition: str, **parameters: object) -> "WhereClause":
        """Add `condition`, unless a value is None. It is fixed text, never a caller's."""
        if None not in parameters.values():
            self.conditions.append(condition)
            self.parameters |= parameters
        return self

    def add_place(
        self, country: str | None, region: str | None, asn: int | None, access: str | None
    ) -> "WhereClause":
        self.add_condition("country = {country:String}", country=country)
        self.add_condition("region = {region:String}", region=region)
        self.add_condition("asn = {asn:UInt32}", asn=asn)
        return self.add_condition("access = {access:String}", access=access)

    def add_time_range(
        self, column: str, since_us: int | None, until_us: int | None
    ) -> "WhereClause":
        time_sql = "fromUnixTimestamp64Micro({%s:Int64}, 'UTC')"
        self.add_condition(f"{column} >= {time_sql % 'since'}", since=since_us)
        return self.add_condition(f"{column} < {time_sql % 'until'}", until=until_us)

    @property
    def sql(self) -> str:
        return " AND ".join(self.conditions) or "1"


def filter_place(filters: Mapping[str, Any]) -> WhereClause:
    """Build conditions on place and service. Raises TypeError for other filters."""
    if unknown_names := filters.keys() - {"country", "region", "asn", "access", "service"}:
        raise TypeError(f"no such filter: {', '.join(sorted(unknown_names))}")
    clause = WhereClause().add_place(
        *(filters.get(name) for name in ("country", "region", "asn", "access"))
    )
    return clause.add_condition("service = {service:String}", service=filters.get("service"))


@dataclass(frozen=True, slots=True)
class Query:
    """SQL with its parameters, binary columns, and parser of a row."""

    sql: str
    parameters: dict[str, object]
    parse_row: Callable[[tuple[Any, ...]], Any]
    binary_columns: tuple[str, ...] = ()


def query_silences(clause: WhereClause, since_us: int, until_us: int, bin_s: int) -> Query:
    """Count losses of vantages in each bin that ended before the vantage returned."""
    clause.add_condition("role = 'volunteer'").add_condition(
        "kind IN ('arrival', 'goodbye', 'lost')"
    )
    clause.add_time_range("received", since_us - DAY_US, until_us)
    sql = f"""
SELECT country, region, asn, access, bin AS start, toUInt32(uniqExact(nym)) AS vantages FROM (
  SELECT country, region, asn, access, nym, arrayJoin(range(
    intDiv(greatest(at, {{from:Int64}}), {{bin:Int64}}) * {{bin:Int64}},
    if(back = 0, least(at + {{day:Int64}}, {{to:Int64}}),
      intDiv(least(at + {{day:Int64}}, back), {{bin:Int64}}) * {{bin:Int64}}),
    {{bin:Int64}})) AS bin
  FROM (
    SELECT country, region, asn, access, nym, kind, toUnixTimestamp64Micro(received) AS at,
      leadInFrame(at, 1, toInt64(0)) OVER (PARTITION BY nym ORDER BY journal, position
        ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS back
    FROM presence FINAL WHERE {clause.sql}
  ) WHERE kind = 'lost'
) GROUP BY country, region, asn, access, start ORDER BY country, region, asn, access, start
"""  # noqa: S608 our own conditions
    bin_parameters = {"from": since_us, "to": until_us, "bin": bin_s * SECOND_US, "day": DAY_US}
    return Query(sql, clause.parameters | bin_parameters, _parse_silence)


_RECORD_COLUMNS = (
    "id, position, toUnixTimestamp64Micro(received) AS received_us, nym, prefix, role, country, "
    "asn, access, region, body, established"
)


def query_measurement_ids(
    measurement_filter: MeasurementFilter, after: tuple[int, str] | None, limit: int
) -> Query:
    """Select (id, started) of measurements, newest first, after (started, id).

    It leaves out message bodies, which only the rows of the page need.
    """
    clause = WhereClause().add_place(
        measurement_filter.country or None,
        measurement_filter.region or None,
        measurement_filter.asn,
        measurement_filter.access or None,
    )
    clause.add_time_range("started", measurement_filter.since_us, measurement_filter.until_us)
    clause.add_condition("service = {service:String}", service=measurement_filter.service or None)
    clause.add_condition(
        "experiment = {experiment:String}", experiment=measurement_filter.experiment or None
    )
    if measurement_filter.state:
        id_sql = f"SELECT id FROM verdicts FINAL WHERE {clause.sql} AND endpoint = ''"  # noqa: S608
        clause.add_condition(
            f"id IN ({id_sql} AND state = {{state:String}})", state=measurement_filter.state
        )
    if after is not None:
        clause.add_condition(
            "(started, id) < (fromUnixTimestamp64Micro({after:Int64}, 'UTC'), {after_id:String})",
            after=after[0],
            after_id=after[1],
        )
    sql = f"""
SELECT id, toUnixTimestamp64Micro(started) AS started_us FROM measurements FINAL WHERE {clause.sql}
ORDER BY started DESC, id DESC LIMIT {{limit:UInt32}}"""  # noqa: S608 our own conditions
    return Query(sql, clause.parameters | {"limit": limit}, lambda r: r)


def query_measurements(page: Sequence[tuple[str, int]]) -> Query:
    """Select the measurements of a page of (id, started), newest first."""
    clause = WhereClause().add_condition("id IN {ids:Array(String)}", ids=[id_ for id_, _ in page])
    times = [started_us for _, started_us in page]
    clause.add_time_range("started", min(times), max(times) + 1)
    sql = f"""
SELECT {_RECORD_COLUMNS} FROM measurements WHERE {clause.sql}
ORDER BY started DESC, id DESC LIMIT 1 BY id"""  # noqa: S608 our own conditions
    return Query(sql, clause.parameters, _parse_record, ("body",))


def query_time_range(
    since_us: int, until_us: int, service: str | None, after: tuple[int, str] | None, limit: int
) -> Query:
    """Select measurements in a time range, oldest first, after (started, id)."""
    clause = WhereClause().add_time_range("started", since_us, until_us)
    clause.add_condition("service = {service:String}", service=service)
    if after is not None:
        clause.add_condition(
            "(started, id) > (fromUnixTimestamp64Micro({after:Int64}, 'UTC'), {after_id:String})",
            after=after[0],
            after_id=after[1],
        )
    sql = f"""
SELECT {_RECORD_COLUMNS} FROM measurements WHERE {clause.sql}
ORDER BY started, id LIMIT 1 BY id LIMIT {{limit:UInt32}}"""  # noqa: S608 our own conditions
    return Query(sql, clause.parameters | {"limit": limit}, _parse_record, ("body",))


def query_measurement(id: str) -> Query:  # noqa: A002 the column's name
    sql = f"SELECT {_RECORD_COLUMNS} FROM measurements WHERE id = {{id:String}} LIMIT 1"  # noqa: S608
    return Query(sql, {"id": id}, _parse_record, ("body",))


def query_verdicts(records: Sequence[ReceivedMeasurement]) -> Query:
    """Select all judgements of these measurements, the last first, endpoint "" first."""
    clause = WhereClause().add_time_range(
        "started", min(t.started_us for t in records), max(t.started_us for t in records) + 1
    )
    clause.add_condition("id IN {ids:Array(String)}", ids=[t.id for t in records])
    sql = f"""
SELECT id, judged, state, rule, layer, method, confidence, endpoint, evidence, reachable_endpoints,
  endpoints, issuer FROM verdicts FINAL WHERE {clause.sql}
ORDER BY id, judged DESC, endpoint
LIMIT 512 BY id"""  # noqa: S608 our own conditions
    return Query(sql, clause.parameters, _parse_verdict)


def query_cells(cell_filter: CellFilter) -> Query:
    table = CELL_TABLES.get(cell_filter.bin_s, "cells")
    clause = WhereClause().add_place(
        cell_filter.country or None, cell_filter.region, cell_filter.asn, cell_filter.access
    )
    clause.add_time_range("start", cell_filter.since_us, cell_filter.until_us)
    clause.add_condition("service = {service:String}", service=cell_filter.service or None)
    clause.add_condition("bin_s = {bin_s:UInt32}", bin_s=cell_filter.bin_s)
    sql = f"""
SELECT country, region, asn, access, service, toUnixTimestamp64Micro(start) AS start_us, bin_s,
  vantages, reachable, blocked, down, unknown, silent, state, confidence, layer, method, prefixes,
  layers
FROM {table} FINAL WHERE {clause.sql}
ORDER BY country, service, region, asn, access, start"""  # noqa: S608 our own conditions
    return Query(sql, clause.parameters, _parse_cell)


def query_cell_days(since_us: int) -> Query:
    """Select (midnight, last change) in µs of each day with 5-minute cells."""
    clause = WhereClause().add_time_range("start", since_us, None).add_condition("bin_s = 300")
    sql = f"""
SELECT toInt64(toUnixTimestamp(toStartOfDay(start, 'UTC'))) * {SECOND_US} AS day,
  toUnixTimestamp64Micro(max(written)) AS changed
FROM cells WHERE {clause.sql} GROUP BY day ORDER BY day"""  # noqa: S608 our own conditions
    return Query(sql, clause.parameters, lambda r: r)


_IN_BLOCK = "position BETWEEN {first:UInt64} AND {last:UInt64}"
_PRESENCE_TESTS = {
    "measurements": (("id",), _IN_BLOCK),
    "observations": (("id", "step"), _IN_BLOCK),
    "verdicts": (("id", "endpoint"), "judged = {last:UInt64}"),
    "presence": (("position",), f"journal = {{journal:String}} AND {_IN_BLOCK}"),
    "quarantine": (("position", "index"), f"journal = {{journal:String}} AND {_IN_BLOCK}"),
}


def build_present_query(table: str) -> tuple[str, tuple[str, ...]]:
    """Return SQL for the stored rows of a block, and their key columns."""
    key, condition = _PRESENCE_TESTS[table]
    names = ", ".join(f"`{name}`" for name in key)
    return f"SELECT {names} FROM {table} WHERE {condition}", key  # noqa: S608 our own words


def build_row_count_query(table: str) -> str:
    return f"SELECT count() AS rows_ FROM {table}"  # noqa: S608 our own words


def query_health() -> Query:
    sql = """
SELECT version() AS engine, sum(rows) AS rows_, sum(bytes_on_disk) AS bytes_, count() AS parts
FROM system.parts WHERE active AND database = currentDatabase()"""
    return Query(sql, {}, lambda r: r)


def _parse_silence(r: tuple[Any, ...]) -> SilenceCount:
    return SilenceCount(
        country=r[0], region=r[1], asn=r[2], access=r[3], start_us=r[4], vantages=r[5]
    )


def _parse_record(r: tuple[Any, ...]) -> ReceivedMeasurement:
    id_, position, received_us, nym, prefix, role, country, asn, access, region, body = r[:11]
    return ReceivedMeasurement(
        id=id_,
        position=position,
        received_us=received_us,
        pseudonym=nym,
        prefix=prefix,
        role=AgentRole(role),
        vantage=Vantage(country=country, asn=asn, access=access, region=region),
        measurement=measurement_from_pb(MeasurementPb.FromString(body)),
        established=r[11],
    )


def _parse_verdict(r: tuple[Any, ...]) -> VerdictRow:
    id_, judged, state, rule, layer, method, confidence, endpoint, evidence, k, n, issuer = r
    return (
        id_,
        judged,
        Verdict(
            state=VerdictState(state),
            rule=rule,
            layer=layer,
            method=method,
            confidence=confidence,
            endpoint=endpoint,
            evidence=tuple(evidence),
            reachable_endpoints=k,
            endpoints=n,
            issuer=issuer,
        ),
    )


def _parse_cell(r: tuple[Any, ...]) -> Cell:
    return Cell(
        country=r[0],
        region=r[1],
        asn=r[2],
        access=r[3],
        service=r[4],
        start_us=r[5],
        bin_s=r[6],
        vantages=r[7],
        reachable=r[8],
        blocked=r[9],
        down=r[10],
        unknown=r[11],
        silent=r[12],
        state=VerdictState(r[13]),
        confidence=r[14],
        layer=r[15],
        method=r[16],
        prefixes=r[17],
        layers=tuple(sorted(r[18].items())),
    )


def find_last_judgements(verdict_rows: Sequence[VerdictRow]) -> dict[str, int]:
    """Return the number of the last judgement by measurement id."""
    last_by_id: dict[str, int] = {}
    for id_, judged, _ in verdict_rows:
        last_by_id[id_] = max(judged, last_by_id.get(id_, 0))
    return last_by_id


def pair_verdicts(
    records: Sequence[ReceivedMeasurement], verdict_rows: Sequence[VerdictRow]
) -> tuple[JudgedMeasurement, ...]:
    """Pair each measurement with the verdicts of its last judgement, in order."""
    last_by_id = find_last_judgements(verdict_rows)
    verdicts: dict[str, list[Verdict]] = {}
    for id_, judged, verdict in verdict_rows:
        if judged == last_by_id[id_]:
            verdicts.setdefault(id_, []).append(verdict)
    return tuple((t, tuple(verdicts.get(t.id, ()))) for t in records)


def parse_cursor(cursor: str) -> tuple[int, str] | None:
    """Parse a cursor, None if empty. Raises ValueError when it is invalid."""
    if not cursor:
        return None
    started, dot, id_ = cursor.partition(".")
    if not (dot and started.isascii() and started.isdigit() and len(started) < 18):
        raise ValueError("not a cursor of this store")
    return int(started), id_
