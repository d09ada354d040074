"""The way for networks where no session lives: one sealed envelope a connection.

Each connection is fresh, brings one envelope and its receipt, and is gone within some two dozen
packets. Envelopes that are small enough for that go first.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from heliograph import http_envelope
from heliograph.v1 import intake_pb2
from heliograph_agent.net import Trace
from heliograph_agent.uplink.channel import DoorError, Reason
from heliograph_agent.uplink.plan_download import News, Word
from heliograph_agent.uplink.send_window import MAX_HOLD_S
from heliograph_agent.uplink.session import RETRY_S, SETTLED, Party, settle, spool_trouble
from heliograph_agent.uplink.single_post import Lone
from heliograph_agent.uplink.transports import SMALL, Rung

LOOK_AGAIN_S = 30.0  # while a backlog waits for its time
LOOK = 64  # envelopes of which the next is chosen
PATIENCE = 4  # answers in a row that settle nothing, until a relay is no way


class Posting:
    """Made anew each time that this way is taken."""

    def __init__(
        self,
        party: Party,
        rung: Rung,
        post: Callable[[Lone, Trace], Awaitable[intake_pb2.SubmitResponse]],
        idle: asyncio.Event,
        *,
        news: News,
        word: Word,
        tried: Callable[[Trace], None],
        held: Callable[[], None],
    ) -> None:
        self._party, self._rung, self._post = party, rung, post
        self._news, self._word, self._tried, self._held = news, word, tried, held
        self._idle = idle
        self._unsettled = 0
        self._work = asyncio.Event()
        self._leaving = False
        self._hold_until_us = 0
        self._held_back = False  # something lies in the spool whose time has not come

    def wake(self) -> None:
        """There may be something new in the spool."""
        self._idle.clear()
        self._work.set()

    def leave(self, reason: str) -> None:
        """Nobody is told: there is no session that could be said goodbye to."""
        del reason
        self._leaving = True
        self._work.set()

    async def run(self, probe_in_s: Callable[[], float | None]) -> None:
        """Until told to leave, or until a better way is to be tried. Raises DoorError."""
        while not self._leaving:
            left_s = probe_in_s()
            if left_s is not None and left_s <= 0:
                return
            self._work.clear()
            envelope = None if self._on_hold_s() else await self._next()
            if envelope is None:
                await self._rest(left_s)
            else:
                await self._deliver(*envelope)

    async def _rest(self, left_s: float | None) -> None:
        """Until there is work, or something else to do."""
        hold_s = self._on_hold_s()
        if not hold_s and not self._held_back and not self._work.is_set():
            self._idle.set()
        waits = [wait for wait in (left_s, hold_s, LOOK_AGAIN_S * self._held_back) if wait]
        with suppress(TimeoutError):
            async with asyncio.timeout(min(waits, default=None)):
                await self._work.wait()

    def _on_hold_s(self) -> float:
        return max(0.0, (self._hold_until_us - self._party.clock.monotonic_us()) / 1e6)

    async def _next(self) -> tuple[int, bytes] | None:
        """The first small one of those that are due, else the first."""
        with spool_trouble():
            while waiting := await self._waiting():
                small = (each for each in waiting if len(each[1]) <= SMALL)
                chosen = next(small, waiting[0])
                if await self._party.spool.offer([chosen[0]]):
                    return chosen
        return None

    async def _waiting(self) -> list[tuple[int, bytes]]:
        """After a long time away one of a backlog finds out whether anybody is there at all."""
        returning, spool = self._party.returning, self._party.spool
        if returning is None:
            return await spool.waiting(LOOK)
        held_to = await returning.held_to(spool)
        found = await spool.waiting(LOOK, held_to)
        self._held_back = bool(held_to)
        return found if found or returning.was_met else await spool.waiting(1)

    async def _deliver(self, sequence: int, envelope: bytes) -> None:
        """Raises DoorError."""
        trace = Trace(self._party.clock)
        place = http_envelope.ELSEWHERE if self._rung.proxied else ""
        try:
            response = await self._post(Lone(envelope, self._news.held(), place), trace)
        finally:
            self._tried(trace)
        receipt = self._word(envelope, response)
        if receipt.sequence not in (0, sequence):
            raise DoorError(Reason.REFUSED)
        self._news.take(response)
        self._is_heard(receipt)
        if self._party.returning is not None and not self._unsettled:
            with spool_trouble():
                await self._party.returning.met(self._party.spool)
        if not await settle(self._party, sequence, receipt):
            wait_s = min(receipt.retry_after_s or RETRY_S, MAX_HOLD_S)
            self._hold_until_us = self._party.clock.monotonic_us() + wait_s * 1_000_000

    def _is_heard(self, receipt: intake_pb2.Receipt) -> None:
        """A relay that brings no word of the collector is not the collector. Raises DoorError."""
        if self._rung.by_relay and receipt.status not in SETTLED:
            self._unsettled += 1
            if self._unsettled >= PATIENCE:
                raise DoorError(Reason.NO_ANSWER)
            return
        self._unsettled = 0
        self._party.heard()
        self._held()
