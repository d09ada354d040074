"""Read losses of vantages as plain rows, and count silences in bins of any width.

The engine counts them itself where they are many (`queries.query_silences`, which states the rule),
and takes 40 to 50 ms of CPU to parse that query for each width of bins: it is not used where a
short one finds no loss. The two plain queries here take 25 ms together, and the second is sent only
if a vantage was lost. A test compares both counts.
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.model.records import RowKind, SilenceCount
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.clickhouse import TooMuchError
from heliograph_collector.store.queries import (
    FRESH_US,
    LINE_DAY_SQL,
    NEVER_US,
    POST_WAIT_US,
    Query,
    WhereClause,
    count_silences,
    query_silences,
)

_Rows = list[tuple[Any, ...]]
_LOST = RowKind.LOST.value
_PLACE = ("country", "region", "asn", "access")


class _Loss(NamedTuple):
    """The loss of a vantage, and the time of its return."""

    place: tuple[str, str, int, str]
    nym: str
    is_old: bool
    line: tuple[str, str]  # name, day
    at_us: int
    back_us: int


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses before and within a window, and the late deliveries of the lost vantages."""

    losses: Sequence[_Loss]
    posts: Mapping[str, Sequence[tuple[int, int]]]  # (started, received) by pseudonym

    def count(
        self,
        since_us: int,
        until_us: int,
        bin_s: int,
        fields: Collection[str] = (),
        least: int = 1,
    ) -> list[SilenceCount]:
        """Count as `Store.silences` does, in bins of a window within that of the losses.

        Args:
            fields: The fields of a place in which at least so many persons must be silent.
            least: Where they are fewer, there is no count.
        """
        positions = [_PLACE.index(name) for name in fields]
        lost: dict[tuple[Any, ...], tuple[set[str], set[tuple[str, str]]]]
        lost = defaultdict(_no_vantages)
        for loss in self._list_many(since_us - DAY_US, until_us, positions, least):
            for start_us in self._list_bins(loss, since_us, until_us, bin_s * SECOND_US):
                vantages, lines = lost[loss.place, start_us]
                vantages.add(loss.nym)
                if loss.is_old:
                    lines.add(loss.line)
        if least > 1:
            keys = {key: (key[1], *(key[0][n] for n in positions)) for key in lost}
            persons: Counter[tuple[Any, ...]] = Counter()  # or more: a line is one in a place
            for key, (_, lines) in lost.items():
                persons[keys[key]] += len(lines)
            lost = {key: part for key, part in lost.items() if persons[keys[key]] >= least}
        return count_silences(
            (network, start_us, len(vantages), tuple(lines))
            for (network, start_us), (vantages, lines) in lost.items()
        )

    def _list_many(
        self, since_us: int, until_us: int, positions: Sequence[int], least: int
    ) -> list[_Loss]:
        """List the losses of places that lost enough persons in all, so maybe in one bin."""
        losses = [loss for loss in self.losses if since_us <= loss.at_us < until_us]
        if least <= 1:
            return losses
        places = [tuple([loss.place[n] for n in positions]) for loss in losses]
        persons = Counter(p for p, loss in zip(places, losses, strict=True) if loss.is_old)
        return [loss for p, loss in zip(places, losses, strict=True) if persons[p] >= least]

    def _list_bins(self, loss: _Loss, since_us: int, until_us: int, bin_us: int) -> Iterator[int]:
        """List the bins of a loss.

        A bin must end before the vantage returned or delivered what it had measured in it.
        """
        back_us = loss.back_us if loss.back_us < until_us else NEVER_US
        end_us = min(loss.at_us + DAY_US, back_us) // bin_us * bin_us
        if back_us > until_us:
            end_us = min(loss.at_us + DAY_US, until_us)
        sent = [
            received_us
            for started_us, received_us in self.posts.get(loss.nym, ())
            if since_us - POST_WAIT_US <= started_us < until_us
            and loss.at_us < received_us < back_us
        ]
        for start_us in range(max(loss.at_us, since_us) // bin_us * bin_us, end_us, bin_us):
            end_of_bin_us = min(start_us + bin_us, until_us)
            if not any(
                at < start_us + bin_us and end_of_bin_us <= at + POST_WAIT_US for at in sent
            ):
                yield start_us


def _no_vantages() -> tuple[set[str], set[tuple[str, str]]]:
    return set(), set()


async def read_silences(
    ask: Callable[[Query], Awaitable[_Rows]],
    clause: WhereClause,
    since_us: int,
    until_us: int,
    bin_s: int,
) -> list[SilenceCount]:
    """Count the silences of a window, by the engine. Raises StoreError."""
    query = query_silences(clause, since_us, until_us, bin_s)
    any_loss = f"SELECT 1 FROM presence WHERE {clause.sql} AND kind = '{_LOST}' LIMIT 1"  # noqa: S608 fixed text, values are parameters
    if not await ask(Query(any_loss, clause.parameters)):
        return []
    return count_silences(await ask(query))


async def read_losses(
    ask: Callable[[Query], Awaitable[_Rows]],
    clause: WhereClause,
    since_us: int,
    until_us: int,
    most: int,
) -> Losses:
    """Read the losses of a window. Raises TooMuchError over `most` events, StoreError."""
    clause.add_volunteers().add_condition(f"kind IN ('arrival', 'goodbye', '{_LOST}')")
    clause.add_time_range("received", since_us - DAY_US, until_us)
    sql = f"""
SELECT country, region, asn, access, nym, seniority, prefix, {LINE_DAY_SQL}, kind,
  toUnixTimestamp64Micro(received), journal, position
FROM presence FINAL WHERE {clause.sql} LIMIT {{most:UInt32}}"""  # noqa: S608 fixed text, values are parameters
    events = await ask(Query(sql, clause.parameters | {"most": most + 1}))
    if len(events) > most:
        raise TooMuchError(f"More than {most} arrivals and losses: ask for fewer places.")
    losses = _list_losses(events)
    nyms = sorted({loss.nym for loss in losses})
    posts = await ask(_query_posts(nyms, since_us, until_us)) if nyms else []
    by_nym: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for nym, *times in posts:
        by_nym[nym].append((times[0], times[1]))
    return Losses(losses, by_nym)


def _list_losses(events: _Rows) -> list[_Loss]:
    by_nym: defaultdict[str, _Rows] = defaultdict(list)
    for event in sorted(events, key=itemgetter(slice(-2, None))):
        by_nym[event[4]].append(event)
    losses = []
    for nym, rows in by_nym.items():
        for number, row in enumerate(rows):
            *fields, _, seniority, prefix, day, kind, at_us = row[:10]
            if kind == _LOST:
                back_us = rows[number + 1][9] if number + 1 < len(rows) else NEVER_US
                is_old = seniority == Seniority.ESTABLISHED.value
                losses.append(_Loss(tuple(fields), nym, is_old, (prefix, day), at_us, back_us))
    return losses


def _query_posts(nyms: Sequence[str], since_us: int, until_us: int) -> Query:
    sql = """
SELECT nym, toUnixTimestamp64Micro(started), toUnixTimestamp64Micro(received) FROM measurements
WHERE started >= fromUnixTimestamp64Micro({from:Int64} - {wait:Int64})
  AND started < fromUnixTimestamp64Micro({to:Int64}) AND link NOT IN ('offline', 'domestic_only')
  AND received <= addMicroseconds(started, {fresh:Int64}) AND nym IN {nyms:Array(String)}"""
    window = {"from": since_us, "to": until_us}
    return Query(sql, window | {"wait": POST_WAIT_US, "fresh": FRESH_US, "nyms": list(nyms)})
