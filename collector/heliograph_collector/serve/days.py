"""Sums days that are over for the aggregation, and again when late data or a new judgement came."""

import asyncio
import logging

from heliograph.clock import Clock
from heliograph_collector.store.days import By
from heliograph_collector.store.engine import Store, StoreError
from heliograph_collector.store.rows import DAY_US

_EVERY_S = 300.0  # what was touched meanwhile is counted live
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
            await asyncio.sleep(_EVERY_S)

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
