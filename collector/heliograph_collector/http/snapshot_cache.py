"""Asks the store for the cells of a window; all readers share one look at the world now."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from heliograph_collector.aggregate import widen
from heliograph_collector.aggregate.stale_cache import Renewed
from heliograph_collector.http import snapshot
from heliograph_collector.http.backend import AgentCounts, Feed, LinkCount
from heliograph_collector.http.snapshot import Snapshot
from heliograph_collector.model.records import Cell, Silence, Vote

_SNAPSHOT_US = 1_000_000  # how old an answer may be …
_ATTENDED_US = 40_000_000  # … of a desk at which somebody looks by himself, every 17 s at least …
_HISTORY_US = 60_000_000  # … and the bins that are over, which only late data changes …
_TOLD_US = 900_000_000  # … where that is told
_WIDTH_US = snapshot.BIN_S * 1_000_000
_RECENT_US = 2 * _WIDTH_US
_AT_ONCE = 12  # bins in one question: an hour of the whole world is much
_THRIFT = 5  # either may be so many times older than it took to make: counting leaves room for work

_KEPT = 48  # pictures
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Bin:
    measured: Sequence[Cell]  # by somebody
    shown: Sequence[Cell]


class Desk:
    """`touch` it with the moments of what was stored. While `attended`, somebody calls `look`
    again and again, and readers get what was seen then and never wait. `kept` is for what else they
    share."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.kept: Renewed[Any] = Renewed(feed.clock, _KEPT)
        self._turn = asyncio.Lock()
        self._now: tuple[int, int, str, Snapshot] | None = None  # seen, stale when, last event
        self._made: tuple[dict[object, object], dict[object, asyncio.Lock]] = ({}, {})  # from it
        self._bins: dict[int, _Bin] = {}  # that are over, by their start
        self._whole_us = 0  # when all of them are asked for again
        self._touched: set[int] = set()
        self.attended = False

    def touch(self, moments_us: Iterable[int]) -> None:
        self._touched.update(at_us // _WIDTH_US * _WIDTH_US for at_us in moments_us)

    async def now(self) -> Snapshot:
        """While attended what was seen last, be it 40 s ago; else as `look` gives it."""
        kept = self._now
        if self.attended and kept and self._monotonic_us() < kept[0] + _ATTENDED_US:
            return kept[3]
        return await self.look()

    async def look(self) -> Snapshot:
        """No older than a second, or five times what it takes."""
        async with self._turn:
            began_us, told = self._monotonic_us(), self._feed.bus.last
            kept = self._now
            if kept is None or began_us >= kept[1] or kept[2] != told:
                world = await self._take()
                kept = (began_us, self._stale_us(began_us, _SNAPSHOT_US), told, world)
                self._now, self._made = kept, ({}, {})
            return kept[3]

    async def made(self, world: Snapshot, key: object, make: Callable[[], _T]) -> _T:
        """`make` once for each key and snapshot, in another thread: for what readers share."""
        made, turns = self._made if self._now and self._now[3] is world else ({}, {})
        async with turns.setdefault(key, asyncio.Lock()):
            if key not in made:
                made[key] = await asyncio.to_thread(make)
            return cast("_T", made[key])

    def _monotonic_us(self) -> int:
        return self._feed.clock.monotonic_us()

    def _stale_us(self, began_us: int, least_us: int) -> int:
        now_us = self._monotonic_us()
        return now_us + max(least_us, _THRIFT * (now_us - began_us))

    async def _take(self) -> Snapshot:
        at_us = self._feed.clock.wall_us()
        since_us, until_us = snapshot.window(at_us)
        cut_us = until_us - _RECENT_US
        await self._past(since_us, cut_us)
        bins = [*self._bins.values(), *(await self._look_at(cut_us, until_us)).values()]
        # Presence lives on this thread; the counting need not.
        return await asyncio.to_thread(
            self._compose, at_us, bins, self._feed.links(), self._feed.agents()
        )

    def _compose(
        self, at_us: int, bins: Sequence[_Bin], links: Sequence[LinkCount], agents: AgentCounts
    ) -> Snapshot:
        feed, k = self._feed, self._feed.k_anonymity
        shown = [cell for one in bins for cell in one.shown]
        measured = [cell for one in bins for cell in one.measured]
        return snapshot.compose(at_us, k, feed.services, shown, measured, links, agents)

    async def _past(self, since_us: int, cut_us: int) -> None:
        """Of the bins that are over those that are not known, or no more so as they were."""
        began_us, starts = self._monotonic_us(), range(since_us, cut_us, _WIDTH_US)
        whole = began_us >= self._whole_us
        touched, self._touched = self._touched, set()
        wanted = [at for at in starts if whole or at in touched or at not in self._bins]
        try:
            for first_us, last_us in _stretches(wanted):
                self._bins |= await self._look_at(first_us, last_us + _WIDTH_US)
        except BaseException:
            self._touched |= touched
            raise
        self._bins = {at: self._bins[at] for at in starts}
        if whole:
            least_us = _TOLD_US if self.attended else _HISTORY_US
            self._whole_us = self._stale_us(began_us, least_us)

    async def _look_at(self, since_us: int, until_us: int) -> dict[int, _Bin]:
        """Of whole networks: regions are not told apart on the page."""
        votes, silences = await _ask(self._feed, since_us, until_us, snapshot.BIN_S, {})
        return await asyncio.to_thread(self._by_bin, votes, silences, since_us, until_us)

    def _by_bin(
        self, votes: Sequence[Vote], silences: Sequence[Silence], since_us: int, until_us: int
    ) -> dict[int, _Bin]:
        found: dict[int, _Bin] = {}
        for at_us in range(since_us, until_us, _WIDTH_US):
            window = (at_us, at_us + _WIDTH_US, snapshot.BIN_S)
            voted = [v for v in votes if v.start_us == at_us]
            gone = [s for s in silences if s.start_us == at_us]
            cells = _rollup(self._feed, voted, gone, window, {"region": ""})
            busy = [cell for cell in cells if cell.vantages]
            shown = self._feed.merge_small(cells, self._feed.k_anonymity)
            found[at_us] = _Bin(busy, [cell for cell in shown if cell.vantages or cell.silent])
        return found


def _stretches(starts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first, last) of neighbours, at most so many at once."""
    first = 0
    for n in range(1, len(starts) + 1):
        apart = n == len(starts) or starts[n] != starts[n - 1] + _WIDTH_US
        if apart or n - first == _AT_ONCE:
            yield starts[first], starts[n - 1]
            first = n


def _rollup(
    feed: Feed,
    votes: Sequence[Vote],
    silences: Sequence[Silence],
    window: tuple[int, int, int],
    wider: Mapping[str, Any],
) -> list[Cell]:
    place = {name: value for name, value in wider.items() if name != "service"}
    return list(
        feed.cells(
            widen.widen_votes(votes, **wider), widen.widen_silences(silences, **place), *window
        )
    )


async def _ask(
    feed: Feed, since_us: int, until_us: int, bin_s: int, asked: Mapping[str, Any]
) -> tuple[list[Vote], list[Silence]]:
    votes = await feed.votes(since_us, until_us, bin_s, **asked)
    where = {name: value for name, value in asked.items() if name != "service"}
    silences = await feed.silences(since_us, until_us, bin_s, **where)
    return list(votes), list(silences)


async def wide(
    feed: Feed,
    since_us: int,
    until_us: int,
    bin_s: int,
    asked: Mapping[str, Any],
    wider: Mapping[str, Any],
    *,
    empty: bool = True,
) -> list[Cell]:
    """Cells of what is `asked`, each place and service that `wider` blanks seen as one; those of
    nobody only if `empty`.

    They have not passed k-anonymity. `wider` maps names of place and service to "" or 0.
    """
    window = (since_us, until_us, bin_s)
    if feed.wide is not None:
        return list(await feed.wide(*window, wider=wider.keys(), empty=empty, **asked))
    votes, silences = await _ask(feed, *window, asked)
    found = await asyncio.to_thread(_rollup, feed, votes, silences, window, wider)
    return [cell for cell in found if empty or cell.vantages or cell.silent]


async def series(
    feed: Feed, since_us: int, until_us: int, bin_s: int, asked: Mapping[str, Any]
) -> list[Cell | None]:
    """One cell per bin over all that `asked` leaves open; None where k-anonymity withholds it."""
    where = {
        "country": asked.get("country", ""),
        "region": asked.get("region", ""),
        "asn": asked.get("asn", 0),
        "access": asked.get("access", ""),
    }
    service = asked.get("service", "")
    all_of = {**where, "service": service}
    wider = {name: value for name, value in all_of.items() if name not in asked}
    measured = await wide(feed, since_us, until_us, bin_s, asked, wider)
    # Silence alone has no service: whatever was asked for, nobody could have reached it.
    measured = [replace(c, service=service) if not c.service else c for c in measured]
    blank = widen.blank(where, service, bin_s)
    shown = feed.merge_small(measured, feed.k_anonymity)
    return widen.dense(blank, measured, shown, range(since_us, until_us, bin_s * 1_000_000))
