"""Every question the store answers: fixed text, and values as the engine's typed parameters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heliograph.codec import measurement_from_pb
from heliograph.v1.observation_pb2 import Measurement as MeasurementPb
from heliograph_collector.model.records import (
    DAY_US,
    Cell,
    CellFilter,
    Judged,
    MeasurementFilter,
    Role,
    Silence,
    State,
    Taken,
    Vantage,
    Verdict,
)
from heliograph_collector.store import arrow_rows
from heliograph_collector.store.clickhouse import ClickHouse

_NOW = "SELECT toUnixTimestamp64Micro(now64(6))"


class Cells:
    """The writing side; only the writing thread may call it."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._written: dict[str, int] = {}  # by table: the last moment written, in µs

    def put(self, cells: Sequence[Cell]) -> None:
        """Raises StoreError."""
        by_table: dict[str, list[Cell]] = {}
        for cell in cells:
            by_table.setdefault(CELLS.get(cell.bin_s, "cells"), []).append(cell)
        for table, some in by_table.items():
            self._written[table] = written_us = max(self._ask(_NOW), self._last(table) + 1)
            self._clickhouse.insert(table, arrow_rows.cells(some, written_us), "")

    def _last(self, table: str) -> int:
        if table not in self._written:
            text = f"SELECT toUnixTimestamp64Micro(max(written)) FROM {table}"  # noqa: S608 our own words
            return self._ask(text)
        return self._written[table]

    def _ask(self, text: str) -> int:
        return int(self._clickhouse.written(text, {})[0][0])


US = 1_000_000
CELLS = {60: "minute_cells"}  # by the width of their bins, where they are not in `cells`

Given = tuple[str, int, Verdict]  # to which measurement, by which block, what


class Question:
    """A WHERE clause in the making: a condition for each value that was given."""

    def __init__(self) -> None:
        self.conditions: list[str] = []
        self.parameters: dict[str, object] = {}

    def where(self, condition: str, **parameters: object) -> "Question":
        """Add `condition`, unless one of its values is None. It is our text, never a caller's."""
        if None not in parameters.values():
            self.conditions.append(condition)
            self.parameters |= parameters
        return self

    def place(
        self, country: str | None, region: str | None, asn: int | None, access: str | None
    ) -> "Question":
        self.where("country = {country:String}", country=country)
        self.where("region = {region:String}", region=region)
        self.where("asn = {asn:UInt32}", asn=asn)
        return self.where("access = {access:String}", access=access)

    def between(self, column: str, since_us: int | None, until_us: int | None) -> "Question":
        moment = "fromUnixTimestamp64Micro({%s:Int64}, 'UTC')"
        self.where(f"{column} >= {moment % 'since'}", since=since_us)
        return self.where(f"{column} < {moment % 'until'}", until=until_us)

    @property
    def text(self) -> str:
        return " AND ".join(self.conditions) or "1"


def within(only: Mapping[str, Any]) -> Question:
    """A question about a place or service; raises TypeError for what is neither."""
    if unknown := only.keys() - {"country", "region", "asn", "access", "service"}:
        raise TypeError(f"no such filter: {', '.join(sorted(unknown))}")
    q = Question().place(*(only.get(name) for name in ("country", "region", "asn", "access")))
    return q.where("service = {service:String}", service=only.get("service"))


@dataclass(frozen=True, slots=True)
class Query:
    """Text, values, the columns that are bytes, and what a row of the answer becomes."""

    text: str
    parameters: dict[str, object]
    row: Callable[[tuple[Any, ...]], Any]
    binary: tuple[str, ...] = ()


def silences(q: Question, since_us: int, until_us: int, bin_s: int) -> Query:
    """Losses, each spread over the bins that ended before the vantage was back."""
    q.where("role = 'volunteer'").where("kind IN ('arrival', 'goodbye', 'lost')")
    q.between("received", since_us - DAY_US, until_us)
    text = f"""
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
    FROM presence FINAL WHERE {q.text}
  ) WHERE kind = 'lost'
) GROUP BY country, region, asn, access, start ORDER BY country, region, asn, access, start
"""  # noqa: S608 our own conditions
    spread = {"from": since_us, "to": until_us, "bin": bin_s * US, "day": DAY_US}
    return Query(text, q.parameters | spread, _silence)


