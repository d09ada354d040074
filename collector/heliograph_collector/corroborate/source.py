"""What every source is: it is asked about an entity and answers with evidence, or with a reason."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from heliograph.clock import Clock
from heliograph_collector.corroborate.incident import Entity
from heliograph_collector.corroborate.series import SourceEvidence

FIRST_DELAY_S = 15.0
MAX_DELAY_S = 3_600.0


class SourceError(Exception):
    """It did not answer; str() holds no secret. `retry_s`: the delay that it asked for."""

    def __init__(self, sentence: str, retry_s: float | None = None) -> None:
        super().__init__(sentence)
        self.retry_s = retry_s


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceContext:
    """Network, clock, randomness and waiting, as arguments."""

    session: aiohttp.ClientSession
    clock: Clock
    rng: random.Random
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


class EvidenceSource(Protocol):
    name: str
    every_s: float  # of one entity it is asked no more often

    async def run(self) -> None:
        """Whatever it needs beside being asked, until cancelled; may return at once."""
        ...

    async def ask(self, entity: Entity, since_us: int, until_us: int) -> Sequence[SourceEvidence]:
        """Raises SourceError."""
        ...

    def follow(self, entities: Sequence[Entity]) -> None:
        """What it will be asked about, for those that must listen beforehand."""
        ...


class PolledSource:
    """A source whose past can be asked for: it has nothing to do beforehand."""

    async def run(self) -> None:
        """It needs nothing beside being asked."""

    def follow(self, entities: Sequence[Entity]) -> None:
        """Whatever it will be asked about."""


class RedirectError(aiohttp.ClientError):
    """A source wanted us to ask somebody else."""


async def _refuse_redirect(
    _session: aiohttp.ClientSession,
    _context: object,
    params: aiohttp.TraceRequestRedirectParams,
) -> None:
    params.response.close()
    raise RedirectError


def open_session() -> aiohttp.ClientSession:
    """No cookies, no proxy from the environment, no redirects, nothing unpacked.

    WebSockets are not asked whether they follow redirects, so the session refuses for all.
    """
    trace_config = aiohttp.TraceConfig()
    trace_config.on_request_redirect.append(_refuse_redirect)
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        headers={"User-Agent": "heliograph-collector", "Accept-Encoding": "identity"},
        connector=aiohttp.TCPConnector(limit=4),
        trace_configs=[trace_config],
    )


def compute_backoff_s(failures: int, retry_s: float | None, rng: random.Random) -> float:
    """After the n-th failure in a row: doubling and jittered, never sooner than the source said."""
    delay_s = min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures - 1, 16))
    jittered = delay_s * rng.uniform(0.5, 1.0)
    return max(jittered, min(retry_s, MAX_DELAY_S)) if retry_s is not None else jittered


class RequestPacer:
    """Between two questions to one source at least this long, however they end."""

    def __init__(self, gap_s: float, context: SourceContext) -> None:
        self._gap_us = int(gap_s * 1e6)
        self._context = context
        self._next_us = 0

    async def wait_turn(self) -> None:
        """Until the source may be asked, which is then counted as done."""
        wait_us = self._next_us - self._context.clock.monotonic_us()
        if wait_us > 0:
            await self._context.pause(wait_us / 1e6)
        self._next_us = self._context.clock.monotonic_us() + self._gap_us
