"""Aggregation of measurements with OONI's counts, over k-anonymous cells.

Every answer sums whole cells of one table: country by network by day by experiment by target. In
it, small networks are merged to network 0. A count with fewer than `k` vantages becomes 0, and
any other is rounded down to a multiple of `k`. So two answers differ by whole cells only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heliograph_collector.store.clickhouse import TooMuchError
from heliograph_collector.store.daily_totals import (
    COUNT_COLUMNS,
    KEY_COLUMNS,
    AnonymityRule,
    UncachedDays,
    build_cells_sql,
    day_at,
)
from heliograph_collector.store.queries import Query, WhereClause

MAX_ROWS = 10_000  # of one answer
_DAY_SQL_BY_GRAIN = {
    "day": "day",
    "week": "toStartOfWeek(day, 1)",  # weeks start on Monday
    "month": "toStartOfMonth(day)",
    "year": "toStartOfYear(day)",
}
GRAINS = tuple(_DAY_SQL_BY_GRAIN)
# axis → SQL of its value; the day's depends on the grain
_SQL_BY_AXIS: Mapping[str, str] = {
    "measurement_start_day": "",
    "probe_cc": "country",
    "probe_asn": "net",
    "test_name": "experiment",
    "domain": "domain(target)",
    "input": "target",
}
AXES = tuple(_SQL_BY_AXIS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregationQuery:
    """Aggregation request; the empty value of a filter selects all.

    `since_us` and `until_us` are at midnight UTC. `axes` are from AXES, `grain` is from GRAINS.
    Only listed targets and experiments are counted: a measurement may name any text.
    """

    since_us: int
    until_us: int
    k: int
    listed_targets: Sequence[str] | None = None  # None: any
    listed_experiments: Sequence[str] | None = None
    received_before_us: int | None = None  # what arrived later is counted only with its whole day
    countries: Sequence[str] = ()
    asns: Sequence[int] = ()
    experiments: Sequence[str] = ()
    domains: Sequence[str] = ()
    input: str = ""
    axes: Sequence[str] = ()
    grain: str = "day"

    @property
    def anonymity_rule(self) -> AnonymityRule:
        return AnonymityRule(self.k)


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregationRow:
    """Counts of measurements; `axis_values` has one value for each axis."""

    axis_values: tuple[Any, ...]
    anomaly: int
    confirmed: int
    failure: int
    ok: int


def query_totals(request: AggregationQuery, uncached: UncachedDays) -> Query:
    """Build the query for up to MAX_ROWS rows and one more, which shows an excess.

    Days in `uncached` are counted from verdicts, all others read from daily totals.
    """
    aliases = [f"axis{i}" for i in range(len(request.axes))]
    columns = [
        f"{_axis_sql(a, request.grain)} AS {n}" for a, n in zip(request.axes, aliases, strict=True)
    ]
    grouping = f"GROUP BY {', '.join(aliases)} ORDER BY {', '.join(aliases)}" if aliases else ""
    table_sql, parameters = _build_table_sql(request, uncached)
    clause = WhereClause().add_condition("anomaly + confirmed + failure + ok > 0")
    clause.add_condition("net IN {asns:Array(UInt32)}", asns=_list_or_none(request.asns))
    sums = [f"sum({name})" for name in COUNT_COLUMNS]
    sql = f"""
SELECT {", ".join([*columns, *sums])}, count() AS cells_ FROM ({table_sql}) WHERE {clause.sql}
{grouping} LIMIT {{limit:UInt32}}"""  # noqa: S608 fixed text, no value
    extra_parameters = {"limit": MAX_ROWS + 1} | request.anonymity_rule.parameters
    return Query(sql, parameters | clause.parameters | extra_parameters)


def check_row_count(rows: Sequence[AggregationRow]) -> list[AggregationRow]:
    """Return the rows, or raise TooMuchError when there are more than MAX_ROWS."""
    if len(rows) > MAX_ROWS:
        raise TooMuchError(
            f"More than {MAX_ROWS} rows: ask for a shorter time, a wider time_grain, fewer places "
            "or one axis."
        )
    return list(rows)


def _build_table_sql(
    request: AggregationQuery, uncached: UncachedDays
) -> tuple[str, dict[str, object]]:
    """Build the SQL of the table of cells.

    A filter in it may only use the key of a cell and never the ASN, because small networks are
    merged before anybody selects one.
    """
    day_clause = WhereClause().add_days(day_at(request.since_us), day_at(request.until_us))
    _add_filters(day_clause, request)
    verdict_clause = WhereClause()
    parts = []
    if uncached:
        live_clause = uncached.build_clause("day", "days")
        day_clause.add_condition(f"NOT ({live_clause.sql})", **live_clause.parameters)
        live_clause = uncached.build_clause("toDate(started, 'UTC')", "verdicts")
        verdict_clause.add_condition(f"({live_clause.sql})", **live_clause.parameters)
        verdict_clause.add_arrival(request.received_before_us)
        parts.append(build_cells_sql(_add_filters(verdict_clause, request)))
    columns = ", ".join((*KEY_COLUMNS, *COUNT_COLUMNS))
    parts.append(f"SELECT {columns} FROM days FINAL WHERE {day_clause.sql}")  # noqa: S608 fixed text, no value
    return " UNION ALL ".join(parts), day_clause.parameters | verdict_clause.parameters


def _add_filters(clause: WhereClause, request: AggregationQuery) -> WhereClause:
    clause.add_condition(
        "country IN {countries:Array(String)}", countries=_list_or_none(request.countries)
    )
    clause.add_condition(
        "experiment IN {experiments:Array(String)}", experiments=_list_or_none(request.experiments)
    )
    clause.add_condition("target IN {listed:Array(String)}", listed=request.listed_targets)
    clause.add_condition(
        "experiment IN {methods:Array(String)}", methods=request.listed_experiments
    )
    clause.add_condition(
        "domain(target) IN {domains:Array(String)}", domains=_list_or_none(request.domains)
    )
    return clause.add_condition("target = {input:String}", input=request.input or None)


def _axis_sql(axis: str, grain: str) -> str:
    return (
        f"toString({_DAY_SQL_BY_GRAIN[grain]})"
        if axis == "measurement_start_day"
        else _SQL_BY_AXIS[axis]
    )


def _list_or_none(values: Sequence[Any]) -> list[Any] | None:
    return list(values) or None


def parse_total(row: tuple[Any, ...]) -> AggregationRow:
    *at, anomaly, confirmed, failure, ok, _ = row
    return AggregationRow(
        axis_values=tuple(at), anomaly=anomaly, confirmed=confirmed, failure=failure, ok=ok
    )
