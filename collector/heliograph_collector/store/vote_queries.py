"""Queries of votes: single votes, per vantage and bin, and per cell with networks.

A vantage's vote is the majority of its verdicts, a network's the majority of its vantages: the
state that more of them report than any other. A tie, or a lead of unknown, is unknown. This module
states the rule once for both ways of counting: `decide_majority` for rows in memory
(`aggregate/rollup.py`), and `decide_majority_sql` for the engine, which need not send the rows.
Both are made of `STATES`, and a test compares them. A partial verdict counts as reachable here,
because messaging works, and its blocked functions are counted beside (`partial_votes.py`);
the detectors read the verdicts themselves.
"""

from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any

from heliograph.units import SECOND_US
from heliograph_collector.model.records import (
    Count,
    StoredVote,
    Vantage,
    VerdictState,
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
    return find_majority([counts.get(state, 0) for state in STATES])


def find_majority(numbers: Sequence[int]) -> VerdictState:
    """Return `decide_majority` of counts in the order of STATES."""
    most = max(numbers)
    return STATES[numbers.index(most)] if numbers.count(most) == 1 else VerdictState.UNKNOWN


# The rule of `decide_majority` over an array of counts in the order of STATES: the position of the
# most frequent state in it, counted from one.
_MAJORITY_SQL = f"n -> if(countEqual(n, arrayMax(n)) = 1, indexOf(n, arrayMax(n)), {len(STATES)})"


def decide_majority_sql(counts: str) -> str:
    """Return SQL that decides the majority of an array of counts.

    The array is named once, since each naming costs (`query_counts`).
    """
    return f"arrayMap({_MAJORITY_SQL}, [{counts}])[1]"


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
    """Select volunteers' verdicts on the whole target with a valid time.

    Light checks are included.
    """
    clause = WhereClause().add_time_range("started", since_us, until_us)
    return clause.add_service(service).add_volunteer_verdicts(with_light=True)


def parse_single_vote(row: tuple[Any, ...]) -> StoredVote:
    *identity, country, region, asn, access, seniority, state = row[:9]
    vantage = Vantage(country=country, region=region, asn=asn, access=access)
    values = (*identity, vantage, Seniority(seniority), VerdictState(state), *row[9:])
    return build_record(StoredVote, values)


# The commonest form of the blocked functions in a vantage's partial verdicts; "" for none.
FUNCTION_SQL = "arraySort((f, n) -> (-toInt64(n), f), mapKeys(fns), mapValues(fns))[1]"
# A cell and bin travel as two columns, because persons are counted over the regions of a network.
CELL_COLUMNS = "cell.1, region, cell.2, cell.3, cell.4, cell.5"
_FIELDS = ("country", "region", "asn", "access", "service", "start_us")
get_key = attrgetter(*_FIELDS)  # of a Count: its cell and bin
_N = len(STATES)
_POSITION = {state: position for position, state in enumerate(STATES, 1)}  # as the engine counts
REACHABLE = _POSITION[VerdictState.REACHABLE]
_UNKNOWN = _POSITION[VerdictState.UNKNOWN]
_ACCUSED = (_POSITION[VerdictState.BLOCKED], _POSITION[VerdictState.DOWN])
_FAILED_SQL = " + ".join(f"n[{position}]" for position in _ACCUSED)


def query_counts(clause: WhereClause, bin_s: int, merged_fields: Collection[str]) -> Query:
    """Select one row per cell and bin, in no order: votes by state, and causes.

    Vantages and networks are both counted twice, in one array: all of them, then the established
    alone. `merged_fields` of place and service are merged, and a vantage votes once in the merged
    cell. A line with an established vantage is one person, in the first of the regions that its
    vantages declare. Of names for several days, only those of the day that has most in the network
    count.

    The last column is whether any vantage found a function blocked.

    The engine takes longer to parse a query than to answer it: each naming of a column costs 2 to 3
    ms where seven levels are below (ClickHouse 26.5), so that keys and counts travel together, as
    tuples and arrays. A query without results takes 0.2 s of CPU; with single columns it took 0.55.
    """
    heard_by_net = f"""
SELECT cell, region, net, max(day) AS line_day, max(old) AS has_old,
  sumForEach(arrayMap(s -> s = own OR old AND s = own + {_N}, range(1, {2 * _N + 1}))) AS n,
  sumMapIf(map(concat(toString(own), '|', how.2, '|', how.3), toUInt64(1)), own IN {_ACCUSED})
    AS whys, max(notEmpty(fns)) AS partly
FROM ({build_vantage_sql(clause, merged_fields)}) GROUP BY cell, region, net"""  # noqa: S608 fixed text, no value
    by_line = f"""
SELECT cell, region, line_day, n, whys, partly, {_DECIDE_NETWORK_SQL} AS said,
  has_old AND region = minIf(region, has_old) OVER (PARTITION BY cell, net) AS is_home,
  uniqExactIf(net, has_old) OVER (PARTITION BY cell, line_day) AS proven
FROM ({heard_by_net})"""  # noqa: S608 fixed text, no value
    sql = f"""
SELECT {CELL_COLUMNS}, sumForEach(n), sumForEach(said), sum(is_person), sumMap(whys), max(partly)
FROM (
  SELECT cell, region, n, said, whys, partly, is_home AND
    line_day = argMax(line_day, (proven, line_day)) OVER (PARTITION BY cell) AS is_person
  FROM ({by_line})
) GROUP BY cell, region"""  # noqa: S608 fixed text, values are parameters
    return Query(sql, clause.parameters | {"bin": bin_s * SECOND_US})


# A network's state by all its vantages and by the established ones, if it has any: an array as
# that of the vantages, with a one at each of these states.
_DECIDE_NETWORK_SQL = f"""arrayMap(m ->
    arrayMap((every, old) -> arrayMap(s -> s = every OR s = old, range(1, {2 * _N + 1})),
      [{decide_majority_sql(f"arraySlice(m, 1, {_N})")}],
      [if(arraySum(arraySlice(m, {_N + 1})) > 0,
        {_N} + {decide_majority_sql(f"arraySlice(m, {_N + 1})")}, 0)])[1],
    [n])[1]"""


def build_vantage_sql(clause: WhereClause, merged_fields: Collection[str]) -> str:
    """Select each vantage whose vote counts, with vote, last network and main cause.

    The columns: cell (country, ASN, access, service, start in µs), region, nym, net, day, old, n
    (verdicts in the order of STATES), own (the vote, a position in STATES from one), how (minus the
    failures, layer, method), fns (partial verdicts by function).

    A young vantage has no vote in a cell where an established one reports another state. Cells
    differ in access, so a mobile network does not contradict a fixed one, and merged cells are
    merged from the counted votes of their parts. Measurements with an invalid time have no bin and
    so no vote.
    """
    clause.add_volunteer_verdicts()
    heard_sql = f"""
SELECT cell, region, nym, net, day, last, old, n, how, fns, {decide_majority_sql("n")} AS own,
  groupUniqArrayIf(own, old AND own != {_UNKNOWN}) OVER (PARTITION BY cell, region) AS seniors
FROM ({_build_tally_sql(clause)}) QUALIFY old OR seniors = [] OR seniors = [own]"""  # noqa: S608 fixed text, values are parameters
    if not merged_fields:
        return heard_sql
    parts = [
        wildcard if name in merged_fields else part for name, (part, wildcard) in _KEY_PARTS.items()
    ]
    region = "''" if "region" in merged_fields else "region"
    return f"""
SELECT cell0 AS cell, region0 AS region, nym, argMax(net0, last) AS net, argMax(day0, last) AS day,
  max(old0) AS old, sumForEach(n0) AS n, {decide_majority_sql("sumForEach(n0)")} AS own,
  minIf((weight, how0.2, how0.3), weight < 0) AS how, sumMap(fns0) AS fns
FROM (
  SELECT ({", ".join(parts)}, cell.5) AS cell0, {region} AS region0, nym, last, net AS net0,
    day AS day0, old AS old0, n AS n0, -toInt64({_FAILED_SQL}) AS weight, how AS how0, fns AS fns0
  FROM ({heard_sql})
) GROUP BY cell0, region0, nym"""  # noqa: S608 fixed text, no value


def _build_tally_sql(clause: WhereClause) -> str:
    """Count verdicts by cell and vantage."""
    return f"""
SELECT cell, region, nym, argMax(last_net, at) AS net, argMax(last_day, at) AS day,
  max(at) AS last, max(long) AS old, sumForEach(nn) AS n, minIf(weight, weight.1 < 0) AS how,
  sumMap(ff) AS fns
FROM (
  SELECT (country, asn, access, service,
    intDiv(toUnixTimestamp64Micro(started), {{bin:Int64}}) * {{bin:Int64}}) AS cell, region, nym,
    [countIf(state IN ('reachable', 'partial')), countIf(state = 'blocked'),
      countIf(state = 'down'), countIf(state = 'unknown')] AS nn,
    (-toInt64(countIf(state IN ('blocked', 'down'))), layer, method) AS weight,
    sumMapIf(map(function, toUInt64(1)), state = 'partial') AS ff,
    max(seniority = 'established') AS long, max((started, prefix, received)) AS at,
    argMax(prefix, (started, prefix, received)) AS last_net,
    argMax({LINE_DAY_SQL}, (started, prefix, received)) AS last_day
  FROM verdicts FINAL WHERE {clause.sql}
  GROUP BY cell, region, nym, layer, method
) GROUP BY cell, region, nym"""  # noqa: S608 fixed text, values are parameters


# Where the fields of a key stand in `cell`, and the values that stand for merged ones.
_KEY_PARTS = {
    "country": ("cell.1", "''"),
    "asn": ("cell.2", "toUInt32(0)"),
    "access": ("cell.3", "''"),
    "service": ("cell.4", "''"),
}


def parse_count(row: tuple[Any, ...]) -> tuple[Count, bool]:
    """Return the votes of a cell, and whether any vantage found a function blocked."""
    vantages, networks, persons, causes, is_partly = row[6:]
    count = Count(
        **dict(zip(_FIELDS, row[:6], strict=True)),
        vantages=dict(zip(STATES, vantages[:_N], strict=True)),
        networks=dict(zip(STATES, networks[:_N], strict=True)),
        established_vantages=dict(zip(STATES, vantages[_N:], strict=True)),
        established_networks=dict(zip(STATES, networks[_N:], strict=True)),
        persons=persons,
        causes={_parse_cause(cause): n for cause, n in causes.items()},
    )
    return count, bool(is_partly)


def _parse_cause(key: str) -> tuple[VerdictState, str, str]:
    position, layer, method = key.split("|", 2)
    return STATES[int(position) - 1], layer, method
