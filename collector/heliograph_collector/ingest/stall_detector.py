"""Did we stand still ourselves? Then it was not the agents that were silent.

Two looks lie a second apart. Where more of the monotonic clock went by, the event loop hung; where
more of the wall clock did, the machine slept, for which the monotonic clock stands still. A wall
clock that is set forward looks like sleep and is taken for it; set back it is nothing.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from heliograph.clock import Clock
from heliograph_collector.store.journal.journal import Journal, JournalError

STALL_US = 10_000_000
LOOK_S = 1.0
ALIVE_S = 5.0

log = logging.getLogger("heliograph.intake")


@dataclass(frozen=True, slots=True)
class Moment:
    """One look at both clocks."""

    wall_us: int
    monotonic_us: int


@dataclass(frozen=True, slots=True)
class Span:
    """From when until when, on the wall clock as it now stands."""

    since_us: int
    until_us: int


def moment(clock: Clock) -> Moment:
    return Moment(clock.wall_us(), clock.monotonic_us())


def stall(before: Moment, now: Moment) -> Span | None:
    """The time in which nobody looked; None when there was none of `STALL_US`."""
    gone_us = max(now.monotonic_us - before.monotonic_us, now.wall_us - before.wall_us)
    return Span(now.wall_us - gone_us, now.wall_us) if gone_us >= STALL_US else None


async def beat(look: Callable[[], object], clock: Clock, felt: Callable[[float], object]) -> None:
    """Look every second, and say by how many seconds that came late; never returns. It waits for
    nothing else: that would look like a hang."""
    while True:
        before_us = clock.monotonic_us()
        await asyncio.sleep(LOOK_S)
        felt(max(0.0, (clock.monotonic_us() - before_us) / 1e6 - LOOK_S))
        look()


async def stay_alive(journal: Journal, clock: Clock) -> None:
    """Mark every five seconds that we live, and once more at the end.

    A mark that fails is left: the next collector then takes us for dead a little earlier.
    """
    try:
        while True:
            await _mark(journal, clock)
            await asyncio.sleep(ALIVE_S)
    finally:
        await _mark(journal, clock)


async def _mark(journal: Journal, clock: Clock) -> None:
    try:
        await journal.alive(clock.wall_us())
    except JournalError as error:
        log.warning("%s", error)
