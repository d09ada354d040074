"""Answers that are costly to make, kept for a while.

Who comes a little late gets the old one at once, and it is made anew for who comes next: only who
asks what nobody asked lately waits.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from heliograph.clock import Clock

_T = TypeVar("_T")
_THRIFT = 5  # fresh for at least so many times what it took to make: that leaves room for work


@dataclass(frozen=True, slots=True)
class Term:
    """How long an answer is fresh, and how much longer it is given while it is made anew."""

    fresh_us: int
    grace_us: int = 0


@dataclass(frozen=True, slots=True)
class _Kept(Generic[_T]):
    value: _T
    make: Callable[[], Awaitable[_T]]
    term: Term
    stale_us: int  # monotonic
    old_us: int  # then it is given to nobody


class Renewed(Generic[_T]):
    """At most `most` of them by `weight`, the longest unmade forgotten first."""

    def __init__(self, clock: Clock, most: int, weight: Callable[[_T], int] = lambda _: 1) -> None:
        self._clock, self._most, self._weight = clock, most, weight
        self._kept: dict[Hashable, _Kept[_T]] = {}
        self._turns: dict[Hashable, asyncio.Lock] = {}
        self._stale: dict[Hashable, None] = {}  # given, and to be made anew
        self._stir = asyncio.Event()
        self._running = False

    async def get(self, key: Hashable, make: Callable[[], Awaitable[_T]], term: Term) -> _T:
        """However many ask at once: made once. Raises what `make` raises."""
        if (kept := self._at_hand(key)) is not None:
            return kept.value
        async with self._turn(key):
            kept = self._at_hand(key) or await self._make(key, make, term)
            return kept.value

    async def run(self) -> None:
        """Make anew what was given though it was stale; never returns. Without it nothing is."""
        self._running = True
        try:
            while True:
                await self._stir.wait()
                self._stir.clear()
                await self._renew()
        finally:
            self._running = False

    async def _renew(self) -> None:
        while self._stale:
            key = next(iter(self._stale))
            async with self._turn(key):
                kept = self._kept.get(key)
                if kept is not None:
                    with suppress(Exception):  # whatever it is, who asks when it is old meets it
                        await self._make(key, kept.make, kept.term)
            self._stale.pop(key, None)

    @asynccontextmanager
    async def _turn(self, key: Hashable) -> AsyncIterator[None]:
        turn = self._turns.setdefault(key, asyncio.Lock())
        try:
            async with turn:
                yield
        finally:
            if not turn.locked():
                self._turns.pop(key, None)

    def _at_hand(self, key: Hashable) -> _Kept[_T] | None:
        kept, now_us = self._kept.get(key), self._clock.monotonic_us()
        if kept is None or now_us >= (kept.old_us if self._running else kept.stale_us):
            return None
        if now_us >= kept.stale_us:
            self._stale[key] = None
            self._stir.set()
        return kept

    async def _make(
        self, key: Hashable, make: Callable[[], Awaitable[_T]], term: Term
    ) -> _Kept[_T]:
        began_us = self._clock.monotonic_us()
        value = await make()
        now_us = self._clock.monotonic_us()
        stale_us = now_us + max(term.fresh_us, _THRIFT * (now_us - began_us))
        kept = _Kept(value, make, term, stale_us, stale_us + term.grace_us)
        self._kept.pop(key, None)
        self._kept[key] = kept
        while len(self._kept) > 1 and self._held() > self._most:
            del self._kept[next(iter(self._kept))]
        return kept

    def _held(self) -> int:
        return sum(self._weight(kept.value) for kept in self._kept.values())
