"""Queries of votes: single votes, per vantage and bin, and per cell with networks.

A vantage's vote is the majority of its verdicts, a network's the majority of its vantages: the
state that more of them report than any other. A tie, or a lead of unknown, is unknown. This module
states the rule once for both ways of counting: `decide_majority` for rows in memory
(`aggregate/rollup.py`), and `_MAJORITY_SQL` for the engine, which need not send the rows. Both are
made of `STATES`, and a property test compares them. A partial verdict counts as reachable here,
because messaging works, and its blocked functions are counted beside (`partial_votes.py`);
the detectors read the verdicts themselves.
"""

from collections.abc import Collection, Mapping
from typing import Any

from heliograph.units import SECOND_US
from heliograph_collector.model.records import (
    Count,
    StoredVote,
    Vantage,
    VerdictState,
    Vote,
)
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.model.thresholds import THRESHOLDS
from heliograph_collector.store.clickhouse import TooMuchError
from heliograph_collector.store.queries import LINE_DAY_SQL, Query, WhereClause, build_record

MAX_VOTES = 250_000  # of one answer; about 100 MiB
MAX_BINS = 50_000  # more than a month of minutes

STATES = (VerdictState.REACHABLE, VerdictState.BLOCKED, VerdictState.DOWN, VerdictState.UNKNOWN)


def decide_majority(counts: Mapping[VerdictState, int]) -> VerdictState:
    """Return the most frequent state; a tie or a lead of unknown is unknown."""
    numbers = [counts.get(state, 0) for state in STATES]
    most = max(numbers)
    return STATES[numbers.index(most)] if numbers.count(most) == 1 else VerdictState.UNKNOWN


def _build_majority_sql(suffix: str = "") -> str:
    """Build the rule of `decide_majority` over columns named by the states' first letters."""
    columns = [state[0] + suffix for state in STATES]
    cases = [
        f"{column} > greatest({', '.join(c for c in columns if c != column)}), '{state.value}'"
        for column, state in zip(columns, STATES, strict=True)
        if state is not VerdictState.UNKNOWN
    ]
    return f"multiIf({', '.join(cases)}, '{VerdictState.UNKNOWN.value}')"


_MAJORITY_SQL = _build_majority_sql()


def query_single_votes(service: str, country: str, since_us: int, until_us: int) -> Query:
    """Select up to MAX_VOTES votes and one more, which shows an excess."""
    clause = _build_clause(service, since_us, until_us)
    clause.add_condition("country = {country:String}", country=country)
    sql = f"""
SELECT toUnixTimestamp64Micro(started) AS started_us, nym, prefix, country, region, asn, access,
  seniority, state, layer, method, reachable_endpoints, endpoints, function, endpoint
FROM verdicts FINAL WHERE {clause.sql} ORDER BY started, id LIMIT {{limit:UInt32}}"""  # noqa: S608 fixed text, values are parameters
    return Query(sql, clause.parameters | {"limit": MAX_VOTES + 1})


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

    A vantage in doubt abstains. A network fails when more than half of its vantages do. Young
    vantages count only in a bin with fewer established networks than a comparison needs
    (`Thresholds.witnesses`). Raises TooMuchError over MAX_BINS.
    """
    if until_us - since_us > MAX_BINS * bin_s * SECOND_US:
        raise TooMuchError(f"More than {MAX_BINS} bins: ask for a shorter time, or wider bins.")
    clause = _build_clause(service, since_us - fresh_s * SECOND_US, until_us)
    clause.add_condition("country != {country:String}", country=not_country)
    sql = f"""
SELECT bin, if(countIf(old1) >= {{few:UInt32}}, countIf(good1), countIf(good0)) AS good_,
  if(countIf(old1) >= {{few:UInt32}}, countIf(old1), count()) - good_ AS bad_
