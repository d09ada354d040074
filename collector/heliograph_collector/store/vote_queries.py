"""How votes are counted where they lie: per vantage, and for cells per network too.

The same rules as in `rollup.py`, which a test holds against each other: a vantage says what most of
its verdicts say, a network what most of its vantages say, and a tie says nothing.
"""

from collections.abc import Collection
from typing import Any

from heliograph_collector.model.records import TIME_BAD, Count, State, Vote
from heliograph_collector.store.queries import US, Query, Question

_PLACE = "country, region, asn, access, service, start"
_STATES = (State.REACHABLE, State.BLOCKED, State.DOWN, State.UNKNOWN)


def votes(q: Question, bin_s: int) -> Query:
    """One row per cell, bin and vantage, from whole-target verdicts of volunteers."""
    text = f"""
SELECT {_PLACE}, nym, net, r, b, d, u, tupleElement(how, 1) AS by_layer,
  tupleElement(how, 2) AS by_method, old
FROM ({_by_vantage(q)}) ORDER BY {_PLACE}, nym"""  # noqa: S608 our own conditions
    return Query(text, q.parameters | {"bin": bin_s * US}, _vote)


def counts(q: Question, bin_s: int, wider: Collection[str] = ()) -> Query:
    """One row per cell and bin: vantages and networks by what they say, and why.

    Cells are not told apart by what `wider` names of the place and service: a vantage votes once.
    """
    text = f"""
SELECT {_PLACE}, sum(r), sum(b), sum(d), sum(u), countIf(said = 'reachable'),
  countIf(said = 'blocked'), countIf(said = 'down'), countIf(said = 'unknown'),
  sumMap(whys)
FROM (
  SELECT {_PLACE}, net, countIf(own = 'reachable') AS r, countIf(own = 'blocked') AS b,
    countIf(own = 'down') AS d, countIf(own = 'unknown') AS u, {_OWN} AS said,
    sumMapIf(map(concat(own, '|', tupleElement(how, 1), '|', tupleElement(how, 2)), toUInt64(1)),
      own IN ('blocked', 'down')) AS whys
  FROM (SELECT {_PLACE}, net, how, {_OWN} AS own FROM ({_by_vantage(q, wider)}))
  GROUP BY {_PLACE}, net
) GROUP BY {_PLACE} ORDER BY {_PLACE}"""  # noqa: S608 our own conditions
    return Query(text, q.parameters | {"bin": bin_s * US}, _count)


_OWN = (
    "multiIf(r > greatest(b, d, u), 'reachable', b > greatest(r, d, u), 'blocked',"
    " d > greatest(r, b, u), 'down', 'unknown')"
)


def _by_vantage(q: Question, wider: Collection[str] = ()) -> str:
    """The network is that of its last verdict, the cause its commonest one.

    What was measured at a time that cannot be has no bin to vote in.
    """
    q.where("endpoint = ''").where("role = 'volunteer'").where("rule != {bad:String}", bad=TIME_BAD)
    places = ", ".join(
        f"{nothing if name in wider else name} AS {name}_" for name, nothing in _WIDER.items()
    )
    return f"""
SELECT {_PLACE}, nym, argMax(last_net, last) AS net, max(long) AS old, sum(rr) AS r, sum(bb) AS b,
  sum(dd) AS d, sum(uu) AS u,
  argMinIf((layer, method), (-toInt64(bb + dd), layer, method), bb + dd > 0) AS how
FROM (
  SELECT country_ AS country, region_ AS region, asn_ AS asn, access_ AS access,
    service_ AS service,
    intDiv(toUnixTimestamp64Micro(started), {{bin:Int64}}) * {{bin:Int64}} AS start, nym, layer,
    method, countIf(state = 'reachable') AS rr, countIf(state = 'blocked') AS bb,
    countIf(state = 'down') AS dd, countIf(state = 'unknown') AS uu, max(established) AS long,
    max((started, id)) AS last, argMax(prefix, (started, id)) AS last_net
  FROM (
    SELECT {places}, started, id, nym, prefix, layer, method, state, established
    FROM verdicts FINAL WHERE {q.text}
  ) GROUP BY {_PLACE}, nym, layer, method
) GROUP BY {_PLACE}, nym"""  # noqa: S608 our own conditions


_WIDER = {
    "country": "''",
    "region": "''",
    "asn": "toUInt32(0)",
    "access": "''",
    "service": "''",
}  # what stands for all of them


def _vote(r: tuple[Any, ...]) -> Vote:
    return Vote(
        country=r[0],
        region=r[1],
        asn=r[2],
        access=r[3],
        service=r[4],
        start_us=r[5],
        nym=r[6],
        prefix=r[7],
        reachable=r[8],
        blocked=r[9],
        down=r[10],
        unknown=r[11],
        layer=r[12],
        method=r[13],
        established=r[14],
    )


def _count(r: tuple[Any, ...]) -> Count:
    return Count(
        country=r[0],
        region=r[1],
        asn=r[2],
        access=r[3],
        service=r[4],
        start_us=r[5],
        vantages=dict(zip(_STATES, r[6:10], strict=True)),
        networks=dict(zip(_STATES, r[10:14], strict=True)),
        causes={_cause(said): n for said, n in r[14].items()},
    )


def _cause(said: str) -> tuple[State, str, str]:
    state, layer, method = said.split("|", 2)
    return State(state), layer, method
