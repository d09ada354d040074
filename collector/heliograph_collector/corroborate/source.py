"""What every source is: it is asked about an entity and answers with evidence, or with a reason."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from heliograph.clock import Clock
from heliograph_collector.corroborate.incident import Entity
from heliograph_collector.corroborate.series import Evidence


class SourceError(Exception):
    """It did not answer; str() holds no secret. `again_s` is when it told us to return."""

    def __init__(self, sentence: str, again_s: float | None = None) -> None:
        super().__init__(sentence)
        self.again_s = again_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Network, clock, randomness and waiting, as arguments."""

    session: aiohttp.ClientSession
    clock: Clock
    rng: random.Random
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


class Source(Protocol):
    name: str
    every_s: float  # of one entity it is asked no more often

    async def run(self) -> None:
        """Whatever it needs beside being asked, until cancelled; may return at once."""
        ...

    async def ask(self, entity: Entity, since_us: int, until_us: int) -> Sequence[Evidence]:
        """Raises SourceError."""
        ...

    def follow(self, entities: Sequence[Entity]) -> None:
        """What it will be asked about, for those that must listen beforehand."""
        ...


class Asked:
    """A source whose past can be asked for: it has nothing to do beforehand."""

    async def run(self) -> None:
        """It needs nothing beside being asked."""

    def follow(self, entities: Sequence[Entity]) -> None:
        """Whatever it will be asked about."""


class RedirectError(aiohttp.ClientError):
    """A source wanted us to ask somebody else."""


async def _stay(
    _session: aiohttp.ClientSession,
    _context: object,
    told: aiohttp.TraceRequestRedirectParams,
) -> None:
    told.response.close()
    raise RedirectError


def open_session() -> aiohttp.ClientSession:
    """No cookies, no proxy from the environment, no redirects, nothing unpacked.

    WebSockets are not asked whether they follow redirects, so the session refuses for all.
    """
    stay = aiohttp.TraceConfig()
    stay.on_request_redirect.append(_stay)
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        headers={"User-Agent": "heliograph-collector", "Accept-Encoding": "identity"},
        connector=aiohttp.TCPConnector(limit=4),
        trace_configs=[stay],
    )
