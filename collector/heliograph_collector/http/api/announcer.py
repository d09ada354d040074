"""Tells the bus what changed in the world, soon after the store was told."""

import asyncio
import json
import logging
from collections.abc import Iterable

from heliograph_collector.http.api import status
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.snapshot import Snapshot
from heliograph_collector.http.snapshot_cache import Desk
from heliograph_collector.store.clickhouse import StoreError

log = logging.getLogger(__name__)

PAUSE_S = 2.0  # least time between two looks, so that a flood of blocks costs no more
PATIENCE_S = 15.0  # time passes too: readings age, links change


class Announcer:
    """`touch` when a block was stored; `run` belongs in the collector's TaskGroup.

    It attends to the `desk` that readers share.
    """

    def __init__(self, feed: Feed, desk: Desk | None = None) -> None:
        self._feed = feed
        self._desk = desk or Desk(feed)
        self._touched = asyncio.Event()
        self._last: Snapshot | None = None

    def touch(self, moments_us: Iterable[int] = ()) -> None:
        """With the moments of what the block holds."""
        self._desk.touch(moments_us)
        self._touched.set()

    async def run(self) -> None:
        self._desk.attended = True
        while True:
            await self.look()
            await asyncio.sleep(PAUSE_S)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._touched.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Publish what differs from the last look; the first one has nothing to differ from."""
        self._touched.clear()
        try:
            now = await self._desk.look()
        except StoreError as error:
            log.warning("nothing announced: %s", error)
            return
        if self._last is not None:
            for name, data in status.changes(self._last, now):
                self._feed.bus.publish(name, json.dumps(data))
        self._last = now
