"""Asks the store for the cells of a window; all readers share one look at the world now."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from heliograph_collector.publish import scope, snapshot
from heliograph_collector.publish.feed import AgentCounts, Feed, LinkCount
from heliograph_collector.publish.snapshot import Snapshot
from heliograph_collector.store.rows import Cell, Silence, Vote

_SNAPSHOT_US = 1_000_000  # how old an answer may be …
_HISTORY_US = 60_000_000  # … and the bins that are over, which only late data changes
_RECENT_US = 2 * snapshot.BIN_S * 1_000_000
_THRIFT = 5  # either may be so many times older than it took to make: counting leaves room for work


@dataclass(frozen=True, slots=True)
class _History:
    cells: list[Cell]
    until_us: int = 0
    stale_us: int = 0  # monotonic


class Desk:
    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._turn = asyncio.Lock()
        self._now: tuple[int, str, Snapshot] | None = None  # stale when, last event, the world
        self._history = _History([])

    async def now(self) -> Snapshot:
        """Seconds old at most, and no older than the last event; however many ask, asked once."""
        async with self._turn:
            began_us, told = self._monotonic_us(), self._feed.bus.last
            kept = self._now
            if kept is None or began_us >= kept[0] or kept[1] != told:
                world = await self._take()
                kept = self._now = (self._stale_us(began_us, _SNAPSHOT_US), told, world)
            return kept[2]

    def _monotonic_us(self) -> int:
        return self._feed.clock.monotonic_us()

    def _stale_us(self, began_us: int, least_us: int) -> int:
        now_us = self._monotonic_us()
        return now_us + max(least_us, _THRIFT * (now_us - began_us))

    async def _take(self) -> Snapshot:
        at_us = self._feed.clock.wall_us()
        since_us, until_us = snapshot.window(at_us)
        cut_us = until_us - _RECENT_US
        history = await self._past(since_us, cut_us)
        measured = [*history, *await self._cells(cut_us, until_us)]
        # Presence lives on this thread; the counting need not.
        return await asyncio.to_thread(
            self._compose, at_us, measured, self._feed.links(), self._feed.agents()
        )

    def _compose(
        self, at_us: int, measured: list[Cell], links: Sequence[LinkCount], agents: AgentCounts
    ) -> Snapshot:
        feed, k = self._feed, self._feed.k_anonymity
        shown = feed.merge_small(measured, k)
        return snapshot.compose(at_us, k, feed.services, shown, measured, links, agents)

    async def _past(self, since_us: int, cut_us: int) -> list[Cell]:
        began_us, kept = self._monotonic_us(), self._history
        if began_us >= kept.stale_us or not since_us <= kept.until_us <= cut_us:
            cells = await self._cells(since_us, cut_us)
            self._history = _History(cells, cut_us, self._stale_us(began_us, _HISTORY_US))
        elif kept.until_us < cut_us:
            cells = [c for c in kept.cells if c.start_us >= since_us]
            cells += await self._cells(kept.until_us, cut_us)
            self._history = _History(cells, cut_us, kept.stale_us)
        return self._history.cells

    async def _cells(self, since_us: int, until_us: int) -> list[Cell]:
        """Of whole networks: regions are not told apart on the page."""
        votes, silences = await _ask(self._feed, since_us, until_us, snapshot.BIN_S, {})
        window = (since_us, until_us, snapshot.BIN_S)
        return await asyncio.to_thread(_rollup, self._feed, votes, silences, window, {"region": ""})


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
            scope.widen_votes(votes, **wider), scope.widen_silences(silences, **place), *window
        )
    )


async def _ask(
    feed: Feed, since_us: int, until_us: int, bin_s: int, asked: Mapping[str, Any]
) -> tuple[list[Vote], list[Silence]]:
    votes = await feed.votes(since_us, until_us, bin_s, **asked)
    where = {name: value for name, value in asked.items() if name != "service"}
    silences = await feed.silences(since_us, until_us, bin_s, **where)
    return list(votes), list(silences)


async def series(
    feed: Feed, since_us: int, until_us: int, bin_s: int, asked: Mapping[str, Any]
) -> list[Cell | None]:
    """One cell per bin over all that `asked` leaves open; None where k-anonymity withholds it."""
    votes, silences = await _ask(feed, since_us, until_us, bin_s, asked)
    where = {
        "country": asked.get("country", ""),
        "region": asked.get("region", ""),
        "asn": asked.get("asn", 0),
        "access": asked.get("access", ""),
    }
    service = asked.get("service", "")
    wider = {**where, "service": service}
    window = (since_us, until_us, bin_s)
    measured = await asyncio.to_thread(_rollup, feed, votes, silences, window, wider)
    # Silence alone has no service: whatever was asked for, nobody could have reached it.
    measured = [replace(c, service=service) if not c.service else c for c in measured]
    blank = scope.blank(where, service, bin_s)
    shown = feed.merge_small(measured, feed.k_anonymity)
    return scope.dense(blank, measured, shown, range(since_us, until_us, bin_s * 1_000_000))


async def by_service(
    feed: Feed, since_us: int, until_us: int, bin_s: int, country: str
) -> dict[str, list[Cell | None]]:
    """The same for each service of a whole country, in the page's order."""
    votes, silences = await _ask(feed, since_us, until_us, bin_s, {"country": country})
    where = {"country": country, "region": "", "asn": 0, "access": ""}
    window = (since_us, until_us, bin_s)
    measured = await asyncio.to_thread(_rollup, feed, votes, silences, window, where)
    shown = feed.merge_small(measured, feed.k_anonymity)
    lone = {c.service for c in shown if c.service and c.vantages} - set(feed.services)
    starts = range(since_us, until_us, bin_s * 1_000_000)
    return {
        name: scope.dense(
            scope.blank(where, name, bin_s),
            [c for c in measured if c.service == name],
            [c for c in shown if c.service == name],
            starts,
        )
        for name in (*feed.services, *sorted(lone))
    }
