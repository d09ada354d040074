"""Updates of stored cells: roll up each bin again that new or late data touch.

A bin waits in `BinWidth.touched_bins` until the next round of its width. A round takes it out,
reads the votes, and writes the changed rows. A failed query puts the bin back; a query that was too
large also halves the number of bins in one query. At a start over a store with rows, the bins of
`startup_s` count as touched, because the previous process may not have finished them. For older
bins, a restart replays the journal after `oldest_position`.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from heliograph.clock import Clock
from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.aggregate.rollup import changed_cells, roll_up_bins
from heliograph_collector.model.filters import CellFilter
from heliograph_collector.model.records import (
    Block,
    Cell,
)
from heliograph_collector.store.daily_totals import AnonymityRule
from heliograph_collector.store.store import Store, StoreError, TooMuchError

_DAILY_UPDATER_EVERY_S = 300.0  # days touched in between are counted live
_SETTLED_US = 1_800_000_000  # most late data of a day arrive in the half hour after it

days_log = logging.getLogger("heliograph.days")


class DailyUpdater:
    """Sum whole days; `run` belongs in the collector's TaskGroup."""

    def __init__(self, store: Store, clock: Clock, anonymity: AnonymityRule) -> None:
        self._store = store
        self._clock = clock
        self._anonymity = anonymity
        self._checked_day = -1  # the last day at whose beginning all verdicts were checked

    async def run(self) -> None:
        while True:
            await self.update_due_days()
            await asyncio.sleep(_DAILY_UPDATER_EVERY_S)

    async def update_due_days(self) -> int:
        """Sum due days and return their number; a failed day is retried next round."""
        settled_us = self._clock.wall_us() - _SETTLED_US
        all_days = self._checked_day != settled_us // DAY_US
        updated_days = 0
        try:
            for day in await self._store.list_due_days(
                settled_us, self._anonymity, include_new=all_days
            ):
                updated_days += await self._store.sum_day(day, self._anonymity)
        except StoreError as error:
            days_log.warning("Days are counted live for now: %s", error)
        else:
            self._checked_day = settled_us // DAY_US
        return updated_days


_EVERY_S = 15.0

log = logging.getLogger("heliograph.cells")


