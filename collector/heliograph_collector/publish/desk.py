"""Asks the store for the cells of a window; all readers share one look at the world now."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from heliograph_collector.publish import scope, snapshot
from heliograph_collector.publish.feed import Feed
from heliograph_collector.publish.snapshot import Snapshot
from heliograph_collector.store.rows import Cell, Silence, Vote

_SNAPSHOT_US = 1_000_000  # how old an answer may be
_HISTORY_US = 30_000_000  # the bins that are over seldom change: late data waits this long
_RECENT_US = (snapshot.FRESH_BINS + 1) * snapshot.BIN_S * 1_000_000


class Desk:
    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._turn = asyncio.Lock()
        self._now: tuple[int, Snapshot] | None = None
        self._history: tuple[int, int, list[Vote], list[Silence]] | None = None

    async def now(self) -> Snapshot:
        """At most a second old; however many ask, the store is asked once."""
        async with self._turn:
            clock_us = self._feed.clock.monotonic_us()
            if self._now is None or clock_us - self._now[0] > _SNAPSHOT_US:
                self._now = (clock_us, await self._take(clock_us))
            return self._now[1]

    async def _take(self, clock_us: int) -> Snapshot:
        feed, at_us = self._feed, self._feed.clock.wall_us()
        since_us, until_us = snapshot.window(at_us)
        cut_us = until_us - _RECENT_US
        votes, silences = await self._past(clock_us, since_us, cut_us)
        new_votes, new_silences = await _ask(feed, cut_us, until_us, snapshot.BIN_S, {})
        measured = rollup(
            feed, [*votes, *new_votes], [*silences, *new_silences], since_us, until_us
        )
        shown = feed.merge_small(measured, feed.k_anonymity)
        return snapshot.compose(
            at_us,
            feed.k_anonymity,
            feed.services,
            shown,
            measured,
            feed.links(),
            feed.agents(),
        )

    async def _past(
        self, clock_us: int, since_us: int, cut_us: int
    ) -> tuple[list[Vote], list[Silence]]:
        kept = self._history
        if kept is None or kept[1] != cut_us or clock_us - kept[0] > _HISTORY_US:
            kept = (
                clock_us,
                cut_us,
                *await _ask(self._feed, since_us, cut_us, snapshot.BIN_S, {}),
            )
            self._history = kept
        return kept[2], kept[3]


def rollup(
    feed: Feed,
    votes: Sequence[Vote],
    silences: Sequence[Silence],
    since_us: int,
    until_us: int,
) -> Sequence[Cell]:
    """Cells of whole networks: regions are not told apart on the page."""
    return feed.cells(
        scope.widen_votes(votes, region=""),
        scope.widen_silences(silences, region=""),
        since_us,
        until_us,
        snapshot.BIN_S,
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
    measured = feed.cells(
        scope.widen_votes(votes, **where, service=service),
        scope.widen_silences(silences, **where),
        since_us,
        until_us,
        bin_s,
    )
    blank = scope.blank(where, service, bin_s)
    shown = feed.merge_small(measured, feed.k_anonymity)
    return scope.dense(blank, measured, shown, range(since_us, until_us, bin_s * 1_000_000))
