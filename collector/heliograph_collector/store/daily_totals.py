"""Days summed once, for the aggregation: which of them may be read, which must be counted live.

A day that is summed has a mark with country "". Before other verdicts of it go in, their country
gets a mark with a higher version, and is counted live until the day is summed again. So a crash
between any two writes leaves an answer that is right and slower. One process writes at a time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from heliograph_collector.model.records import DAY_US, TIME_BAD
from heliograph_collector.store.clickhouse import ClickHouse
from heliograph_collector.store.queries import Query, Question

COUNTS = ("anomaly", "confirmed", "failure", "ok")
KEY = ("country", "net", "day", "experiment", "target")
_EPOCH = date(1970, 1, 1)

Mark = tuple[date, str, str, int]  # day, country, sign, version


@dataclass(frozen=True, slots=True)
class By:
    """How cells are made: of fewer than `k` nothing; blocked by a `known` method is confirmed."""

    k: int
    known: tuple[str, ...]

    @property
    def sign(self) -> str:
        return f"{self.k} {','.join(sorted(self.known))}"

    @property
    def parameters(self) -> dict[str, object]:
        return {"k": self.k, "known": list(self.known)}


@dataclass(frozen=True, slots=True)
class Live:
    """What must be counted from the verdicts: whole days, and some countries of others."""

    whole: tuple[date, ...] = ()
    partly: tuple[date, ...] = ()
    countries: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.whole or self.partly)

    def among(self, day: str, country: str, given: str) -> Question:
        """Rows of `given` ("verdicts" or "days") whose (day, country) are live."""
        q, some = Question(), []
        for name, days in (("whole", self.whole), ("partly", self.partly)):
            if days:
                q.parameters |= {f"{name}_days": list(days)}
                some.append(f"{day} IN {{{name}_days:Array(Date)}}")
                if given == "verdicts":  # by its own column, so that parts are left out
                    q.parameters |= {
                        f"{name}_since": day_us(days[0]),
                        f"{name}_until": day_us(days[-1]) + DAY_US,
                    }
                    some[-1] += (
                        f" AND started >= fromUnixTimestamp64Micro({{{name}_since:Int64}}, 'UTC')"
                        f" AND started < fromUnixTimestamp64Micro({{{name}_until:Int64}}, 'UTC')"
                    )
        if self.partly:
            q.parameters |= {"live": list(self.countries)}
            some[-1] += f" AND {country} IN {{live:Array(String)}}"
        q.conditions.append(" OR ".join(f"({each})" for each in some) or "0")
        return q


def marks(since_us: int, until_us: int) -> Query:
    q = Question().where("day >= {first:Date}", first=day_of(since_us))
    q.where("day < {end:Date}", end=day_of(until_us))
    text = f"SELECT day, country, sign, version FROM day_marks FINAL WHERE {q.text}"  # noqa: S608 our own conditions
    return Query(text, q.parameters, lambda r: r)


def live(found: Sequence[Mark], by: By, since_us: int, until_us: int) -> Live:
    """Of whole days in [since, until), by their marks."""
    stale = _stale(found, by.sign)
    span = range((until_us - since_us) // DAY_US)
    days = [day_of(since_us) + timedelta(days=n) for n in span]
    partly = [day for day in days if stale.get(day)]
    countries = sorted({country for day in partly for country in stale[day]})
    return Live(tuple(d for d in days if d not in stale), tuple(partly), tuple(countries))


def _stale(found: Sequence[Mark], sign: str | None = None) -> dict[date, list[str]]:
    """Of each day that is summed (so as `sign` says), the countries that have changed since."""
    summed = {day: v for day, c, how, v in found if not c and sign in (None, how)}
    return {
        day: [c for at, c, _, v in found if at == day and c and v > version]
        for day, version in summed.items()
    }


def cells(q: Question) -> str:
    """Counted from the verdicts that `q` picks; k and known are parameters (`By`).

    Networks of fewer than k people are network 0; a count of fewer than k people is nothing, else
    the next lower multiple of k; what too few confirm is an anomaly all the same.
    """
    sums = [f"sum({n}0) AS {n}" for n in (*_SAYS, *_PEOPLE)]
    return f"""
SELECT country, net, day, experiment, target,
  {_floor("if(pc >= {k:UInt32}, a, a + c)", "if(pc >= {k:UInt32}, pa, pb)")} AS anomaly,
  {_floor("c", "pc")} AS confirmed, {_floor("f", "pf")} AS failure, {_floor("o", "po")} AS ok