_TAKEN = (
    "id, position, toUnixTimestamp64Micro(received) AS received_us, nym, prefix, role, country, "
    "asn, access, region, body, established"
)


def found(wanted: MeasurementFilter, after: tuple[int, str] | None, limit: int) -> Query:
    """(id, started) of measurements, newest first, from `after` (started, id) on.

    Without the messages: these are read for the page alone, not for all that was looked through.
    """
    q = Question().place(
        wanted.country or None, wanted.region or None, wanted.asn, wanted.access or None
    )
    q.between("started", wanted.since_us, wanted.until_us)
    q.where("service = {service:String}", service=wanted.service or None)
    q.where("experiment = {experiment:String}", experiment=wanted.experiment or None)
    if wanted.state:
        inner = f"SELECT id FROM verdicts FINAL WHERE {q.text} AND endpoint = ''"  # noqa: S608
        q.where(f"id IN ({inner} AND state = {{state:String}})", state=wanted.state)
    if after is not None:
        q.where(
            "(started, id) < (fromUnixTimestamp64Micro({after:Int64}, 'UTC'), {after_id:String})",
            after=after[0],
            after_id=after[1],
        )
    text = f"""
SELECT id, toUnixTimestamp64Micro(started) AS started_us FROM measurements FINAL WHERE {q.text}
ORDER BY started DESC, id DESC LIMIT {{limit:UInt32}}"""  # noqa: S608 our own conditions
    return Query(text, q.parameters | {"limit": limit}, lambda r: r)


def measurements(page: Sequence[tuple[str, int]]) -> Query:
    """The measurements of a page of (id, started), newest first."""
    q = Question().where("id IN {ids:Array(String)}", ids=[id_ for id_, _ in page])
    times = [started_us for _, started_us in page]
    q.between("started", min(times), max(times) + 1)
    text = f"""
SELECT {_TAKEN} FROM measurements WHERE {q.text}
ORDER BY started DESC, id DESC LIMIT 1 BY id"""  # noqa: S608 our own conditions
    return Query(text, q.parameters, _taken, ("body",))


def stretch(
    since_us: int, until_us: int, service: str | None, after: tuple[int, str] | None, limit: int
) -> Query:
    """Measurements of a stretch of time, oldest first, from `after` (started, id) on."""
    q = Question().between("started", since_us, until_us)
    q.where("service = {service:String}", service=service)
    if after is not None:
        q.where(
            "(started, id) > (fromUnixTimestamp64Micro({after:Int64}, 'UTC'), {after_id:String})",
            after=after[0],
            after_id=after[1],
        )
    text = f"""
SELECT {_TAKEN} FROM measurements WHERE {q.text}
ORDER BY started, id LIMIT 1 BY id LIMIT {{limit:UInt32}}"""  # noqa: S608 our own conditions
    return Query(text, q.parameters | {"limit": limit}, _taken, ("body",))


def measurement(id: str) -> Query:  # noqa: A002 the word of the row
    text = f"SELECT {_TAKEN} FROM measurements WHERE id = {{id:String}} LIMIT 1"  # noqa: S608
    return Query(text, {"id": id}, _taken, ("body",))


def verdicts(taken: Sequence[Taken]) -> Query:
    """The last judgement of each, endpoint "" first."""
    q = Question().between(
        "started", min(t.started_us for t in taken), max(t.started_us for t in taken) + 1
    )
    q.where("id IN {ids:Array(String)}", ids=[t.id for t in taken])
    text = f"""
SELECT id, judged, state, rule, layer, method, confidence, endpoint, evidence, reachable_endpoints,
  endpoints, issuer FROM verdicts FINAL WHERE {q.text}
ORDER BY id, judged DESC, endpoint
LIMIT 512 BY id"""  # noqa: S608 our own conditions
    return Query(text, q.parameters, _verdict)


def cells(wanted: CellFilter) -> Query:
    table = CELLS.get(wanted.bin_s, "cells")
    q = Question().place(wanted.country or None, wanted.region, wanted.asn, wanted.access)
    q.between("start", wanted.since_us, wanted.until_us)
    q.where("service = {service:String}", service=wanted.service or None)
    q.where("bin_s = {bin_s:UInt32}", bin_s=wanted.bin_s)
    text = f"""
SELECT country, region, asn, access, service, toUnixTimestamp64Micro(start) AS start_us, bin_s,
  vantages, reachable, blocked, down, unknown, silent, state, confidence, layer, method, prefixes,
  layers
FROM {table} FINAL WHERE {q.text}
ORDER BY country, service, region, asn, access, start"""  # noqa: S608 our own conditions
    return Query(text, q.parameters, _cell)


