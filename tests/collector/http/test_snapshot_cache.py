"""The one look at the world that readers share."""

import asyncio

from heliograph_collector.http.snapshot_cache import SnapshotCache
from support.kazakhstan_votes import evening


async def test_what_all_readers_share_is_made_once_though_they_come_together() -> None:
    """As they do after each change of the world."""
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
