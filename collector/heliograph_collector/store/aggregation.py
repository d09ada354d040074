"""Measurements counted as OONI counts them, over cells that nobody can be found in.

One table lies under every answer: country by network by day by experiment by target, small networks
together as network 0, and of each cell only what at least `k` of its vantages say, rounded down to
a multiple of `k`. An answer adds up whole cells of it, so two answers differ by whole cells too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heliograph_collector.store.clickhouse import TooMuchError
from heliograph_collector.store.daily_totals import COUNTS, KEY, By, Live, cells, day_of
from heliograph_collector.store.queries import Query, Question

MAX_ROWS = 10_000  # of one answer
_GRAINS = {
    "day": "day",
    "week": "toStartOfWeek(day, 1)",  # Monday
    "month": "toStartOfMonth(day)",
    "year": "toStartOfYear(day)",
}
GRAINS = tuple(_GRAINS)
# axis → its value in a row of the table; the day depends on the grain
_AXES: Mapping[str, str] = {
    "measurement_start_day": "",
    "probe_cc": "country",
    "probe_asn": "net",
    "test_name": "experiment",
    "domain": "domain(target)",
    "input": "target",
}
AXES = tuple(_AXES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """`since_us` and `until_us` on midnights, UTC; the empty value of a filter asks for all.

    `axes` are of AXES, `grain` is of GRAINS. `known` are the methods that are a known signature:
    blocked by one of them is confirmed, by any other an anomaly.
    """

    since_us: int
    until_us: int
    k: int
    known: Sequence[str]
    countries: Sequence[str] = ()
    asns: Sequence[int] = ()
    experiments: Sequence[str] = ()
    domains: Sequence[str] = ()
    input: str = ""
    axes: Sequence[str] = ()
    grain: str = "day"

    @property
    def by(self) -> By:
        return By(self.k, tuple(self.known))


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Measurements; `at` has a value for each axis."""

    at: tuple[Any, ...]
    anomaly: int
    confirmed: int
    failure: int
    ok: int


def totals(wanted: Wanted, live: Live) -> Query:
    """Up to MAX_ROWS and one more, so that one who asks for too much is told so.

    `live` is counted from the verdicts, the rest read from the days that are summed.
    """
    names = [f"axis{i}" for i in range(len(wanted.axes))]
    shown = [f"{_axis(a, wanted.grain)} AS {n}" for a, n in zip(wanted.axes, names, strict=True)]
    by = f"GROUP BY {', '.join(names)} ORDER BY {', '.join(names)}" if names else ""
    inner, parameters = _cells(wanted, live)
    outer = Question().where("anomaly + confirmed + failure + ok > 0")
    outer.where("net IN {asns:Array(UInt32)}", asns=_some(wanted.asns))
    sums = [f"sum({name})" for name in COUNTS]
    text = f"""
SELECT {", ".join([*shown, *sums])}, count() AS cells_ FROM ({inner}) WHERE {outer.text}
{by} LIMIT {{limit:UInt32}}"""  # noqa: S608 our own words
    values = {"limit": MAX_ROWS + 1} | wanted.by.parameters
    return Query(text, parameters | outer.parameters | values, _total)


def complete(found: Sequence[Total]) -> list[Total]:
    """Raises TooMuchError when there is more than one answer may hold."""
    if len(found) > MAX_ROWS:
        raise TooMuchError(
            f"More than {MAX_ROWS} rows: ask for a shorter time, a wider time_grain, fewer places "
            "or one axis."
        )
    return list(found)


def _cells(wanted: Wanted, live: Live) -> tuple[str, dict[str, object]]:
    """The table. A filter inside of it may only name what its cells are told apart by, never ASN:
    small networks are put together before anybody picks one."""
    kept = Question().where("day >= {first:Date}", first=day_of(wanted.since_us))
    kept.where("day < {end:Date}", end=day_of(wanted.until_us))
    _narrow(kept, wanted)
    counted, parts = Question(), []
    if live:
        among = live.among("day", "country", "days")
        kept.where(f"NOT ({among.text})", **among.parameters)
        among = live.among("toDate(started, 'UTC')", "country", "verdicts")
        counted.where(f"({among.text})", **among.parameters)
        parts.append(cells(_narrow(counted, wanted)))
    columns = ", ".join((*KEY, *COUNTS))
    parts.append(f"SELECT {columns} FROM days FINAL WHERE {kept.text}")  # noqa: S608 our own words
    return " UNION ALL ".join(parts), kept.parameters | counted.parameters


def _narrow(q: Question, wanted: Wanted) -> Question:
    q.where("country IN {countries:Array(String)}", countries=_some(wanted.countries))
    q.where("experiment IN {experiments:Array(String)}", experiments=_some(wanted.experiments))
    q.where("domain(target) IN {domains:Array(String)}", domains=_some(wanted.domains))
    return q.where("target = {input:String}", input=wanted.input or None)


def _axis(axis: str, grain: str) -> str:
    return f"toString({_GRAINS[grain]})" if axis == "measurement_start_day" else _AXES[axis]


def _some(values: Sequence[Any]) -> list[Any] | None:
    return list(values) or None


def _total(r: tuple[Any, ...]) -> Total:
    *at, anomaly, confirmed, failure, ok, _ = r
    return Total(at=tuple(at), anomaly=anomaly, confirmed=confirmed, failure=failure, ok=ok)
