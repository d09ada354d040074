"""Queries of the store: fixed SQL, with values as typed parameters of the engine."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, cast

import msgspec

from heliograph.codec import CodecError, measurement_from_pb, replace_controls_in
from heliograph.units import DAY_US, SECOND_US
from heliograph.v1.observation_pb2 import Measurement as MeasurementPb
from heliograph_collector.model.filters import CellFilter
from heliograph_collector.model.records import (
    LIGHT_CHECK,
    TIME_BAD,
    AgentRole,
    Cell,
    JudgedMeasurement,
    ReceivedMeasurement,
    SilenceCount,
    Vantage,
    Verdict,
    VerdictState,
)
from heliograph_collector.model.seniority import Seniority

CELL_TABLES = {60: "minute_cells"}  # seconds per bin → table, for bins that are not in `cells`

_Record = TypeVar("_Record")
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

    def add_service(self, service: str | None) -> "WhereClause":
        return self.add_condition("service = {service:String}", service=service)

    def add_arrival(self, before_us: int | None) -> "WhereClause":
        time_sql = "fromUnixTimestamp64Micro({arrived:Int64}, 'UTC')"
        return self.add_condition(f"received < {time_sql}", arrived=before_us)

    def add_volunteer_verdicts(self, *, with_light: bool = False) -> "WhereClause":
        """Select verdicts with a vote: volunteers' on whole targets, with a valid time.

        A vantage that was new then has none. Light checks vote only where the detector counts.
        """
        endpoints = f"endpoint IN ('', '{LIGHT_CHECK}')" if with_light else "endpoint = ''"
        self.add_condition(endpoints).add_volunteers()
        return self.add_condition("rule != {bad:String}", bad=TIME_BAD)

    def add_volunteers(self) -> "WhereClause":
        self.add_condition("role = 'volunteer'")
        return self.add_condition("seniority != {new:String}", new=Seniority.NEW.value)

    def add_time_range(
        self, column: str, since_us: int | None, until_us: int | None
    ) -> "WhereClause":
        time_sql = "fromUnixTimestamp64Micro({%s:Int64}, 'UTC')"
        self.add_condition(f"{column} >= {time_sql % 'since'}", since=since_us)
        return self.add_condition(f"{column} < {time_sql % 'until'}", until=until_us)

    def add_days(self, first: date, end: date) -> "WhereClause":
        self.add_condition("day >= {first:Date}", first=first)
        return self.add_condition("day < {end:Date}", end=end)

    def add_cursor(self, comparison: str, after: tuple[int, str] | None) -> None:
        """Select the rows that `comparison` puts after (started, id)."""
        at_us, id_ = after or (None, None)
        cursor_sql = "(fromUnixTimestamp64Micro({after:Int64}, 'UTC'), {after_id:String})"
        condition = f"(started, id) {comparison} {cursor_sql}"
        self.add_condition(condition, after=at_us, after_id=id_)

    @property
    def sql(self) -> str:
        return " AND ".join(self.conditions) or "1"


def filter_place(
    country: str | None = None,
    region: str | None = None,
    asn: int | None = None,
    access: str | None = None,
    service: str | None = None,
    received_before_us: int | None = None,
) -> WhereClause:
    """Build conditions on place, service and arrival from a `PlaceFilter`'s fields."""
    clause = WhereClause().add_place(country, region, asn, access)
    return clause.add_service(service).add_arrival(received_before_us)


@dataclass(frozen=True, slots=True)
class Query:
    """SQL with its parameters and binary columns."""

    sql: str
    parameters: dict[str, object]
    binary_columns: tuple[str, ...] = ()


# The day for which a row names its line (`model.line_names`): without one, that of its arrival.
LINE_DAY_SQL = """if(substring(prefix, 6, 1) = '.', substring(prefix, 1, 5),
  leftPad(toString(toRelativeDayNum(received)), 5, '0'))"""


# A vantage without a session that sends what it has just measured is not silent: its session may
# be blocked, its line is not cut. Such results come every half minute; detection waits as long. An
# agent that is offline sends by a neighbor's line. Results from before its return do not predict
# its next loss.
_POSTS_SQL = """
SELECT nym, groupArray(toUnixTimestamp64Micro(received)) AS posts FROM measurements
WHERE started >= fromUnixTimestamp64Micro({from:Int64} - {wait:Int64})
  AND started < fromUnixTimestamp64Micro({to:Int64}) AND link NOT IN ('offline', 'domestic_only')
  AND received <= addMicroseconds(started, {fresh:Int64})
  AND nym IN (SELECT nym FROM presence WHERE %s AND kind = 'lost') GROUP BY nym
"""
POST_WAIT_US = 300 * SECOND_US
FRESH_US = 120 * SECOND_US
NEVER_US = 1 << 62  # the return of a vantage that has not returned


