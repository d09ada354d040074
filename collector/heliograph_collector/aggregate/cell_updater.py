"""Keeps the stored cells in step: what a block touches is rolled up again, late data too."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from heliograph.clock import Clock
from heliograph_collector.aggregate.rollup import bin_by_bin, outdated
from heliograph_collector.model.records import DAY_US, Cell, CellFilter
from heliograph_collector.store.daily_totals import By
from heliograph_collector.store.store import Store, StoreError, TooMuchError

_DAILY_UPDATER_EVERY_S = 300.0  # what was touched meanwhile is counted live
_SETTLED_US = 1_800_000_000  # a day still gets most of its late data in the half hour after it

log = logging.getLogger("heliograph.days")


class DayKeeper:
    """`run` belongs in the collector's TaskGroup."""

    def __init__(self, store: Store, clock: Clock, by: By) -> None:
        self._store, self._clock, self._by = store, clock, by
        self._looked = -1  # the last day at whose beginning all verdicts were looked through

    async def run(self) -> None:
        while True:
            await self.renew()
            await asyncio.sleep(_DAILY_UPDATER_EVERY_S)

    async def renew(self) -> int:
        """How many days were summed. What fails is taken up again in the next round."""
        over_us = self._clock.wall_us() - _SETTLED_US
        every = self._looked != over_us // DAY_US
        done = 0
        try:
            for day in await self._store.due_days(over_us, self._by, every=every):
                done += await self._store.sum_up(day, self._by)
        except StoreError as error:
            log.warning("Days are counted live for now: %s", error)
        else:
            self._looked = over_us // DAY_US
        return done


US = 1_000_000
_EVERY_S = 15.0

log = logging.getLogger("heliograph.cells")


@dataclass(slots=True)
class Width:
    """Bins of one width, and which of them are to be rolled up again."""

    bin_s: int
    rounds: int  # of `_EVERY_S` between two renewals
    kept_s: int  # older bins are left alone; 0 for none
    before_s: int  # at a start: what the process before us may have left undone
    at_once: int = 60  # bins in one question; fewer after one that was too much
    touched: set[int] = field(default_factory=set)

    @property
    def us(self) -> int:
        return self.bin_s * US

    def touch(self, moments_us: Iterable[int]) -> None:
        self.touched.update(at_us // self.us for at_us in moments_us)


def widths() -> list[Width]:
    """A minute, kept for two days; five minutes, kept for ever, each minute once is enough."""
    return [Width(60, 1, 172_800, 3_600), Width(300, 4, 0, 86_400, 12)]


class CellKeeper:
    """`touch` with moments; `run` belongs in the collector's TaskGroup."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._widths = widths()
        self.after: int | None = None  # the journal's entry after which that came which is to do,
        # and which a start would not look at by itself

    def touch(self, moments_us: Iterable[int], after: int | None = None) -> None:
        """`after`: the journal's entry after which what touches them came."""
        moments = set(moments_us)
        for width in self._widths:
            width.touch(moments)
        if after is not None and any(self._old(width) for width in self._widths):
            self.after = after if self.after is None else min(after, self.after)

    def _old(self, width: Width) -> bool:
        """Whether there is something to do that a start would not. Half of that: time passes."""
        before = (self._clock.wall_us() - width.before_s * US // 2) // width.us
        return not width.kept_s and any(at < before for at in width.touched)

    async def run(self) -> None:
        now_us = self._clock.wall_us()
        for width in self._widths:
            width.touch(range(now_us - width.before_s * US, now_us, width.us))
        turn = 0
        while True:
            await asyncio.sleep(_EVERY_S)
            for width in self._widths:
                if turn % width.rounds == 0:
                    await self._renew_all(width)
            turn += 1

    async def _renew_all(self, width: Width) -> None:
        now_us = self._clock.wall_us()
        # Silence changes a bin without a row in it, also the one that ended since the last time.
        width.touch([now_us, now_us - int(width.rounds * _EVERY_S * US)])
        if width.kept_s:
            oldest = (now_us - width.kept_s * US) // width.us
            width.touched = {at for at in width.touched if at >= oldest}
        for first, last in list(stretches(sorted(width.touched), width.at_once)):
            await self._renew(width, first, last)
        if not width.kept_s and not self._old(width):
            self.after = None

    async def _renew(self, width: Width, first: int, last: int) -> None:
        """A stretch that fails is taken up again in the next round."""
        width.touched.difference_update(range(first, last + 1))
        try:
            await renew(self._store, first * width.us, (last + 1) * width.us, width.bin_s)
        except StoreError as error:
            log.warning("Cells of %d bins are late: %s", last - first + 1, error)
            width.touched.update(range(first, last + 1))
            if isinstance(error, TooMuchError):
                width.at_once = max(1, (last - first + 1) // 2)


async def renew(store: Store, since_us: int, until_us: int, bin_s: int) -> None:
    """Roll whole bins up again and write what has changed. Raises StoreError."""
    stored = await _stored(store, since_us, until_us, bin_s)
    counts = await store.counts(since_us, until_us, bin_s)
    silences = await store.silences(since_us, until_us, bin_s)
    found = await asyncio.to_thread(bin_by_bin, counts, silences, since_us, until_us, bin_s)
    await store.replace_cells(outdated(stored, found))


async def renew_all(store: Store, moments_us: Iterable[int]) -> int:
    """The bins in which these moments lie, of minutes those still kept; how many of five minutes.

    Raises StoreError.
    """
    moments, count = set(moments_us), 0
    for width in widths():
        width.touch(moments)
        count = len(width.touched)
        for first, last in stretches(sorted(width.touched), width.at_once):
            bounds = (first * width.us, (last + 1) * width.us, width.bin_s)
            if not width.kept_s or await _stored(store, *bounds):
                await renew(store, *bounds)
    return count


async def _stored(store: Store, since_us: int, until_us: int, bin_s: int) -> list[Cell]:
    return await store.cells(CellFilter(since_us=since_us, until_us=until_us, bin_s=bin_s))


def stretches(bins: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Neighbouring bins together, at most so many."""
    start = 0
    for at in range(1, len(bins) + 1):
        whole = at - start >= most
        if at == len(bins) or bins[at] != bins[at - 1] + 1 or whole:
            yield bins[start], bins[at - 1]
            start = at
