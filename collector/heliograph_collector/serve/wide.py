"""Cells seen from farther away, counted by the store day by day, and kept for a while.

A country's week is asked for again and again: what is over is kept for minutes, the day in progress
for as long as five times what it took. Who asks a little later gets the same, and meanwhile it is
counted anew: only who comes to what nobody looked at waits. Bounded by how many cells are kept.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from heliograph.clock import Clock
from heliograph_collector.publish.scope import widen_silences
from heliograph_collector.rollup import bin_by_bin, in_every_bin
from heliograph_collector.store.clickhouse import StoreError
from heliograph_collector.store.rows import DAY_US, Cell, Count, Silence

_NOTHING = {"country": "", "region": "", "asn": 0, "access": ""}
_OVER_US, _OVER_GRACE_US = 300_000_000, 900_000_000  # fresh, and then given while it is renewed
_UNDER_WAY_US, _UNDER_WAY_GRACE_US = 15_000_000, 45_000_000
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


@dataclass(frozen=True, slots=True)
class _Asked:
    """One day of a question."""

    since_us: int
    until_us: int
    bin_s: int
    wider: tuple[str, ...]
    only: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    """`stale_us` and `old_us` are of the monotonic clock; what is old is given to nobody."""

    cells: Sequence[Cell]
    stale_us: int
    old_us: int


class Wide:
    """While `renew` runs, what has become stale is given once more, and counted anew for others."""

    def __init__(self, store: Counting, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._turn = asyncio.Lock()
        self._kept: dict[_Asked, _Kept] = {}
        self._stale: dict[_Asked, None] = {}  # given, and to be counted anew
        self._stir = asyncio.Event()
        self._renewing = False

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
            found += await self._day(asked)
        return await asyncio.to_thread(in_every_bin, found, since_us, until_us, bin_s, empty=empty)

    async def renew(self) -> None:
        """Never returns."""
        self._renewing = True
        try:
            while True:
                await self._stir.wait()
                self._stir.clear()
                while self._stale:
                    asked = next(iter(self._stale))
                    with suppress(StoreError):  # who asks next is told
                        async with self._turn:
                            await self._count(asked)
                    self._stale.pop(asked, None)
        finally:
            self._renewing = False

    async def _day(self, asked: _Asked) -> Sequence[Cell]:
        if (kept := self._at_hand(asked)) is not None:
            return kept
        async with self._turn:
            if (kept := self._at_hand(asked)) is not None:  # counted while we waited
                return kept
            return await self._count(asked)

    def _at_hand(self, asked: _Asked) -> Sequence[Cell] | None:
        kept, now_us = self._kept.get(asked), self._clock.monotonic_us()
        if kept is None or now_us >= (kept.old_us if self._renewing else kept.stale_us):
            return None
        if now_us >= kept.stale_us:
            self._stale[asked] = None
            self._stir.set()
        return kept.cells

    async def _count(self, asked: _Asked) -> Sequence[Cell]:
        began_us = self._clock.monotonic_us()
        window, only = (asked.since_us, asked.until_us, asked.bin_s), dict(asked.only)
        counts = await self._store.counts(*window, wider=asked.wider, **only)
        only.pop("service", None)
        silences = await self._store.silences(*window, **only)
        found = await asyncio.to_thread(_rolled, counts, silences, window, asked.wider)
        self._keep(asked, found, began_us)
        return found

    def _keep(self, asked: _Asked, found: Sequence[Cell], began_us: int) -> None:
        now_us = self._clock.monotonic_us()
        over = asked.until_us + _SETTLED_US <= self._clock.wall_us()
        least_us = _OVER_US if over else _UNDER_WAY_US
        stale_us = now_us + max(least_us, _THRIFT * (now_us - began_us))
        grace_us = _OVER_GRACE_US if over else _UNDER_WAY_GRACE_US
        self._kept.pop(asked, None)
        self._kept[asked] = _Kept(found, stale_us, stale_us + grace_us)
        while len(self._kept) > 1 and self._held() > _MOST:
            self._kept.pop(next(iter(self._kept)))

    def _held(self) -> int:
        return sum(1 + len(kept.cells) for kept in self._kept.values())


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