def query_silences(clause: WhereClause, since_us: int, until_us: int, bin_s: int) -> Query:
    """Select losses of vantages in each bin that ended before the vantage returned.

    A row has place, bin, number of vantages, and (prefix, day) of the established ones, for
    `count_silences`. The engine takes 2 to 5 ms for each column that it takes from a nested query,
    however few its rows; so places are one column.
    """
    clause.add_volunteers().add_condition("kind IN ('arrival', 'goodbye', 'lost')")
    clause.add_time_range("received", since_us - DAY_US, until_us)
    sql = f"""
SELECT place, bin, toUInt32(uniqExact(nym)), groupUniqArrayIf(line, is_old) FROM (
  SELECT place, nym, line, is_old, arrayJoin(arrayFilter(
    start -> NOT arrayExists(sent -> sent > at AND sent < back AND sent < start + {{bin:Int64}}
      AND least(start + {{bin:Int64}}, {{to:Int64}}) <= sent + {{wait:Int64}}, posts),
    range(intDiv(greatest(at, {{from:Int64}}), {{bin:Int64}}) * {{bin:Int64}},
      if(back > {{to:Int64}}, least(at + {{day:Int64}}, {{to:Int64}}),
        intDiv(least(at + {{day:Int64}}, back), {{bin:Int64}}) * {{bin:Int64}}),
      {{bin:Int64}}))) AS bin
  FROM (
    SELECT (country, region, asn, access) AS place, nym, seniority = 'established' AS is_old, kind,
      (cityHash64(prefix), {LINE_DAY_SQL}) AS line, toUnixTimestamp64Micro(received) AS at,
      leadInFrame(at, 1, {{never:Int64}}) OVER (PARTITION BY nym ORDER BY journal, position
        ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS back
    FROM presence FINAL WHERE {clause.sql}
  ) AS events LEFT JOIN ({_POSTS_SQL % clause.sql}) AS sent USING (nym) WHERE kind = 'lost'
) GROUP BY place, bin"""  # noqa: S608 fixed text, values are parameters
    bin_parameters = {"from": since_us, "to": until_us, "bin": bin_s * SECOND_US, "day": DAY_US}
    waits = {"wait": POST_WAIT_US, "fresh": FRESH_US, "never": NEVER_US}
    return Query(sql, clause.parameters | bin_parameters | waits)


_Lines = Sequence[tuple[int, str]]  # hash of the prefix, day


def count_silences(rows: Iterable[tuple[Any, ...]]) -> list[SilenceCount]:
    """Count the rows of `query_silences`.

    Persons are counted as in `vote_queries.query_counts`.
    """
    by_network: dict[tuple[Any, ...], list[tuple[str, int, _Lines]]] = {}
    for (country, region, asn, access), bin_us, vantages, lines in rows:
        key = (country, asn, access, bin_us)
        by_network.setdefault(key, []).append((region, vantages, lines))
    counts = []
    for (country, asn, access, bin_us), parts in by_network.items():
        persons = _count_persons({region: lines for region, _, lines in parts})
        for region, vantages, _ in parts:
            values = (country, region, asn, access, bin_us, vantages, persons[region])
            counts.append(build_record(SilenceCount, values))
    return sorted(counts, key=attrgetter("country", "region", "asn", "access", "start_us"))


def _count_persons(lines_by_region: Mapping[str, _Lines]) -> Counter[str]:
    """Count persons by region: the prefixes of the day that has the most.

    Each prefix counts in the first of its regions.
    """
    homes: dict[int, str] = {}
    by_day: dict[str, set[int]] = {}
    for region in sorted(lines_by_region):
        for prefix, day in lines_by_region[region]:
            homes.setdefault(prefix, region)
            by_day.setdefault(day, set()).add(prefix)
    _, best = max(((len(prefixes), day) for day, prefixes in by_day.items()), default=(0, ""))
    return Counter(
        region
        for region, lines in lines_by_region.items()
        for prefix, day in lines
        if day == best and homes[prefix] == region
    )


_RECORD_COLUMNS = (
    "id, position, toUnixTimestamp64Micro(received) AS received_us, nym, prefix, role, country, "
    "asn, access, region, body, seniority"
)


def query_measurements(page: Sequence[tuple[str, int]]) -> Query:
    """Select the measurements of a page of (id, started), newest first."""
    clause = WhereClause().add_condition("id IN {ids:Array(String)}", ids=[id_ for id_, _ in page])
    times = [started_us for _, started_us in page]
    clause.add_time_range("started", min(times), max(times) + 1)
    sql = f"""
SELECT {_RECORD_COLUMNS} FROM measurements WHERE {clause.sql}
ORDER BY started DESC, id DESC LIMIT 1 BY id"""  # noqa: S608 fixed text, values are parameters
    return Query(sql, clause.parameters, ("body",))


