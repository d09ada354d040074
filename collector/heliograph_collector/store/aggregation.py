"""Measurements counted as OONI counts them, over cells that nobody can be found in.

One table lies under every answer: country by network by day by experiment by target, small networks
together as network 0, and of each cell only what at least `k` of its vantages say, rounded down to
a multiple of `k`. An answer adds up whole cells of it, so two answers differ by whole cells too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heliograph_collector.store.clickhouse import TooMuchError
from heliograph_collector.store.queries import Query, Question
from heliograph_collector.store.rows import TIME_BAD

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Measurements; `at` has a value for each axis."""

    at: tuple[Any, ...]
    anomaly: int
    confirmed: int
    failure: int
    ok: int


def totals(wanted: Wanted) -> Query:
    """Up to MAX_ROWS and one more, so that one who asks for too much is told so."""
    names = [f"axis{i}" for i in range(len(wanted.axes))]
    shown = [f"{_axis(a, wanted.grain)} AS {n}" for a, n in zip(wanted.axes, names, strict=True)]
    by = f"GROUP BY {', '.join(names)} ORDER BY {', '.join(names)}" if names else ""
    inner, q = _cells(wanted)
    outer = Question().where("1")
    outer.where("net IN {asns:Array(UInt32)}", asns=_some(wanted.asns))
    sums = [f"sum({_floor(*pair)})" for pair in _COUNTS]
    text = f"""
SELECT {", ".join([*shown, *sums])}, count() AS cells_ FROM ({inner}) WHERE {outer.text}
{by} LIMIT {{limit:UInt32}}"""  # noqa: S608 our own words
    values = {"limit": MAX_ROWS + 1, "k": wanted.k, "known": list(wanted.known)}
    return Query(text, q.parameters | outer.parameters | values, _total)


def complete(found: Sequence[Total]) -> list[Total]:
    """Raises TooMuchError when there is more than one answer may hold."""
    if len(found) > MAX_ROWS:
        raise TooMuchError(
            f"More than {MAX_ROWS} rows: ask for a shorter time, a wider time_grain, fewer places "
            "or one axis."
        )
    return list(found)


# (measurements, vantages) of each count. What too few confirm is an anomaly all the same.
_COUNTS = (
    ("if(pc >= {k:UInt32}, a, a + c)", "if(pc >= {k:UInt32}, pa, pb)"),
    ("c", "pc"),
    ("f", "pf"),
    ("o", "po"),
)


def _floor(measurements: str, vantages: str) -> str:
    """Nothing of fewer than k; else the next lower multiple of k."""
    whole = f"intDiv({measurements}, {{k:UInt32}}) * {{k:UInt32}}"
    return f"if({vantages} >= {{k:UInt32}}, {whole}, 0)"


def _cells(wanted: Wanted) -> tuple[str, Question]:
    """The table. A filter inside of it may only name what its cells are told apart by, never ASN:
    small networks are put together before anybody picks one."""
    q = Question().between("started", wanted.since_us, wanted.until_us)
    q.where("endpoint = ''").where("role = 'volunteer'").where("rule != {bad:String}", bad=TIME_BAD)
    q.where("country IN {countries:Array(String)}", countries=_some(wanted.countries))
    q.where("experiment IN {experiments:Array(String)}", experiments=_some(wanted.experiments))
    q.where("domain(target) IN {domains:Array(String)}", domains=_some(wanted.domains))
    q.where("target = {input:String}", input=wanted.input or None)
    sure, bad = "state = 'blocked' AND method IN {known:Array(String)}", "state = 'blocked'"
    says = {"a": f"{bad} AND NOT ({sure})", "c": sure, "f": "state IN ('down', 'unknown')"}
    says["o"] = "state = 'reachable'"
    counts = [f"countIf({s}) AS {name}0" for name, s in says.items()]
    people = [f"uniqExactIf(nym, {s}) AS p{name}0" for name, s in (says | {"b": bad}).items()]
    summed = [f"sum({n}0) AS {n}" for n in (*says, *(f"p{name}" for name in (*says, "b")))]
    text = f"""
SELECT country, day, experiment, target, if(people >= {{k:UInt32}}, asn, 0) AS net,
  {", ".join(summed)}
FROM (
  SELECT country, asn, toDate(started, 'UTC') AS day, experiment, target, uniqExact(nym) AS people,
    {", ".join(counts + people)}
  FROM verdicts FINAL WHERE {q.text} GROUP BY country, asn, day, experiment, target
) GROUP BY country, day, experiment, target, net
HAVING greatest(pa, pb, pc, pf, po) >= {{k:UInt32}}"""  # noqa: S608 our own conditions
    return text, q


def _axis(axis: str, grain: str) -> str:
    return f"toString({_GRAINS[grain]})" if axis == "measurement_start_day" else _AXES[axis]


def _some(values: Sequence[Any]) -> list[Any] | None:
    return list(values) or None


def _total(r: tuple[Any, ...]) -> Total:
    *at, anomaly, confirmed, failure, ok, _ = r
    return Total(at=tuple(at), anomaly=anomaly, confirmed=confirmed, failure=failure, ok=ok)