FROM (
  SELECT bin, country, net, 2 * countIf(fails) <= count() AS good0, countIf(old) > 0 AS old1,
    old1 AND 2 * countIf(fails AND old) <= countIf(old) AS good1
  FROM (
    SELECT bin, country, argMax(prefix, (at, id)) AS net, argMax(state, (at, id)) AS said,
      said != 'reachable' OR argMax(partly, (at, id)) AS fails, max(long) AS old
    FROM (
      SELECT id, nym, country, prefix, state, toUnixTimestamp64Micro(started) AS at,
        seniority = 'established' AS long,
        state = 'reachable' AND reachable_endpoints < endpoints AS partly,
        arrayJoin(range(greatest(intDiv(at, {{bin:Int64}}), intDiv({{from:Int64}}, {{bin:Int64}}))
            * {{bin:Int64}}, least(at + {{fresh:Int64}} - {{bin:Int64}} + 1, {{to:Int64}}),
          {{bin:Int64}})) AS bin
      FROM verdicts FINAL WHERE {clause.sql}
    ) GROUP BY bin, country, nym HAVING said != 'unknown'
  ) GROUP BY bin, country, net
) GROUP BY bin ORDER BY bin"""  # noqa: S608 fixed text, values are parameters
    numbers = {
        "few": THRESHOLDS.witnesses,
        "from": since_us,
        "to": until_us,
        "bin": bin_s * SECOND_US,
        "fresh": fresh_s * SECOND_US,
    }
    return Query(sql, clause.parameters | numbers)


def _build_clause(service: str, since_us: int, until_us: int) -> WhereClause:
    """Select verdicts on the whole target, and light checks, by volunteers with a valid time."""
    clause = WhereClause().add_time_range("started", since_us, until_us)
    return clause.add_service(service).add_volunteer_verdicts(with_light=True)


def parse_single_vote(row: tuple[Any, ...]) -> StoredVote:
    *identity, country, region, asn, access, seniority, state = row[:9]
    vantage = Vantage(country=country, region=region, asn=asn, access=access)
    values = (*identity, vantage, Seniority(seniority), VerdictState(state), *row[9:])
    return build_record(StoredVote, values)


# The commonest form of the blocked functions in a vantage's partial verdicts; "" for none.
FUNCTION_SQL = "arraySort((f, n) -> (-toInt64(n), f), mapKeys(fns), mapValues(fns))[1]"
CELL_COLUMNS = "country, region, asn, access, service, start"
_CELL_FIELDS = ("country", "region", "asn", "access", "service", "start_us")


def query_votes(clause: WhereClause, bin_s: int) -> Query:
    """Select a row per cell, bin and vantage, from volunteers' whole-target verdicts."""
    sql = f"""
SELECT {CELL_COLUMNS}, nym, net, r, b, d, u, tupleElement(how, 1) AS by_layer,
  tupleElement(how, 2) AS by_method, arraySum(mapValues(fns)) AS p, {FUNCTION_SQL} AS fn,
  if(old, 'established', 'young') AS age
FROM ({build_vantage_sql(clause)}) ORDER BY {CELL_COLUMNS}, nym"""  # noqa: S608 fixed text, values are parameters
    return Query(sql, clause.parameters | {"bin": bin_s * SECOND_US})


def query_counts(clause: WhereClause, bin_s: int, merged_fields: Collection[str] = ()) -> Query:
    """Select one row per cell and bin: vantages and networks by state, and causes.

    Both are counted twice, with young vantages and without them. `merged_fields` of place and
    service are merged, and a vantage votes once in the merged cell. A line with an
    established vantage is one person, in the first of the regions that its vantages declare. Of
    names for several days, only those of the day that has most in the network count.
    The last column tells whether any vantage found a function blocked.

    Each level reads columns of the level before it, and no name that it defines: the engine
    replaces a name by its meaning wherever it is read, and took 150 ms of CPU for one level.
    """
    sql = f"""
SELECT {CELL_COLUMNS}, sum(r), sum(b), sum(d), sum(u), {_count_states("said")},
  sum(r1), sum(b1), sum(d1), sum(u1), {_count_states("said1")},
  countIf(is_home AND line_day = best), sumMap(whys), max(partly)
FROM (
  SELECT *, argMax(line_day, (proven, line_day))
    OVER (PARTITION BY country, asn, access, service, start) AS best
FROM (
  SELECT *, said1 != '' AND region = minIf(region, said1 != '')
      OVER (PARTITION BY country, asn, access, service, start, net) AS is_home,
    uniqExactIf(net, said1 != '')
      OVER (PARTITION BY country, asn, access, service, start, line_day) AS proven
FROM (
  SELECT *, {_MAJORITY_SQL} AS said, if(has_old, {_build_majority_sql("1")}, '') AS said1
FROM (
  SELECT {CELL_COLUMNS}, net, max(day) AS line_day, {_count_voters("")},
    {_count_voters("1", " AND old")}, max(old) AS has_old,
    sumMapIf(map(concat(own, '|', tupleElement(how, 1), '|', tupleElement(how, 2)), toUInt64(1)),
      own IN ('blocked', 'down')) AS whys, max(notEmpty(fns)) AS partly
  FROM ({build_vantage_sql(clause, merged_fields)})
  GROUP BY {CELL_COLUMNS}, net
)))) GROUP BY {CELL_COLUMNS} ORDER BY {CELL_COLUMNS}"""  # noqa: S608 fixed text, values are parameters
    return Query(sql, clause.parameters | {"bin": bin_s * SECOND_US})


def _count_states(column: str) -> str:
    return ", ".join(f"countIf({column} = '{state.value}')" for state in STATES)


