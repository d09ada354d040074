"""Queries of votes: single votes, per vantage and bin, and per cell with networks.

The counting rules equal those of `aggregate/rollup.py`, and a test compares both. A vantage's vote
is the majority of its verdicts, a network's the majority of its vantages. A tie is unknown.
"""

from collections.abc import Collection
from typing import Any

from heliograph.units import SECOND_US
from heliograph_collector.model.records import (
    TIME_BAD,
    Count,
    StoredVote,
    Vantage,
    VerdictState,
    Vote,
    WorldTally,
)
from heliograph_collector.store.clickhouse import TooMuchError
from heliograph_collector.store.queries import Query, WhereClause

MAX_VOTES = 250_000  # of one answer; about 100 MiB
MAX_BINS = 50_000  # more than a month of minutes


def query_single_votes(service: str, country: str, since_us: int, until_us: int) -> Query:
    """Select up to MAX_VOTES votes and one more, which shows an excess."""
    clause = _build_clause(service, since_us, until_us)
    clause.add_condition("country = {country:String}", country=country)
    sql = f"""
SELECT toUnixTimestamp64Micro(started) AS started_us, nym, prefix, country, region, asn, access,
  established, state, layer, method, reachable_endpoints, endpoints
FROM verdicts FINAL WHERE {clause.sql} ORDER BY started, id LIMIT {{limit:UInt32}}"""  # noqa: S608 our own conditions
    return Query(sql, clause.parameters | {"limit": MAX_VOTES + 1}, _parse_single_vote)


def check_vote_count(votes: list[StoredVote], service: str, country: str) -> list[StoredVote]:
    """Return the votes. Raises TooMuchError over MAX_VOTES."""
    if len(votes) > MAX_VOTES:
        raise TooMuchError(
            f"{service} in {country} has more than {MAX_VOTES} verdicts in that time: "
            "ask for a shorter one."
        )
    return votes


def query_world_tally(
    service: str, not_country: str, since_us: int, until_us: int, bin_s: int, fresh_s: int
) -> Query:
    """Count networks by their vantages' newest votes within `fresh_s` of a bin's end.

    A vantage in doubt abstains. A network fails when more than half of its vantages do. Raises
    TooMuchError over MAX_BINS.
    """
    if until_us - since_us > MAX_BINS * bin_s * SECOND_US:
        raise TooMuchError(f"More than {MAX_BINS} bins: ask for a shorter time, or wider bins.")
    clause = _build_clause(service, since_us - fresh_s * SECOND_US, until_us)
    clause.add_condition("country != {country:String}", country=not_country)
    sql = f"""
SELECT bin, countIf(2 * bad <= known) AS good_, countIf(2 * bad > known) AS bad_ FROM (
  SELECT bin, country, net, count() AS known, countIf(fails) AS bad FROM (
    SELECT bin, country, argMax(prefix, (at, id)) AS net, argMax(state, (at, id)) AS said,
      said != 'reachable' OR argMax(partly, (at, id)) AS fails
    FROM (
      SELECT id, nym, country, prefix, state, toUnixTimestamp64Micro(started) AS at,
        state = 'reachable' AND reachable_endpoints < endpoints AS partly,
        arrayJoin(range(greatest(intDiv(at, {{bin:Int64}}), intDiv({{from:Int64}}, {{bin:Int64}}))
            * {{bin:Int64}}, least(at + {{fresh:Int64}} - {{bin:Int64}} + 1, {{to:Int64}}),
          {{bin:Int64}})) AS bin
      FROM verdicts FINAL WHERE {clause.sql}
    ) GROUP BY bin, country, nym HAVING said != 'unknown'
  ) GROUP BY bin, country, net
) GROUP BY bin ORDER BY bin"""  # noqa: S608 our own conditions
    times = {
        "from": since_us,
        "to": until_us,
        "bin": bin_s * SECOND_US,
        "fresh": fresh_s * SECOND_US,
    }
    return Query(
        sql, clause.parameters | times, lambda r: WorldTally(start_us=r[0], good=r[1], bad=r[2])
    )


def _build_clause(service: str, since_us: int, until_us: int) -> WhereClause:
    """Select whole-target verdicts of volunteers with a valid time."""
    clause = WhereClause().add_time_range("started", since_us, until_us)
    clause.add_condition("service = {service:String}", service=service)
    clause.add_condition("endpoint = ''").add_condition("role = 'volunteer'")
    return clause.add_condition("rule != {bad:String}", bad=TIME_BAD)


def _parse_single_vote(r: tuple[Any, ...]) -> StoredVote:
    return StoredVote(
        started_us=r[0],
        pseudonym=r[1],
        prefix=r[2],
        vantage=Vantage(country=r[3], region=r[4], asn=r[5], access=r[6]),
        established=r[7],
        state=VerdictState(r[8]),
        layer=r[9],
        method=r[10],
        reachable_endpoints=r[11],
        endpoints=r[12],
    )


_CELL_COLUMNS = "country, region, asn, access, service, start"
_STATES = (VerdictState.REACHABLE, VerdictState.BLOCKED, VerdictState.DOWN, VerdictState.UNKNOWN)


