"""Daily totals for the aggregation: sums of whole days, with marks of validity.

States of a day: *new* (no mark), *summed* (a mark with country ""), *stale* for some countries (a
mark with that country and a higher version). Before further verdicts of a summed day are inserted,
their country gets its mark. The country is then counted from verdicts until the day is summed
again. So a crash between any two writes leaves a correct but slower answer. Only one process
writes at a time. One that was stopped before a write may make it after the next process has begun:
a sum's mark is therefore numbered before its verdicts are read, below each change from then on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from heliograph.units import DAY_US
from heliograph_collector.store.clickhouse import ClickHouse
from heliograph_collector.store.queries import LINE_DAY_SQL, Query, WhereClause

COUNT_COLUMNS = ("anomaly", "confirmed", "failure", "ok")
KEY_COLUMNS = ("country", "net", "day", "experiment", "target")
MAX_MARKED = 16_384  # assumed; days and countries that late data may touch, some 2 MB
_EPOCH = date(1970, 1, 1)

DayMark = tuple[date, str, str, int]  # day, country, signature, version


@dataclass(frozen=True, slots=True)
class AnonymityRule:
    """Rule of cells: counts of fewer than `k` vantages are 0."""

    k: int

    @property
    def signature(self) -> str:
        return f"lines {self.k} confirmed"

    @property
    def parameters(self) -> dict[str, object]:
        return {"k": self.k}


@dataclass(frozen=True, slots=True)
class UncachedDays:
    """Days to count from verdicts: whole days, and single countries of partial days."""

    whole_days: tuple[date, ...] = ()
    partial_days: tuple[date, ...] = ()
    countries: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.whole_days or self.partial_days)

    def build_clause(self, day_column: str, table: str) -> WhereClause:
        """Select rows of `table` ("verdicts" or "days") whose (day, country) are uncached."""
        clause = WhereClause()
        alternatives = []
        for name, days in (("whole", self.whole_days), ("partly", self.partial_days)):
            if days:
                clause.parameters |= {f"{name}_days": list(days)}
                alternatives.append(f"{day_column} IN {{{name}_days:Array(Date)}}")
                if table == "verdicts":  # on the partition column, so that the engine skips parts
                    clause.parameters |= {
                        f"{name}_since": midnight_us(days[0]),
                        f"{name}_until": midnight_us(days[-1]) + DAY_US,
                    }
                    alternatives[-1] += (
                        f" AND started >= fromUnixTimestamp64Micro({{{name}_since:Int64}}, 'UTC')"
                        f" AND started < fromUnixTimestamp64Micro({{{name}_until:Int64}}, 'UTC')"
                    )
        if self.partial_days:
            clause.parameters |= {"live": list(self.countries)}
            alternatives[-1] += " AND country IN {live:Array(String)}"
        clause.conditions.append(" OR ".join(f"({each})" for each in alternatives) or "0")
        return clause


def query_marks(since_us: int, until_us: int) -> Query:
    return _query_marks(WhereClause().add_days(day_at(since_us), day_at(until_us)))


def _query_marks(clause: WhereClause) -> Query:
    sql = f"SELECT day, country, sign, version FROM day_marks FINAL WHERE {clause.sql}"  # noqa: S608 fixed text, values are parameters
    return Query(sql, clause.parameters)


def find_uncached(
    marks: Sequence[DayMark], rule: AnonymityRule, since_us: int, until_us: int
) -> UncachedDays:
    """Find the uncached days in [since, until), which are at midnight UTC."""
    stale = _find_stale(marks, rule.signature)
    span = range((until_us - since_us) // DAY_US)
    days = [day_at(since_us) + timedelta(days=n) for n in span]
    partly = [day for day in days if stale.get(day)]
    countries = sorted({country for day in partly for country in stale[day]})
    return UncachedDays(tuple(d for d in days if d not in stale), tuple(partly), tuple(countries))


def _find_stale(marks: Sequence[DayMark], signature: str | None = None) -> dict[date, list[str]]:
    """Return each day summed (by `signature`) with the countries changed since."""
    version_by_day = {day: v for day, c, how, v in marks if not c and signature in (None, how)}
    return {
        day: [c for at, c, _, v in marks if at == day and c and v > version]
        for day, version in version_by_day.items()
    }


def build_cells_sql(clause: WhereClause) -> str:
    """Count the verdicts that `clause` selects, by k-anonymous cells.

    k is a parameter (`AnonymityRule`). k counts established vantages, and no more than their
    lines on the day that names most of them; if it is 1, any vantage.
    Networks of fewer than k vantages become network 0. A count of fewer than k vantages becomes 0,
    any other the next lower multiple of k. Blocking that too few vantages confirm is an anomaly.
    """
    sums = [f"sum({n}0) AS {n}" for n in (*_COUNT_CONDITIONS, *_VANTAGE_CONDITIONS)]
    return f"""
