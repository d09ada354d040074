"""Which bins are rolled up again, and when."""

import asyncio
from typing import Any, cast

from heliograph_collector.serve.cells import BIN_S, CellKeeper, stretches
from heliograph_collector.store.engine import Store, StoreError
from support.virtual_time import VirtualClock, run_virtually

BIN_US = BIN_S * 1_000_000
DAY_BINS = 288


def test_bins_are_taken_in_stretches() -> None:
    assert list(stretches([], 9)) == []
    assert list(stretches([4], 9)) == [(4, 4)]
    assert list(stretches([1, 2, 3, 7, 9, 10], 9)) == [(1, 3), (7, 7), (9, 10)]
    assert list(stretches(list(range(7)), 3)) == [(0, 2), (3, 5), (6, 6)]


class AwayStore:
    """Remembers which bins it was asked about, and answers none."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def votes(self, since_us: int, until_us: int, *_: Any) -> None:
        self.asked += range(since_us // BIN_US, until_us // BIN_US)
        raise StoreError("away")


def test_a_start_renews_the_last_day_and_what_fails_is_asked_again() -> None:
    async def story(clock: VirtualClock) -> None:
        store = AwayStore()
        now = clock.wall_us() // BIN_US
        keeper = CellKeeper(cast("Store", store), clock)
        keeper.touch([(now - 9_999) * BIN_US])
        async with asyncio.TaskGroup() as group:
            running = group.create_task(keeper.run())
            await asyncio.sleep(20)
            first = set(store.asked)
            store.asked.clear()
            await asyncio.sleep(15)
            running.cancel()
        assert {now - 9_999, now, *range(now - DAY_BINS + 1, now)} <= first
        assert set(store.asked) >= first

    run_virtually(story)