def query_votes(clause: WhereClause, bin_s: int) -> Query:
    """Select a row per cell, bin and vantage, from volunteers' whole-target verdicts."""
    sql = f"""
SELECT {_CELL_COLUMNS}, nym, net, r, b, d, u, tupleElement(how, 1) AS by_layer,
  tupleElement(how, 2) AS by_method, old
FROM ({_build_vantage_sql(clause)}) ORDER BY {_CELL_COLUMNS}, nym"""  # noqa: S608 our own conditions
    return Query(sql, clause.parameters | {"bin": bin_s * SECOND_US}, _parse_vote)


def query_counts(clause: WhereClause, bin_s: int, merged_fields: Collection[str] = ()) -> Query:
    """Select one row per cell and bin: vantages and networks by state, and causes.

    `merged_fields` of place and service are merged, and a vantage votes once in the merged cell.
    """
    sql = f"""
SELECT {_CELL_COLUMNS}, sum(r), sum(b), sum(d), sum(u), countIf(said = 'reachable'),
  countIf(said = 'blocked'), countIf(said = 'down'), countIf(said = 'unknown'),
  sumMap(whys)
FROM (
  SELECT {_CELL_COLUMNS}, net, countIf(own = 'reachable') AS r, countIf(own = 'blocked') AS b,
    countIf(own = 'down') AS d, countIf(own = 'unknown') AS u, {_MAJORITY_SQL} AS said,
    sumMapIf(map(concat(own, '|', tupleElement(how, 1), '|', tupleElement(how, 2)), toUInt64(1)),
      own IN ('blocked', 'down')) AS whys
  FROM (
    SELECT {_CELL_COLUMNS}, net, how, {_MAJORITY_SQL} AS own
    FROM ({_build_vantage_sql(clause, merged_fields)})
  )
  GROUP BY {_CELL_COLUMNS}, net
) GROUP BY {_CELL_COLUMNS} ORDER BY {_CELL_COLUMNS}"""  # noqa: S608 our own conditions
    return Query(sql, clause.parameters | {"bin": bin_s * SECOND_US}, _parse_count)


_MAJORITY_SQL = (
    "multiIf(r > greatest(b, d, u), 'reachable', b > greatest(r, d, u), 'blocked',"
    " d > greatest(r, b, u), 'down', 'unknown')"
)


def _build_vantage_sql(clause: WhereClause, merged_fields: Collection[str] = ()) -> str:
    """Count each vantage's verdicts, with its last network and its most common cause.

    Measurements with an invalid time have no bin and so no vote.
    """
    clause.add_condition("endpoint = ''").add_condition("role = 'volunteer'").add_condition(
        "rule != {bad:String}", bad=TIME_BAD
    )
    place_columns = ", ".join(
        f"{wildcard if name in merged_fields else name} AS {name}_"
        for name, wildcard in _WILDCARDS.items()
    )
    return f"""
SELECT {_CELL_COLUMNS}, nym, argMax(last_net, last) AS net, max(long) AS old, sum(rr) AS r,
  sum(bb) AS b, sum(dd) AS d, sum(uu) AS u,
  argMinIf((layer, method), (-toInt64(bb + dd), layer, method), bb + dd > 0) AS how
FROM (
  SELECT country_ AS country, region_ AS region, asn_ AS asn, access_ AS access,
    service_ AS service,
    intDiv(toUnixTimestamp64Micro(started), {{bin:Int64}}) * {{bin:Int64}} AS start, nym, layer,
    method, countIf(state = 'reachable') AS rr, countIf(state = 'blocked') AS bb,
    countIf(state = 'down') AS dd, countIf(state = 'unknown') AS uu, max(established) AS long,
    max((started, id)) AS last, argMax(prefix, (started, id)) AS last_net
  FROM (
    SELECT {place_columns}, started, id, nym, prefix, layer, method, state, established
    FROM verdicts FINAL WHERE {clause.sql}
  ) GROUP BY {_CELL_COLUMNS}, nym, layer, method
) GROUP BY {_CELL_COLUMNS}, nym"""  # noqa: S608 our own conditions


_WILDCARDS = {
    "country": "''",
    "region": "''",
    "asn": "toUInt32(0)",
    "access": "''",
    "service": "''",
}  # values that stand for a merged field


def _parse_vote(r: tuple[Any, ...]) -> Vote:
    return Vote(
        country=r[0],
        region=r[1],
        asn=r[2],
        access=r[3],
        service=r[4],
        start_us=r[5],
        pseudonym=r[6],
        prefix=r[7],
        reachable=r[8],
        blocked=r[9],
        down=r[10],
        unknown=r[11],
        layer=r[12],
        method=r[13],
        established=r[14],
    )


def _parse_count(r: tuple[Any, ...]) -> Count:
    return Count(
        country=r[0],
        region=r[1],
        asn=r[2],
        access=r[3],
        service=r[4],
        start_us=r[5],
        vantages=dict(zip(_STATES, r[6:10], strict=True)),
        networks=dict(zip(_STATES, r[10:14], strict=True)),
        causes={_parse_cause(cause): n for cause, n in r[14].items()},
    )


def _parse_cause(key: str) -> tuple[VerdictState, str, str]:
    state, layer, method = key.split("|", 2)
    return VerdictState(state), layer, method
