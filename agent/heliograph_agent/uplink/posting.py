"""The way for networks where no session lives: one sealed envelope a connection.

Each connection is fresh, brings one envelope and its receipt, and is gone within some two dozen
packets. Envelopes that are small enough for that go first.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from google.protobuf.message import DecodeError

from heliograph.failure import Failure, Operation
from heliograph.plan import Entrance
from heliograph.v1 import intake_pb2
from heliograph_agent.net import Seen, Stream, Trace
from heliograph_agent.net.http import Exchange
from heliograph_agent.net.scrub import Scrubber
from heliograph_agent.net.step import Step
from heliograph_agent.uplink.door import DoorError, Reason
from heliograph_agent.uplink.reach import Found
from heliograph_agent.uplink.receipts import RETRY_S, settle, spool_trouble
from heliograph_agent.uplink.rung import SMALL
from heliograph_agent.uplink.session import Party
from heliograph_agent.uplink.window import MAX_HOLD_S

LOOK = 64  # envelopes of which the next is chosen
HTTP_S = 12.0  # from the request's first byte to the receipt
MAX_ANSWER = 4_096
_HEADERS = {
    "Content-Type": "application/x-protobuf",
    "User-Agent": "Mozilla/5.0",  # shorter than a browser's, and read by the collector alone
    "Accept": "*/*",
    "Accept-Language": "en",
}


class Posting:
    """Made anew each time that this way is taken."""

    def __init__(
        self,
        party: Party,
        entrance: Entrance,
        find: Callable[[Trace], Awaitable[Found]],
        scrub: Callable[[], Scrubber],
        idle: asyncio.Event,
        *,
        elsewhere: bool,
        tried: Callable[[Trace], None],
        held: Callable[[], None],
    ) -> None:
        self._party, self._entrance, self._find = party, entrance, find
        self._scrub, self._tried, self._held = scrub, tried, held
        self._headers = _HEADERS | ({"Heliograph-Place": "elsewhere"} if elsewhere else {})
        self._idle = idle
        self._work = asyncio.Event()
        self._leaving = False
        self._hold_until_us = 0

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
        if not hold_s:
            self._idle.set()
        waits = [wait for wait in (left_s, hold_s) if wait]
        with suppress(TimeoutError):
            async with asyncio.timeout(min(waits, default=None)):
                await self._work.wait()

    def _on_hold_s(self) -> float:
        return max(0.0, (self._hold_until_us - self._party.clock.monotonic_us()) / 1e6)

    async def _next(self) -> tuple[int, bytes] | None:
        """The first small one of those that are due, else the first."""
        with spool_trouble():
            waiting = await self._party.spool.waiting(LOOK)
        small = (each for each in waiting if len(each[1]) <= SMALL)
        return next(small, waiting[0] if waiting else None)

    async def _deliver(self, sequence: int, envelope: bytes) -> None:
        """Raises DoorError."""
        trace = Trace(self._party.clock)
        try:
            receipt = await self._post(envelope, trace)
        finally:
            self._tried(trace)
        if receipt.sequence not in (0, sequence):
            raise DoorError(Reason.REFUSED)
        self._party.heard()
        self._held()
        if not await settle(self._party, sequence, receipt):
            wait_s = min(receipt.retry_after_s or RETRY_S, MAX_HOLD_S)
            self._hold_until_us = self._party.clock.monotonic_us() + wait_s * 1_000_000

    async def _post(self, envelope: bytes, trace: Trace) -> intake_pb2.Receipt:
        found = await self._find(trace)
        try:
            return await self._exchange(found.stream, envelope, trace)
        finally:
            found.stream.close()

    async def _exchange(self, stream: Stream, envelope: bytes, trace: Trace) -> intake_pb2.Receipt:
        host = self._entrance.server_name or self._entrance.host
        host = f"[{host}]" if ":" in host else host
        exchange = Exchange(
            stream.reader,
            stream.writer,
            f"https://{host}/v1/envelopes",
            method="POST",
            headers=self._headers,
            content=envelope,
            keep=MAX_ANSWER,
        )

        async def ask() -> None:
            await exchange.round_trip()
            await exchange.read_body(MAX_ANSWER)

        step = Step(trace, self._scrub(), Operation.HTTP_ROUND_TRIP, stream.seen, "")
        seen = await step.take(ask, HTTP_S, lambda: {"http": exchange.whole(MAX_ANSWER)})
        if not seen.ok:
            raise DoorError(_reason(seen))
        return _receipt(bytes(exchange.body))


def _reason(seen: Seen) -> Reason:
    late = seen.observation.failure is Failure.GENERIC_TIMEOUT_ERROR
    return Reason.NO_ANSWER if late else Reason.UNREACHABLE


def _receipt(body: bytes) -> intake_pb2.Receipt:
    """Raises DoorError: whatever answers there is no collector's door."""
    try:
        receipt = intake_pb2.SubmitResponse.FromString(body).receipt
    except DecodeError as error:
        raise DoorError(Reason.REFUSED) from error
    if receipt.status == intake_pb2.STATUS_UNSPECIFIED:
        raise DoorError(Reason.REFUSED)
    return receipt