FROM (
  SELECT country, if(people >= {{k:UInt32}}, asn, 0) AS net, day, experiment, target,
    {", ".join(sums)}
  FROM ({_by_network(q)}) GROUP BY {", ".join(KEY)}
) WHERE anomaly + confirmed + failure + ok > 0"""  # noqa: S608 our own conditions


_BAD, _SURE = "state = 'blocked'", "state = 'blocked' AND method IN {known:Array(String)}"
_SAYS = {
    "a": f"{_BAD} AND NOT ({_SURE})",
    "c": _SURE,
    "f": "state IN ('down', 'unknown')",
    "o": "state = 'reachable'",
}
_PEOPLE = {f"p{name}": says for name, says in (_SAYS | {"b": _BAD}).items()}


def _by_network(q: Question) -> str:
    """Measurements by what they say, and how many vantages say so."""
    q.where("endpoint = ''").where("role = 'volunteer'").where("rule != {bad:String}", bad=TIME_BAD)
    counts = [f"countIf({says}) AS {name}0" for name, says in _SAYS.items()]
    counts += [f"uniqExactIf(nym, {says}) AS {name}0" for name, says in _PEOPLE.items()]
    return f"""
    SELECT country, asn, toDate(started, 'UTC') AS day, experiment, target,
      uniqExact(nym) AS people, {", ".join(counts)}
    FROM verdicts FINAL WHERE {q.text} GROUP BY country, asn, day, experiment, target"""  # noqa: S608 our own conditions


def _floor(measurements: str, vantages: str) -> str:
    whole = f"intDiv({measurements}, {{k:UInt32}}) * {{k:UInt32}}"
    return f"if({vantages} >= {{k:UInt32}}, {whole}, 0)"


class Days:
    """The writing side; only the writing thread may call it."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def touch(self, keys: Iterable[tuple[int, str]]) -> None:
        """(time in µs, country) of verdicts that are about to go in. Raises StoreError."""
        asked = {(day_of(at_us), country) for at_us, country in keys}
        found = self._marks({day for day, _ in asked})
        stale = _stale(found)
        for day, country in sorted(asked):
            if day in stale and country not in stale[day]:
                self._mark(day, country, "")

    def sum_up(self, day: date, by: By) -> bool:
        """Sum what of a day is not; whether there was anything to do. Raises StoreError."""
        stale = _stale(self._marks({day}), by.sign)
        if stale.get(day) == []:
            return False
        self._put(day, stale.get(day, []), by)
        self._mark(day, "", by.sign)
        return True

    def due(self, before_us: int, by: By, *, every: bool) -> list[date]:
        """Days that are over and not summed; with `every` also those that never were."""
        end = day_of(before_us)
        stale = _stale(self._marks(()), by.sign)
        days = {day for day, countries in stale.items() if countries}
        if every:
            text = "SELECT DISTINCT toDate(started, 'UTC') FROM verdicts"
            days |= {day for (day,) in self._clickhouse.written(text, {})} - stale.keys()
        return sorted(day for day in days if day < end)

    def _put(self, day: date, countries: Sequence[str], by: By) -> None:
        """Also zeros for cells that are no more, so that they do not stay as they were."""
        at_us = day_us(day)
        q = Question().between("started", at_us, at_us + DAY_US)
        old = Question().where("day = {day:Date}", day=day)
        for each in (q, old):
            each.where("country IN {some:Array(String)}", some=list(countries) or None)
        zeros = ", ".join(f"toUInt64(0) AS {name}" for name in COUNTS)
        sums = ", ".join(f"sum({name})" for name in COUNTS)
        key = ", ".join(KEY)
        text = f"""
INSERT INTO days ({key}, {", ".join(COUNTS)}, edition)
SELECT {key}, {sums}, (SELECT max(version) FROM day_marks) + 1
FROM ({cells(q)} UNION ALL SELECT {key}, {zeros} FROM days WHERE {old.text})
GROUP BY {key}"""  # noqa: S608 our own conditions
        self._clickhouse.put(text, q.parameters | old.parameters | by.parameters)

    def _mark(self, day: date, country: str, sign: str) -> None:
        text = """
INSERT INTO day_marks SELECT {day:Date}, {country:String}, {sign:String},
  (SELECT max(version) FROM day_marks) + 1"""
        self._clickhouse.put(text, {"day": day, "country": country, "sign": sign})

    def _marks(self, days: Iterable[date]) -> list[Any]:
        q = Question().where("day IN {days:Array(Date)}", days=sorted(days) or None)
        text = f"SELECT day, country, sign, version FROM day_marks FINAL WHERE {q.text}"  # noqa: S608 our own conditions
        return self._clickhouse.written(text, q.parameters)


def day_of(at_us: int) -> date:
    """The day, UTC, in which a moment lies."""
    return _EPOCH + timedelta(days=at_us // DAY_US)


def day_us(day: date) -> int:
    return (day - _EPOCH).days * DAY_US