SELECT country, net, day, experiment, target,
  {_build_floor_sql("if(pc >= {k:UInt32}, a, a + c)", "if(pc >= {k:UInt32}, pa, pb)")} AS anomaly,
  {_build_floor_sql("c", "pc")} AS confirmed, {_build_floor_sql("f", "pf")} AS failure,
  {_build_floor_sql("o", "po")} AS ok
FROM (
  SELECT country, if(people >= {{k:UInt32}}, asn, 0) AS net, day, experiment, target,
    {", ".join(sums)}
  FROM ({_build_network_sql(clause)}) GROUP BY {", ".join(KEY_COLUMNS)}
) WHERE anomaly + confirmed + failure + ok > 0"""  # noqa: S608 fixed text, values are parameters


_BLOCKED_SQL = "state = 'blocked'"
_CONFIRMED_SQL = "state = 'blocked' AND confirmed"
_COUNTED_SQL = "(seniority = 'established' OR {k:UInt32} <= 1)"
_COUNT_CONDITIONS = {
    "a": f"{_BLOCKED_SQL} AND NOT ({_CONFIRMED_SQL})",
    "c": _CONFIRMED_SQL,
    "f": "state IN ('down', 'unknown')",
    "o": "state = 'reachable'",
}
_VANTAGE_CONDITIONS = {
    f"p{name}": says for name, says in (_COUNT_CONDITIONS | {"b": _BLOCKED_SQL}).items()
}


def _build_network_sql(clause: WhereClause) -> str:
    """Count measurements by outcome, and the vantages with that outcome."""
    clause.add_volunteer_verdicts()
    counts = [f"countIf({condition}) AS {name}0" for name, condition in _COUNT_CONDITIONS.items()]
    counts += [
        f"{_count_persons_sql(f'({condition}) AND {_COUNTED_SQL}')} AS {name}0"
        for name, condition in _VANTAGE_CONDITIONS.items()
    ]
    return f"""
    SELECT country, asn, toDate(started, 'UTC') AS day, experiment, target,
      {_count_persons_sql(_COUNTED_SQL)} AS people, {", ".join(counts)}
    FROM verdicts FINAL WHERE {clause.sql} GROUP BY country, asn, day, experiment, target"""  # noqa: S608 fixed text, values are parameters


def _count_persons_sql(condition: str) -> str:
    lines = f"arrayMax(mapValues(uniqExactMapIf(map({LINE_DAY_SQL}, prefix), {condition})))"
    return f"least(uniqExactIf(nym, {condition}), {lines})"


def _build_floor_sql(measurements: str, vantages: str) -> str:
    floored = f"intDiv({measurements}, {{k:UInt32}}) * {{k:UInt32}}"
    return f"if({vantages} >= {{k:UInt32}}, {floored}, 0)"


class DailyTotals:
    """Writer of daily totals; only the writing thread may call it."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        # Days and countries that need no mark until a day is summed: asked for with each block, the
        # engine takes 5 ms of CPU to answer. Where another host may sum it, each block asks.
        self._marked: set[tuple[date, str]] = set()

    def mark_changed(self, keys: Iterable[tuple[int, str]]) -> None:
        """Mark (time in µs, country) before inserting such verdicts. Raises StoreError."""
        changed_days = {(day_at(at_us), country) for at_us, country in keys} - self._marked
        if not changed_days:
            return
        marks = self._read_marks({day for day, _ in changed_days})
        stale = _find_stale(marks)
        for day, country in sorted(changed_days):
            if day in stale and country not in stale[day]:
                self._insert_mark(day, country, "", self._read_version() + 2)
        if not self._clickhouse.is_only_writer:
            return
        if len(self._marked) + len(changed_days) > MAX_MARKED:
            self._marked.clear()
        self._marked |= changed_days

    def sum_day(self, day: date, rule: AnonymityRule) -> bool:
        """Sum a day's missing hours; return whether any was missing. Raises StoreError."""
        self._marked.clear()
        version = self._read_version() + 1
        stale = _find_stale(self._read_marks({day}), rule.signature)
        if stale.get(day) == []:
            return False
        self._replace_totals(day, stale.get(day, []), rule)
        self._insert_mark(day, "", rule.signature, version)
        return True

    def list_due(self, before_us: int, rule: AnonymityRule, include_new: bool) -> list[date]:
        """List past days with changes, and with `include_new` days never summed."""
        end = day_at(before_us)
        stale = _find_stale(self._read_marks(()), rule.signature)
        days = {day for day, countries in stale.items() if countries}
        if include_new:
            sql = "SELECT DISTINCT toDate(started, 'UTC') FROM verdicts"
            days |= {day for (day,) in self._clickhouse.query_written(sql, {})} - stale.keys()
        return sorted(day for day in days if day < end)

    def _replace_totals(self, day: date, countries: Sequence[str], rule: AnonymityRule) -> None:
        """Replace totals, writing zeros for cells that no longer exist."""
        at_us = midnight_us(day)
        clause = WhereClause().add_time_range("started", at_us, at_us + DAY_US)
        old_clause = WhereClause().add_condition("day = {day:Date}", day=day)
        for each in (clause, old_clause):
            each.add_condition("country IN {some:Array(String)}", some=list(countries) or None)
        zeros = ", ".join(f"toUInt64(0) AS {name}" for name in COUNT_COLUMNS)
        sums = ", ".join(f"sum({name})" for name in COUNT_COLUMNS)
        key = ", ".join(KEY_COLUMNS)
        sql = f"""
INSERT INTO days ({key}, {", ".join(COUNT_COLUMNS)}, edition)
SELECT {key}, {sums}, (SELECT max(version) FROM day_marks) + 1
FROM ({build_cells_sql(clause)} UNION ALL SELECT {key}, {zeros} FROM days WHERE {old_clause.sql})
GROUP BY {key}"""  # noqa: S608 fixed text, values are parameters
        self._clickhouse.command(sql, clause.parameters | old_clause.parameters | rule.parameters)

    def _insert_mark(self, day: date, country: str, signature: str, version: int) -> None:
        sql = (
            "INSERT INTO day_marks SELECT {day:Date}, {country:String}, {sign:String}, "
            "{version:UInt64}"
        )
        mark = {"day": day, "country": country, "sign": signature, "version": version}
        self._clickhouse.command(sql, mark)

    def _read_version(self) -> int:
        """Return the highest version of all marks."""
        return int(self._clickhouse.query_written("SELECT max(version) FROM day_marks", {})[0][0])

    def _read_marks(self, days: Iterable[date]) -> list[Any]:
        clause = WhereClause().add_condition("day IN {days:Array(Date)}", days=sorted(days) or None)
        query = _query_marks(clause)
        return self._clickhouse.query_written(query.sql, query.parameters)


def day_at(at_us: int) -> date:
    """Return the UTC day of a time."""
    return _EPOCH + timedelta(days=at_us // DAY_US)


def midnight_us(day: date) -> int:
    return (day - _EPOCH).days * DAY_US
