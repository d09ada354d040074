"""The interface of all sources, and their shared network code."""

import asyncio
import random
from collections.abc import Awaitable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from heliograph.backoff import Backoff
from heliograph.clock import Clock
from heliograph_collector.corroborate.incident import Entity
from heliograph_collector.corroborate.series import SourceEvidence

MAX_DELAY_S = 3_600.0
_RETRIES = Backoff(15.0, MAX_DELAY_S, (0.5, 1.0))


class SourceError(Exception):
    """The source did not answer; the text contains no secret.

    `retry_s` is the delay that the source asked for, in seconds.
    """

    def __init__(self, sentence: str, retry_s: float | None = None) -> None:
        super().__init__(sentence)
        self.retry_s = retry_s


class AsyncSleep(Protocol):
    """Wait for some seconds."""

    def __call__(self, seconds: float, /) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceContext:
    """The network session, clock, randomness and sleep function, as arguments."""

    session: aiohttp.ClientSession
    clock: Clock
    rng: random.Random
    pause: AsyncSleep = asyncio.sleep


class SourceSessions(Protocol):
    """Opens the session of all sources, guarded against private networks."""

    def open_source_session(self, private_hosts: Collection[str]) -> aiohttp.ClientSession: ...


class ExternalSource(Protocol):
    name: str
    every_s: float  # the shortest time between two queries about one entity

    async def run(self) -> None:
        """Do background work until cancelled; may return at once."""
        ...

    async def ask(self, entity: Entity, since_us: int, until_us: int) -> Sequence[SourceEvidence]:
        """Return the evidence about an entity in a window. Raises SourceError."""
        ...

    def follow(self, entities: Sequence[Entity]) -> None:
        """Set the entities of later queries, for sources that must listen beforehand."""
        ...


def compute_backoff_s(failures: int, retry_s: float | None, rng: random.Random) -> float:
    """Return the delay after `failures` in a row, in seconds.

    It doubles, has jitter, and is at least `retry_s`, up to MAX_DELAY_S.
    """
    return max(_RETRIES.draw_s(failures, rng), min(retry_s or 0.0, MAX_DELAY_S))


class RequestPacer:
    """Keep a minimum gap between two queries to one source, also after failures."""

    def __init__(self, gap_s: float, context: SourceContext) -> None:
        self._gap_us = int(gap_s * 1e6)
        self._context = context
        self._next_us = 0

    async def wait_turn(self) -> None:
        """Wait until the next query is allowed, and count it as sent."""
        wait_us = self._next_us - self._context.clock.monotonic_us()
        if wait_us > 0:
            await self._context.pause(wait_us / 1e6)
        self._next_us = self._context.clock.monotonic_us() + self._gap_us
