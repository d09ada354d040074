"""Keeps the stored cells in step: what a block touches is rolled up again, late data too."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence

from heliograph.clock import Clock
from heliograph_collector.rollup import cells
from heliograph_collector.store.engine import Store, StoreError

BIN_S = 300
_BIN_US = BIN_S * 1_000_000
_EVERY_S = 15.0
_BINS_AT_ONCE = 12  # an hour: the store answers that within its limits, whoever votes
_AT_START_US = 86_400_000_000  # what the process before us may have left undone

log = logging.getLogger("heliograph.cells")


class CellKeeper:
    """`touch` with moments; `run` belongs in the collector's TaskGroup."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._touched: set[int] = set()

    def touch(self, moments_us: Iterable[int]) -> None:
        self._touched.update(at_us // _BIN_US for at_us in moments_us)

    async def run(self) -> None:
        now_us = self._clock.wall_us()
        self.touch(range(now_us - _AT_START_US, now_us, _BIN_US))
        while True:
            await asyncio.sleep(_EVERY_S)
            self.touch([self._clock.wall_us()])  # silence changes a bin without a row in it
            for first, last in list(stretches(sorted(self._touched), _BINS_AT_ONCE)):
                await self._renew(first, last)

    async def _renew(self, first: int, last: int) -> None:
        """A stretch that fails is taken up again in the next round."""
        since_us, until_us = first * _BIN_US, (last + 1) * _BIN_US
        self._touched.difference_update(range(first, last + 1))
        try:
            await renew(self._store, since_us, until_us)
        except StoreError as error:
            log.warning("Cells of %d bins are late: %s", last - first + 1, error)
            self._touched.update(range(first, last + 1))


async def renew(store: Store, since_us: int, until_us: int) -> None:
    """Roll whole bins up again and store what they came to. Raises StoreError."""
    votes = await store.votes(since_us, until_us, BIN_S)
    silences = await store.silences(since_us, until_us, BIN_S)
    found = await asyncio.to_thread(cells, votes, silences, since_us, until_us, BIN_S)
    await store.replace_cells(found)


async def renew_all(store: Store, moments_us: Iterable[int]) -> int:
    """The bins in which these moments lie; how many. Raises StoreError."""
    bins = sorted({at_us // _BIN_US for at_us in moments_us})
    for first, last in stretches(bins, _BINS_AT_ONCE):
        await renew(store, first * _BIN_US, (last + 1) * _BIN_US)
    return len(bins)


def stretches(bins: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Neighbouring bins together, at most so many."""
    start = 0
    for at in range(1, len(bins) + 1):
        whole = at - start >= most
        if at == len(bins) or bins[at] != bins[at - 1] + 1 or whole:
            yield bins[start], bins[at - 1]
            start = at
