"""Cells seen from farther away, counted by the store day by day, and kept for a while.

A country's week is asked for again and again: what is over is kept for minutes, the day in progress
for seconds. Bounded by how many cells are kept.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from heliograph.clock import Clock
from heliograph_collector.aggregate.rollup import bin_by_bin, in_every_bin
from heliograph_collector.aggregate.stale_cache import Renewed, Term
from heliograph_collector.aggregate.widen import widen_silences
from heliograph_collector.model.records import DAY_US, Cell, Count, Silence

_NOTHING = {"country": "", "region": "", "asn": 0, "access": ""}
_OVER = Term(fresh_us=300_000_000, grace_us=900_000_000)
_UNDER_WAY = Term(fresh_us=15_000_000, grace_us=30_000_000)
_SETTLED_US = 600_000_000  # so long after its end most of what belongs to a bin is here
_MOST = 250_000  # cells, some 300 bytes each


class Counting(Protocol):
    """What is needed of the store."""

    async def counts(
        self, since_us: int, until_us: int, bin_s: int, *, wider: Collection[str] = (), **only: Any
    ) -> list[Count]: ...
    async def silences(
        self, since_us: int, until_us: int, bin_s: int, **only: Any
    ) -> list[Silence]: ...


@dataclass(frozen=True, slots=True)
class _Asked:
    """One day of a question."""

    since_us: int
    until_us: int
    bin_s: int
    wider: tuple[str, ...]
    only: tuple[tuple[str, Any], ...]


class Wide:
    """`kept.run` belongs in the collector's TaskGroup."""

    def __init__(self, store: Counting, clock: Clock) -> None:
        self.kept: Renewed[Sequence[Cell]] = Renewed(clock, _MOST, lambda cells: 1 + len(cells))
        self._store, self._clock = store, clock
        self._turn = asyncio.Lock()  # one question at a time: the store has others to answer

    async def cells(
        self,
        since_us: int,
        until_us: int,
        bin_s: int,
        *,
        wider: Collection[str],
        empty: bool = True,
        **only: Any,
    ) -> list[Cell]:
        """A row for every key and bin, not told apart by what `wider` names; those of nobody only
        if `empty`. Raises StoreError."""
        found: list[Cell] = []
        for first_us, last_us in days(since_us, until_us, bin_s):
            asked = _Asked(
                first_us, last_us, bin_s, tuple(sorted(wider)), tuple(sorted(only.items()))
            )
            found += await self.kept.get(asked, partial(self._count, asked), self._term(asked))
        return await asyncio.to_thread(in_every_bin, found, since_us, until_us, bin_s, empty=empty)

    def _term(self, asked: _Asked) -> Term:
        over = asked.until_us + _SETTLED_US <= self._clock.wall_us()
        return _OVER if over else _UNDER_WAY

    async def _count(self, asked: _Asked) -> Sequence[Cell]:
        window, only = (asked.since_us, asked.until_us, asked.bin_s), dict(asked.only)
        async with self._turn:
            counts = await self._store.counts(*window, wider=asked.wider, **only)
            only.pop("service", None)
            silences = await self._store.silences(*window, **only)
            return await asyncio.to_thread(_rolled, counts, silences, window, asked.wider)


def _rolled(
    counts: Sequence[Count],
    silences: Sequence[Silence],
    window: tuple[int, int, int],
    wider: Collection[str],
) -> list[Cell]:
    blank = {name: nothing for name, nothing in _NOTHING.items() if name in wider}
    return bin_by_bin(counts, widen_silences(silences, **blank), *window)


def days(since_us: int, until_us: int, bin_s: int) -> Iterator[tuple[int, int]]:
    """[since, until) cut at midnights: no question is about more than a day, or a bin."""
    width = max(DAY_US, bin_s * 1_000_000)
    while since_us < until_us:
        end_us = min(until_us, (since_us // width + 1) * width)
        yield since_us, end_us
        since_us = end_us