def query_time_range(
    since_us: int, until_us: int, service: str | None, after: tuple[int, str] | None, limit: int
) -> Query:
    """Select measurements in a time range, oldest first, after (started, id)."""
    clause = WhereClause().add_time_range("started", since_us, until_us)
    clause.add_service(service)
    clause.add_cursor(">", after)
    sql = f"""
SELECT {_RECORD_COLUMNS} FROM measurements WHERE {clause.sql}
ORDER BY started, id LIMIT 1 BY id LIMIT {{limit:UInt32}}"""  # noqa: S608 fixed text, values are parameters
    return Query(sql, clause.parameters | {"limit": limit}, ("body",))


def query_measurement(id: str) -> Query:  # noqa: A002 the column's name
    sql = f"SELECT {_RECORD_COLUMNS} FROM measurements WHERE id = {{id:String}} LIMIT 1"  # noqa: S608 fixed text, values are parameters
    return Query(sql, {"id": id}, ("body",))


def query_verdicts(records: Sequence[ReceivedMeasurement]) -> Query:
    """Select all judgements of these measurements, the last first, endpoint "" first."""
    clause = WhereClause().add_time_range(
        "started", min(t.started_us for t in records), max(t.started_us for t in records) + 1
    )
    clause.add_condition("id IN {ids:Array(String)}", ids=[t.id for t in records])
    sql = f"""
SELECT id, judged, state, rule, layer, method, confidence, endpoint, evidence, reachable_endpoints,
  endpoints, issuer, fingerprint, confirmed, function FROM verdicts FINAL WHERE {clause.sql}
ORDER BY id, judged DESC, endpoint
LIMIT 512 BY id"""  # noqa: S608 fixed text, values are parameters
    return Query(sql, clause.parameters)


def query_cells(filters: CellFilter) -> Query:
    table = CELL_TABLES.get(filters.bin_s, "cells")
    clause = WhereClause().add_place(
        filters.country or None, filters.region, filters.asn, filters.access
    )
    clause.add_time_range("start", filters.since_us, filters.until_us)
    clause.add_service(filters.service or None)
    clause.add_condition("bin_s = {bin_s:UInt32}", bin_s=filters.bin_s)
    sql = f"""
SELECT country, region, asn, access, service, toUnixTimestamp64Micro(start) AS start_us, bin_s,
  vantages, reachable, blocked, down, unknown, silent, state, confidence, layer, method, prefixes,
  layers, established, silent_established
FROM {table} FINAL WHERE {clause.sql}
ORDER BY country, service, region, asn, access, start"""  # noqa: S608 fixed text, values are parameters
    return Query(sql, clause.parameters)


def query_cell_days(since_us: int) -> Query:
    """Select (midnight, last change) in µs of each day with 5-minute cells."""
    clause = WhereClause().add_time_range("start", since_us, None).add_condition("bin_s = 300")
    sql = f"""
SELECT toInt64(toUnixTimestamp(toStartOfDay(start, 'UTC'))) * {SECOND_US} AS day,
  toUnixTimestamp64Micro(max(written)) AS changed
FROM cells WHERE {clause.sql} GROUP BY day ORDER BY day"""  # noqa: S608 fixed text, values are parameters
    return Query(sql, clause.parameters)


def query_health() -> Query:
    sql = """
SELECT version() AS engine, sum(rows) AS rows_, sum(bytes_on_disk) AS bytes_, count() AS parts
FROM system.parts WHERE active AND database = currentDatabase()"""
    return Query(sql, {})


@cache
def list_fields(record_type: type) -> list[str]:
    """List the fields of a record, which its query selects in the same order."""
    if issubclass(record_type, msgspec.Struct):
        return [field.name for field in msgspec.structs.fields(record_type)]
    return [each.name for each in fields(cast("Any", record_type)) if each.init]


def build_record(record_type: Callable[..., _Record], values: Sequence[Any]) -> _Record:
    """Build a record from the values of its fields, in order."""
    names = list_fields(cast("type", record_type))
    return record_type(**dict(zip(names, values, strict=True)))


def parse_record(row: tuple[Any, ...]) -> ReceivedMeasurement:
    *identity, role, country, asn, access, region, body, seniority = row
    vantage = Vantage(country=country, asn=asn, access=access, region=region)
    message = MeasurementPb.FromString(body)
    try:
        measurement = measurement_from_pb(message)
    except CodecError:  # stored before control characters were refused
        replace_controls_in(message)
        measurement = measurement_from_pb(message)
    unstored = ("", "")  # its reporter, and the edition of its program
    values = (*identity, AgentRole(role), vantage, measurement, Seniority(seniority), *unstored)
    return build_record(ReceivedMeasurement, values)


def parse_verdict(row: tuple[Any, ...]) -> VerdictRow:
    id_, judged, state, *details = row
    verdict = build_record(Verdict, (VerdictState(state), *details))
    return id_, judged, msgspec.structs.replace(verdict, evidence=tuple(verdict.evidence))


def parse_cell(row: tuple[Any, ...]) -> Cell:
    values = dict(zip(list_fields(Cell), row, strict=True))
    values["state"] = VerdictState(values["state"])
    values["layers"] = tuple(sorted(values["layers"].items()))
    return Cell(**values)


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
