"""Cells seen from farther away, counted by the store day by day, and kept for a while.

A country's week is asked for again and again: what is over is kept for minutes, the day in progress
for as long as five times what it took. Bounded by how many cells are kept.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

from heliograph.clock import Clock
from heliograph_collector.publish.scope import widen_silences
from heliograph_collector.rollup import bin_by_bin, in_every_bin
from heliograph_collector.store.rows import DAY_US, Cell, Count, Silence

_NOTHING = {"country": "", "region": "", "asn": 0, "access": ""}
_OVER_US = 300_000_000
_UNDER_WAY_US = 15_000_000
_SETTLED_US = 600_000_000  # so long after its end most of what belongs to a bin is here
_THRIFT = 5
_MOST = 250_000  # cells, some 300 bytes each


class Counting(Protocol):
    """What is needed of the store."""

    async def counts(
        self, since_us: int, until_us: int, bin_s: int, *, wider: Collection[str] = (), **only: Any
    ) -> list[Count]: ...
    async def silences(
        self, since_us: int, until_us: int, bin_s: int, **only: Any
    ) -> list[Silence]: ...


class Wide:
    def __init__(self, store: Counting, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._turn = asyncio.Lock()
        self._kept: dict[object, tuple[int, Sequence[Cell]]] = {}  # question → stale when, answer

    async def cells(
        self, since_us: int, until_us: int, bin_s: int, *, wider: Collection[str], **only: Any
    ) -> list[Cell]:
        """A row for every key and bin, not told apart by what `wider` names. Raises StoreError."""
        found: list[Cell] = []
        for first_us, last_us in days(since_us, until_us, bin_s):
            asked = (first_us, last_us, bin_s, tuple(sorted(wider)), tuple(sorted(only.items())))
            found += await self._day(asked, wider, only)
        return await asyncio.to_thread(in_every_bin, found, since_us, until_us, bin_s)

    async def _day(
        self, asked: Any, wider: Collection[str], only: dict[str, Any]
    ) -> Sequence[Cell]:
        async with self._turn:
            began_us = self._clock.monotonic_us()
            stale_us, found = self._kept.get(asked, (0, ()))
            if began_us < stale_us:
                return found
            window = asked[:3]
            counts = await self._store.counts(*window, wider=wider, **only)
            place = {name: value for name, value in only.items() if name != "service"}
            silences = await self._store.silences(*window, **place)
            found = await asyncio.to_thread(_rolled, counts, silences, window, wider)
            self._keep(asked, found, began_us)
            return found

    def _keep(self, asked: Any, found: Sequence[Cell], began_us: int) -> None:
        now_us = self._clock.monotonic_us()
        over = asked[1] + _SETTLED_US <= self._clock.wall_us()
        least_us = _OVER_US if over else _UNDER_WAY_US
        self._kept.pop(asked, None)
        self._kept[asked] = (now_us + max(least_us, _THRIFT * (now_us - began_us)), found)
        while len(self._kept) > 1 and self._held() > _MOST:
            self._kept.pop(next(iter(self._kept)))

    def _held(self) -> int:
        return sum(1 + len(cells) for _, cells in self._kept.values())


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