def cell_days(since_us: int) -> Query:
    """(midnight, last change) in µs of each day that has cells of five minutes."""
    q = Question().between("start", since_us, None).where("bin_s = 300")
    text = f"""
SELECT toInt64(toUnixTimestamp(toStartOfDay(start, 'UTC'))) * {US} AS day,
  toUnixTimestamp64Micro(max(written)) AS changed
FROM cells WHERE {q.text} GROUP BY day ORDER BY day"""  # noqa: S608 our own conditions
    return Query(text, q.parameters, lambda r: r)


_STRETCH = "position BETWEEN {first:UInt64} AND {last:UInt64}"
_THERE = {
    "measurements": (("id",), _STRETCH),
    "observations": (("id", "step"), _STRETCH),
    "verdicts": (("id", "endpoint"), "judged = {last:UInt64}"),
    "presence": (("position",), f"journal = {{journal:String}} AND {_STRETCH}"),
    "quarantine": (("position", "index"), f"journal = {{journal:String}} AND {_STRETCH}"),
}


def there(table: str) -> tuple[str, tuple[str, ...]]:
    """The question which rows of a block are in already, and the columns that tell them apart."""
    key, condition = _THERE[table]
    names = ", ".join(f"`{name}`" for name in key)
    return f"SELECT {names} FROM {table} WHERE {condition}", key  # noqa: S608 our own words


def rows(table: str) -> str:
    return f"SELECT count() AS rows_ FROM {table}"  # noqa: S608 our own words


def health() -> Query:
    text = """
SELECT version() AS engine, sum(rows) AS rows_, sum(bytes_on_disk) AS bytes_, count() AS parts
FROM system.parts WHERE active AND database = currentDatabase()"""
    return Query(text, {}, lambda r: r)


def _silence(r: tuple[Any, ...]) -> Silence:
    return Silence(country=r[0], region=r[1], asn=r[2], access=r[3], start_us=r[4], vantages=r[5])


def _taken(r: tuple[Any, ...]) -> Taken:
    id_, position, received_us, nym, prefix, role, country, asn, access, region, body = r[:11]
    return Taken(
        id=id_,
        position=position,
        received_us=received_us,
        nym=nym,
        prefix=prefix,
        role=Role(role),
        vantage=Vantage(country=country, asn=asn, access=access, region=region),
        measurement=measurement_from_pb(MeasurementPb.FromString(body)),
        established=r[11],
    )


def _verdict(r: tuple[Any, ...]) -> Given:
    id_, judged, state, rule, layer, method, confidence, endpoint, evidence, k, n, issuer = r
    return (
        id_,
        judged,
        Verdict(
            state=State(state),
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


def _cell(r: tuple[Any, ...]) -> Cell:
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
        state=State(r[13]),
        confidence=r[14],
        layer=r[15],
        method=r[16],
        prefixes=r[17],
        layers=tuple(sorted(r[18].items())),
    )


def last_judged(given: Sequence[Given]) -> dict[str, int]:
    """By measurement, which judgement was the last."""
    last: dict[str, int] = {}
    for id_, judged, _ in given:
        last[id_] = max(judged, last.get(id_, 0))
    return last


def paired(taken: Sequence[Taken], given: Sequence[Given]) -> tuple[Judged, ...]:
    """Each measurement with the verdicts of its last judgement, in their order."""
    last = last_judged(given)
    verdicts: dict[str, list[Verdict]] = {}
    for id_, judged, verdict in given:
        if judged == last[id_]:
            verdicts.setdefault(id_, []).append(verdict)
    return tuple((t, tuple(verdicts.get(t.id, ()))) for t in taken)


def parse_cursor(cursor: str) -> tuple[int, str] | None:
    """Raises ValueError when it is not one of ours."""
    if not cursor:
        return None
    started, dot, id_ = cursor.partition(".")
    if not (dot and started.isascii() and started.isdigit() and len(started) < 18):
        raise ValueError("not a cursor of this store")
    return int(started), id_
