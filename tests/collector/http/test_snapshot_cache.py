"""The one look at the world that readers share."""

import asyncio
from typing import Any

from heliograph_collector.aggregate.disclosure import find_instant
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.model.records import VerdictState, Vote
from support.fake_feed import BIN_US, NOW_US, World, crowd
from support.kazakhstan_votes import evening


async def test_what_all_readers_share_is_made_once_though_they_come_together() -> None:
    """A shared answer is made once for readers who come together after a change."""
    desk, made = SnapshotCache(evening().feed()), []

    def make() -> int:
        made.append("page")
        return len(made)

    world = await desk.refresh()
    told = await asyncio.gather(*(desk.derive(world, "front", make) for _ in range(50)))
    assert told == [1] * 50
    assert made == ["page"]
    assert await desk.derive(world, "front", make) == 1
    assert await desk.derive(world, "other", make) == 2


async def test_late_votes_of_ended_bins_are_read_when_they_become_public() -> None:
    """A refresh between their arrival and the next instant sees nothing of them yet."""
    world = World()
    world.clock.wall = NOW_US // BIN_US * BIN_US + 60_000_000
    ended_us = world.clock.wall // BIN_US * BIN_US - 3 * BIN_US
    public_us = find_instant(world.clock.wall, 5) + BIN_US
    late_votes = crowd(9, VerdictState.BLOCKED, ended_us, ended_us + BIN_US)
    feed = world.feed()
    read_public = feed.votes

    async def votes(*window: int, **filters: Any) -> list[Vote]:
        is_public = find_instant(world.clock.wall, 5) >= public_us
        world.votes = late_votes if is_public else []
        return list(await read_public(*window, **filters))

    feed.votes = votes  # type: ignore[method-assign]
    cache = SnapshotCache(feed)
    cache.is_polled = True
    assert not (await cache.refresh()).columns
    cache.touch([ended_us])
    world.clock.advance_us(BIN_US - 40_000_000)  # the instant itself; SETTLE_US before it is public
    cache._last_read = None
    assert not (await cache.refresh()).columns
    world.clock.advance_us(BIN_US // 2)
    (column,) = (await cache.refresh()).columns
    assert VerdictState.BLOCKED in column.readings["telegram"].strip