@dataclass(slots=True)
class BinWidth:
    """Bins of one width, and the set that waits for a roll-up."""

    bin_s: int
    rounds_per_update: int  # rounds of `_EVERY_S` between two updates
    retention_s: int  # older bins are not updated; 0: no limit
    startup_s: int  # updated at a start: the previous process may not have finished it
    batch_bins: int = 60  # bins in one query; halved after a query that was too large
    touched_bins: set[int] = field(default_factory=set)

    @property
    def width_us(self) -> int:
        return self.bin_s * SECOND_US

    def touch(self, timestamps_us: Iterable[int]) -> None:
        self.touched_bins.update(at_us // self.width_us for at_us in timestamps_us)


def bin_widths() -> list[BinWidth]:
    """Return the widths: minutes for two days, five minutes forever."""
    return [BinWidth(60, 1, 172_800, 3_600), BinWidth(300, 4, 0, 86_400, 12)]


def list_cell_times(block: Block) -> list[int]:
    """List the times whose cells a block may change, in microseconds."""
    return [record.started_us for record, _ in block.judged] + [
        row.received_us for row in block.presence
    ]


class CellUpdater:
    """Roll up touched bins; `run` belongs in the collector's TaskGroup."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._widths = bin_widths()
        # the journal entry after which unfinished data arrived that a start would not find
        self.oldest_position: int | None = None

    def touch(self, timestamps_us: Iterable[int], after_position: int | None = None) -> None:
        """Mark the bins of these times; the data arrived after `after_position`."""
        timestamps = set(timestamps_us)
        for width in self._widths:
            width.touch(timestamps)
        if after_position is not None and any(self._has_old_bins(width) for width in self._widths):
            self.oldest_position = (
                after_position
                if self.oldest_position is None
                else min(after_position, self.oldest_position)
            )

    def on_block(self, block: Block) -> None:
        self.touch(list_cell_times(block), block.first - 1)

    def _has_old_bins(self, width: BinWidth) -> bool:
        """Return whether bins wait that a start would not update.

        Half of the startup span is the limit, because time passes until a restart.
        """
        startup_us = self._clock.wall_us() - width.startup_s * SECOND_US // 2
        oldest_startup_bin = startup_us // width.width_us
        return not width.retention_s and min(width.touched_bins, default=oldest_startup_bin) < (
            oldest_startup_bin
        )

    async def run(self) -> None:
        await self._touch_unfinished_bins()
        round_number = 0
        while True:
            await asyncio.sleep(_EVERY_S)
            for width in self._widths:
                if round_number % width.rounds_per_update == 0:
                    await self._update_width(width)
            round_number += 1

    async def _touch_unfinished_bins(self) -> None:
        """Mark what a previous process may have left; an empty store holds nothing of one.

        The bins of a day take some 9 s of a core, without a row too: most of it goes into the
        engine's analysis of 25 queries.
        """
        try:
            if await self._store.is_empty():
                return
        except StoreError as error:
            log.warning("All cells of the last day are updated again: %s", error)
        now_us = self._clock.wall_us()
        for width in self._widths:
            width.touch(range(now_us - width.startup_s * SECOND_US, now_us, width.width_us))

    async def _update_width(self, width: BinWidth) -> None:
        now_us = self._clock.wall_us()
        # Silence changes bins without rows: the current one, and the one that ended last.
        width.touch([now_us, now_us - int(width.rounds_per_update * _EVERY_S * SECOND_US)])
        if width.retention_s:
            oldest = (now_us - width.retention_s * SECOND_US) // width.width_us
            width.touched_bins = {number for number in width.touched_bins if number >= oldest}
        for first, last in list(group_consecutive(sorted(width.touched_bins), width.batch_bins)):
            await self._update_stretch(width, first, last)
        if not width.retention_s and not self._has_old_bins(width):
            self.oldest_position = None

    async def _update_stretch(self, width: BinWidth, first: int, last: int) -> None:
        """Update consecutive bins; a failure is retried in the next round."""
        width.touched_bins.difference_update(range(first, last + 1))
        try:
            await update_bins(
                self._store, first * width.width_us, (last + 1) * width.width_us, width.bin_s
            )
        except StoreError as error:
            log.warning("Cells of %d bins are late: %s", last - first + 1, error)
            width.touched_bins.update(range(first, last + 1))
            if isinstance(error, TooMuchError):
                width.batch_bins = max(1, (last - first + 1) // 2)


async def update_bins(store: Store, since_us: int, until_us: int, bin_s: int) -> None:
    """Roll up whole bins again and write the changed rows. Raises StoreError."""
    window = (since_us, until_us, bin_s)
    stored_cells = await _stored_cells(store, *window)
    counts = await store.counts(*window)
    silences = await store.silences(*window)
    cells = await asyncio.to_thread(roll_up_bins, counts, silences, *window)
    await store.replace_cells(changed_cells(stored_cells, cells))


class CellRefresher:
    """Roll up bins on demand, for commands."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def update_touched_bins(self, timestamps_us: Iterable[int]) -> int:
        """Update the bins of these times; return the number of five-minute bins.

        Minutes are updated only while they are stored. Raises StoreError.
        """
        timestamps = set(timestamps_us)
        bin_count = 0
        for width in bin_widths():
            width.touch(timestamps)
            bin_count = len(width.touched_bins)
            for first, last in group_near(sorted(width.touched_bins), width.batch_bins):
                bounds = (first * width.width_us, (last + 1) * width.width_us, width.bin_s)
                if not width.retention_s or await _stored_cells(self._store, *bounds):
                    await update_bins(self._store, *bounds)
        return bin_count


async def _stored_cells(store: Store, since_us: int, until_us: int, bin_s: int) -> list[Cell]:
    return await store.cells(CellFilter(since_us=since_us, until_us=until_us, bin_s=bin_s))


def group_consecutive(bins: Sequence[int], max_length: int) -> Iterator[tuple[int, int]]:
    """Group consecutive bins into (first, last) pairs of at most `max_length` bins."""
    start_index = 0
    for index in range(1, len(bins) + 1):
        is_full = index - start_index >= max_length
        if index == len(bins) or bins[index] != bins[index - 1] + 1 or is_full:
            yield bins[start_index], bins[index - 1]
            start_index = index


def group_near(bins: Sequence[int], max_length: int) -> Iterator[tuple[int, int]]:
    """Group bins into (first, last) pairs that span at most `max_length` bins.

    The bins between are updated too and stay as they are. A query costs most in its analysis: with
    one for an hour of minutes, and not one for each, four rejudged hours took 7 s of a core and
    not 24.
    """
    first: int | None = None
    last = 0
    for number in bins:
        if first is not None and number - first >= max_length:
            yield first, last
            first = None
        first = number if first is None else first
        last = number
    if first is not None:
        yield first, last
