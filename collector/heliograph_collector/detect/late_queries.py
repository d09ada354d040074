"""Asks the store what a window of the past looks like with everything that came late."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from heliograph_collector.detect.blocking.detector import reach
from heliograph_collector.detect.late_data import LEAST_US, Reopened, amendments
from heliograph_collector.detect.stats.voting import Tally
from heliograph_collector.detect.vote_reader import remembered
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.records import Opinion, WorldTally
from heliograph_collector.model.thresholds import THRESHOLDS
from heliograph_collector.store.clickhouse import TooMuchError

_BIN_S = int(THRESHOLDS.bin_s)
_FRESH_S = int(THRESHOLDS.fresh_s)


class Past(Protocol):
    """What is needed of the store; both raise StoreError."""

    async def opinions(
        self, service: str, country: str, since_us: int, until_us: int
    ) -> Sequence[Opinion]: ...

    async def world_tally(
        self,
        service: str,
        not_country: str,
        since_us: int,
        until_us: int,
        bin_s: int,
        *,
        fresh_s: int = 0,
    ) -> Sequence[WorldTally]: ...


async def look_again(
    past: Past, one: Reopened, window: tuple[int, int], said: Sequence[Incident]
) -> dict[str, Incident]:
    """What the whole of the data makes of a window, as amendments. Raises StoreError.

    Where it is too much for one look, its newest part.
    """
    since_us, until_us = window
    while until_us - since_us >= LEAST_US:
        try:
            stored = await past.opinions(one.service, one.country, since_us, until_us)
            world = await past.world_tally(
                one.service, one.country, since_us, until_us, _BIN_S, fresh_s=_FRESH_S
            )
        except TooMuchError:
            since_us += (until_us - since_us) // 2 // (_BIN_S * 1_000_000) * (_BIN_S * 1_000_000)
            continue
        return await asyncio.to_thread(_again, stored, world, one, (since_us, until_us), said)
    return {}


def _again(
    stored: Sequence[Opinion],
    world: Sequence[WorldTally],
    one: Reopened,
    window: tuple[int, int],
    said: Sequence[Incident],
) -> dict[str, Incident]:
    bins = {tally.start_us: Tally(tally.good + tally.bad, tally.bad) for tally in world}
    again = reach(
        remembered(stored, one.service),
        *window,
        world=lambda end_us: bins.get(end_us - _BIN_S * 1_000_000, Tally()),
    )
    return amendments(said, again, one, *window)
