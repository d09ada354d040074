"""Count the networks that find functions of a reachable service blocked.

A partial verdict counts as reachable in every vote, because messaging works. Beside that, each cell
has causes of the state *partial*: how many networks are partial, and how many of them name each
blocked function. A network with an established vantage is counted by its established vantages
alone. It is partial where most of them reach the service, and most of those are partial; a vantage
is partial where most of its verdicts that reach the service are. The rows are few, because cells
without any partial vantage have none; so the rule stands here once, for both ways of counting.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from heliograph.units import SECOND_US
from heliograph_collector.model.records import Count, VerdictState
from heliograph_collector.store.queries import Query, WhereClause
from heliograph_collector.store.vote_queries import (
    CELL_COLUMNS,
    FUNCTION_SQL,
    REACHABLE,
    STATES,
    build_vantage_sql,
    decide_majority,
    get_key,
)

# Kinds of causes: of networks that established vantages decide, and of others.
ESTABLISHED = "established"
YOUNG = "young"
Causes = Counter[tuple[VerdictState, str, str]]
CellBin = tuple[Any, ...]  # country, region, ASN, access, service, start


@dataclass(frozen=True, slots=True)
class PartialVote:
    """Equal votes of vantages in one network of a cell."""

    network: str
    state: VerdictState
    is_established: bool
    functions: tuple[str, ...]  # blocked in most of a vantage's verdicts; empty where all work
    vantages: int = 1


def query_partial_votes(clause: WhereClause, bin_s: int, merged_fields: Collection[str]) -> Query:
    """Select the votes of the cells in which any vantage is partial.

    Equal votes are one row, with their number.
    """
    sql = f"""
SELECT {CELL_COLUMNS}, net, own, old, functions, count() FROM (
  SELECT *, max(functions != '') OVER (PARTITION BY cell, region) AS has_partial FROM (
    SELECT cell, region, net, own, old,
      if(own = {REACHABLE} AND 2 * arraySum(mapValues(fns)) > n[{REACHABLE}], {FUNCTION_SQL}, '')
        AS functions
    FROM ({build_vantage_sql(clause, merged_fields)})
  )
) WHERE has_partial GROUP BY cell, region, net, own, old, functions"""  # noqa: S608 fixed text, values are parameters
    return Query(sql, clause.parameters | {"bin": bin_s * SECOND_US})


def parse_partial_vote(row: tuple[Any, ...]) -> tuple[CellBin, PartialVote]:
    network, position, is_old, functions, count = row[6:]
    state = STATES[position - 1]
    vote = PartialVote(network, state, bool(is_old), split_functions(functions), count)
    return row[:6], vote


def split_functions(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def add_partial_causes(
    counts: Sequence[Count], votes: Iterable[tuple[CellBin, PartialVote]]
) -> list[Count]:
    """Return the counts with the causes of their partial networks."""
    votes_by_cell: defaultdict[CellBin, list[PartialVote]] = defaultdict(list)
    for cell_bin, vote in votes:
        votes_by_cell[cell_bin].append(vote)
    return [
        replace(count, causes={**count.causes, **count_partial(votes_by_cell[get_key(count)])})
        if get_key(count) in votes_by_cell
        else count
        for count in counts
    ]


def count_partial(votes: Iterable[PartialVote]) -> Causes:
    """Count the partial networks of a cell, and those that name each function."""
    by_network: defaultdict[str, list[PartialVote]] = defaultdict(list)
    for vote in votes:
        by_network[vote.network].append(vote)
    causes: Causes = Counter()
    for members in by_network.values():
        seniors = [vote for vote in members if vote.is_established]
        kind = ESTABLISHED if seniors else YOUNG
        for function in _list_blocked(seniors or members):
            causes[VerdictState.PARTIAL, kind, function] += 1
    return causes


def _list_blocked(votes: Sequence[PartialVote]) -> list[str]:
    """List the functions that most partial vantages of a network name.

    "" stands for the network itself, and comes first.
    """
    states: Counter[VerdictState] = Counter()
    named: Counter[str] = Counter()
    partial_count = 0
    for vote in votes:
        states[vote.state] += vote.vantages
        partial_count += vote.vantages if vote.functions else 0
        named.update(dict.fromkeys(vote.functions, vote.vantages))
    is_reached = decide_majority(states) is VerdictState.REACHABLE
    if not is_reached or 2 * partial_count <= states[VerdictState.REACHABLE]:
        return []
    return ["", *(function for function, n in named.items() if 2 * n > partial_count)]