def _count_voters(suffix: str, condition: str = "") -> str:
    return ", ".join(f"countIf(own = '{s.value}'{condition}) AS {s[0]}{suffix}" for s in STATES)


def build_vantage_sql(clause: WhereClause, merged_fields: Collection[str] = ()) -> str:
    """Select each vantage that is heard, with its vote, last network and main cause.

    A young vantage has no vote in a cell where an established one reports another state. Cells
    differ in access, so a mobile network does not contradict a fixed one, and merged cells are
    merged from what is heard in their parts. Measurements with an invalid time have no bin and so
    no vote.
    """
    clause.add_volunteer_verdicts()
    heard_sql = f"""
SELECT {CELL_COLUMNS}, nym, net, day, last, old, r, b, d, u, how, fns, {_MAJORITY_SQL} AS own,
  groupUniqArrayIf(own, old AND own != 'unknown') OVER (PARTITION BY {CELL_COLUMNS}) AS seniors
FROM ({_build_tally_sql(clause)}) QUALIFY old OR seniors = [] OR seniors = [own]"""  # noqa: S608 fixed text, values are parameters
    if not merged_fields:
        return heard_sql
    columns = ", ".join(
        f"{wildcard if name in merged_fields else name} AS {name}_"
        for name, wildcard in _WILDCARDS.items()
    )
    aliases = ", ".join(f"{name}_ AS {name}" for name in _WILDCARDS)
    return f"""
SELECT {aliases}, start, nym, argMax(net0, last0) AS net, argMax(day0, last0) AS day,
  max(old0) AS old, sum(r0) AS r,
  sum(b0) AS b, sum(d0) AS d, sum(u0) AS u, {_MAJORITY_SQL} AS own,
  argMinIf(how0, (-toInt64(b0 + d0), how0), b0 + d0 > 0) AS how, sumMap(fns0) AS fns
FROM (
  SELECT {columns}, start, nym, net AS net0, day AS day0, last AS last0, old AS old0, r AS r0,
    b AS b0, d AS d0, u AS u0, how AS how0, fns AS fns0
  FROM ({heard_sql})
) GROUP BY {CELL_COLUMNS}, nym"""  # noqa: S608 fixed text, no value


def _build_tally_sql(clause: WhereClause) -> str:
    """Count verdicts by cell and vantage."""
    return f"""
SELECT {CELL_COLUMNS}, nym, argMax(last_net, at) AS net, argMax(last_day, at) AS day,
  max(at) AS last, max(long) AS old,
  sum(rr) AS r, sum(bb) AS b, sum(dd) AS d, sum(uu) AS u,
  argMinIf((layer, method), (-toInt64(bb + dd), layer, method), bb + dd > 0) AS how,
  sumMap(ff) AS fns
FROM (
  SELECT country, region, asn, access, service,
    intDiv(toUnixTimestamp64Micro(started), {{bin:Int64}}) * {{bin:Int64}} AS start, nym, layer,
    method, countIf(state IN ('reachable', 'partial')) AS rr, countIf(state = 'blocked') AS bb,
    countIf(state = 'down') AS dd, countIf(state = 'unknown') AS uu,
    sumMapIf(map(function, toUInt64(1)), state = 'partial') AS ff,
    max(seniority = 'established') AS long, max((started, id)) AS at,
    argMax(prefix, (started, id)) AS last_net, argMax({LINE_DAY_SQL}, (started, id)) AS last_day
  FROM verdicts FINAL WHERE {clause.sql}
  GROUP BY {CELL_COLUMNS}, nym, layer, method
) GROUP BY {CELL_COLUMNS}, nym"""  # noqa: S608 fixed text, values are parameters


_WILDCARDS = {
    "country": "''",
    "region": "''",
    "asn": "toUInt32(0)",
    "access": "''",
    "service": "''",
}  # values that stand for a merged field


def parse_vote(row: tuple[Any, ...]) -> Vote:
    return build_record(Vote, (*row[:-1], Seniority(row[-1])))


def parse_count(row: tuple[Any, ...]) -> tuple[Count, bool]:
    """Return the votes of a cell, and whether any vantage found a function blocked."""
    count = Count(
        **dict(zip(_CELL_FIELDS, row[:6], strict=True)),
        vantages=dict(zip(STATES, row[6:10], strict=True)),
        networks=dict(zip(STATES, row[10:14], strict=True)),
        established_vantages=dict(zip(STATES, row[14:18], strict=True)),
        established_networks=dict(zip(STATES, row[18:22], strict=True)),
        persons=row[22],
        causes={_parse_cause(cause): n for cause, n in row[23].items()},
    )
    return count, bool(row[24])


def _parse_cause(key: str) -> tuple[VerdictState, str, str]:
    state, layer, method = key.split("|", 2)
    return VerdictState(state), layer, method
