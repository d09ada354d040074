"""One session: hello, heartbeats and envelopes one way, receipts, plan and clock the other.

It ends by raising DoorError, or by returning after a goodbye. A receipt settles its envelope in the
spool; nothing else does, so whatever was under way when a session died is sent again by the next.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliograph import __version__, keys
from heliograph.clock import Clock
from heliograph.http_envelope import PLACE
from heliograph.observation import Access, Link
from heliograph.v1 import envelope_pb2, intake_pb2, plan_pb2
from heliograph_agent.spool import Spool
from heliograph_agent.uplink.attempt_log import Keep, nobody_asks
from heliograph_agent.uplink.channel import CONNECT_S, DoorError, Reason
from heliograph_agent.uplink.clock_offset import ClockFilter, Exchange
from heliograph_agent.uplink.reconnect_delay import Returning
from heliograph_agent.uplink.send_window import Window

if TYPE_CHECKING:
    from heliograph.v1.intake_pb2_grpc import IntakeAsyncStub
from typing import TYPE_CHECKING

from heliograph_agent.uplink.channel import refusal

if TYPE_CHECKING:
    import grpc

    Call = grpc.aio.StreamStreamCall[intake_pb2.AgentMessage, intake_pb2.CollectorMessage]
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from heliograph.v1 import intake_pb2
from heliograph_agent.spool import SpoolError

RETRY_S = 30  # when the collector says "retry" and not when
MAX_REASON = 64
SETTLED = {
    intake_pb2.STATUS_STORED: "stored",
    intake_pb2.STATUS_DUPLICATE: "duplicate",
    intake_pb2.STATUS_REJECTED: "rejected",
}


async def settle(party: "Party", sequence: int, receipt: intake_pb2.Receipt) -> bool:
    """Whether it settled the envelope; else it is to be sent again later. Raises DoorError."""
    status = SETTLED.get(receipt.status)
    if status is None:
        return False
    with spool_trouble():
        await party.spool.settle(sequence, status, receipt.reason[:MAX_REASON])
    if status == "rejected":
        party.rejected(sequence, receipt.reason[:MAX_REASON])
    return True


@contextmanager
def spool_trouble() -> Iterator[None]:
    """No way goes on without the spool; the agent can."""
    try:
        yield
    except SpoolError as error:
        raise DoorError(Reason.SPOOL) from error


class Wire:
    """One writer at a time, as gRPC wants it."""

    def __init__(self, call: "Call") -> None:
        import grpc

        self._call = call
        self._error = grpc.aio.AioRpcError
        self._eof = grpc.aio.EOF
        self._writing = asyncio.Lock()

    async def say(self, message: intake_pb2.AgentMessage) -> None:
        """Raises DoorError."""
        try:
            async with self._writing:
                await self._call.write(message)
        except self._error as error:
            raise refusal(error) from error
        except asyncio.InvalidStateError as error:  # the stream has ended under our hands
            raise DoorError(Reason.ENDED) from error

    async def hear(self) -> intake_pb2.CollectorMessage:
        """Raises DoorError, also when the collector ends the stream."""
        try:
            message = await self._call.read()
        except self._error as error:
            raise refusal(error) from error
        if message is self._eof:
            raise DoorError(Reason.ENDED)
        if not isinstance(message, intake_pb2.CollectorMessage):
            raise DoorError(Reason.REFUSED)  # gRPC gives None for bytes it could not parse
        return message

    async def hang_up(self) -> None:
        """Say that nothing more is coming and wait for the collector to end the stream."""
        async with self._writing:
            await self._call.done_writing()
        await self._call.code()

    def drop(self) -> None:
        self._call.cancel()


SILENT_BEATS = 3  # heartbeats without any word from the collector: the session is dead
GOODBYE_S = 0.3  # each of the two steps of a clean stop …
FOR_GOOD_S = 5.0  # … and of one that leaves the collector, which nobody waits for by the second
MIN_BEAT_S, MAX_BEAT_S = 1, 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the agent says of itself in hello and heartbeat."""

    boot: str
    epoch: str = ""
    link: Link = Link.UNKNOWN
    country: str = ""
    region: str = ""
    access: Access = Access.UNKNOWN
    plan_version: int = 0
    charter_version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Who speaks, and whom the session tells what it hears."""

    agent: bytes
    sign: Callable[[bytes, bytes], Awaitable[bytes]]  # context, message
    spool: Spool
    clock: Clock
    facts: Callable[[], Facts]
    take_plan: Callable[[plan_pb2.SignedPlan], None]
    heard: Callable[[], None]  # the collector answered something
    rejected: Callable[[int, str], None]  # envelope, reason
    attempted: Keep = nobody_asks  # what was tried on each way
    renew: Callable[[intake_pb2.Renewed], intake_pb2.Renewal | None] = lambda _: None
    advised: Callable[[str], None] = lambda _: None  # the reason
    returning: Returning | None = None  # what waits after a long time away; None for nothing


class Session:
    """Made anew for every channel."""

    def __init__(
        self, party: Party, offsets: ClockFilter, heartbeat_s: int, idle: asyncio.Event
    ) -> None:
        self._party = party
        self._offsets = offsets
        self._beat_s = _bounded(heartbeat_s)
        self._window = Window()
        self._beats: dict[int, int] = {}  # wall time in a heartbeat → monotonic time of sending
        self._work = asyncio.Event()
        self._idle = idle  # set while nothing waits for a receipt
        self._bye = asyncio.Event()
        self._bye_reason = ""

    def wake(self) -> None:
        """There may be something new in the spool."""
        self._idle.clear()
        self._work.set()

    def leave(self, reason: str) -> None:
        """Deliver what is at hand, say goodbye, return."""
        self._bye_reason = self._bye_reason or reason
        self.wake()
        self._bye.set()

    async def run(self, stub: "IntakeAsyncStub", place: str = "") -> None:
        """Raises DoorError with the reason, unless it was told to leave. `place` is what the peer's
        address says of ours: posted.ELSEWHERE for nothing."""
        wire = Wire(stub.Session(metadata=((PLACE, place),) if place else ()))
        try:
            await self._greet(wire)
            await self._converse(wire)
        finally:
            wire.drop()

    async def _greet(self, wire: Wire) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                message = await wire.hear()
                if len(message.challenge.nonce) != 32:
                    raise DoorError(Reason.REFUSED)
                hello = await self._hello(message.challenge.nonce)
                await wire.say(intake_pb2.AgentMessage(hello=hello))
        except TimeoutError as error:
            raise DoorError(Reason.NO_ANSWER) from error

    async def _hello(self, nonce: bytes) -> intake_pb2.Hello:
        facts = self._party.facts()
        return intake_pb2.Hello(
            agent=self._party.agent,
            signature=await self._party.sign(keys.HELLO, nonce),
            agent_version=__version__,
            plan_version=facts.plan_version,
            epoch=facts.epoch,
            country=facts.country,
            region=facts.region,
            access=facts.access,
            boot=facts.boot,
            charter_version=facts.charter_version,
        )

    async def _converse(self, wire: Wire) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                voices = [
                    group.create_task(self._listen(wire)),
                    group.create_task(self._beat(wire)),
                    group.create_task(self._ship(wire)),
                ]
                await self._farewell(wire)
                for voice in voices:
                    voice.cancel()
        except BaseExceptionGroup as group:
            ours, others = group.split(DoorError)
            if ours is None or others is not None:
                raise
            raise _first(ours) from ours

    async def _listen(self, wire: Wire) -> None:
        while True:
            try:
                async with asyncio.timeout(SILENT_BEATS * self._beat_s):
                    message = await wire.hear()
            except TimeoutError as error:
                raise DoorError(Reason.NO_ANSWER) from error
            self._party.heard()
            await self._take(message, wire)

    async def _take(self, message: intake_pb2.CollectorMessage, wire: Wire) -> None:
        match message.WhichOneof("message"):
            case "ack":
                for receipt in message.ack.receipts:
                    await self._settle(receipt)
                self._work.set()
            case "plan":
                self._party.take_plan(message.plan)
            case "clock":
                self._take_clock(message.clock)
            case "advice":
                self._take_advice(message.advice)
            case "renewed":
                renewal = await asyncio.to_thread(self._party.renew, message.renewed)
                if renewal is not None:
                    await wire.say(intake_pb2.AgentMessage(renewal=renewal))

    async def _settle(self, receipt: intake_pb2.Receipt) -> None:
        # 0 is one that could not be opened: receipts come in the order in which we sent.
        sequence = receipt.sequence or self._window.oldest
        if sequence not in self._window:
            return
        # Out of the spool first: else it could be taken from there again.
        if not await settle(self._party, sequence, receipt):
            self._hold(receipt.retry_after_s or RETRY_S)
        self._window.settle(sequence)

    def _take_clock(self, clock: intake_pb2.Clock) -> None:
        sent_us = self._beats.pop(clock.heartbeat_sent_us, None)
        if sent_us is not None:
            now_us = self._party.clock.monotonic_us()
            self._offsets.add(Exchange(sent_us, clock.received_us, clock.sent_us, now_us))

    def _take_advice(self, advice: intake_pb2.Advice) -> None:
        self._party.advised(advice.reason)
        if advice.heartbeat_s:
            self._beat_s = _bounded(advice.heartbeat_s)
        if advice.retry_after_s:
            self._hold(advice.retry_after_s)

    def _hold(self, seconds: int) -> None:
        self._window.hold(self._party.clock.monotonic_us(), seconds)

    async def _beat(self, wire: Wire) -> None:
        while True:
            queued = (await self._party.spool.counts()).waiting
            facts, sent_us = self._party.facts(), self._party.clock.wall_us()
            beat = intake_pb2.Heartbeat(
                sent_us=sent_us, queued=queued, link=facts.link, epoch=facts.epoch
            )
            while len(self._beats) > SILENT_BEATS:
                self._beats.pop(next(iter(self._beats)))
            self._beats[sent_us] = self._party.clock.monotonic_us()
            await wire.say(intake_pb2.AgentMessage(heartbeat=beat))
            await asyncio.sleep(self._beat_s)

    async def _ship(self, wire: Wire) -> None:
        while True:
            self._work.clear()
            held_s = self._window.held_s(self._party.clock.monotonic_us())
            if not held_s:
                await self._ship_some(wire)
            if self._window.overdue(self._party.clock.monotonic_us()):
                raise DoorError(Reason.NO_ANSWER)
            with suppress(TimeoutError):
                async with asyncio.timeout(held_s or self._beat_s):
                    await self._work.wait()

    async def _ship_some(self, wire: Wire) -> None:
        room = self._window.room()
        if not room:
            return
        under_way = set(self._window)  # as of before the look: some are settled while we look
        with spool_trouble():
            held_to = await self._held_to()
            waiting = await self._party.spool.waiting(room + len(under_way), held_to)
            chosen = [w for w in waiting if w[0] not in under_way][:room]
            there = await self._party.spool.offer([sequence for sequence, _ in chosen])
        for sequence, envelope in (w for w in chosen if w[0] in there):
            self._window.sent(sequence, self._party.clock.monotonic_us())
            message = envelope_pb2.Envelope.FromString(envelope)
            await wire.say(intake_pb2.AgentMessage(envelope=message))
        fresh = self._work.is_set()  # something came while we looked
        if not fresh and not waiting and not held_to and not len(self._window):
            self._idle.set()

    async def _held_to(self) -> int:
        returning, spool = self._party.returning, self._party.spool
        if returning is None:
            return 0
        await returning.met(spool)  # we were greeted
        return await returning.held_to(spool)

    async def _farewell(self, wire: Wire) -> None:
        """Wait until told to leave, then go properly, in bounded time."""
        await self._bye.wait()
        step_s = FOR_GOOD_S if self._bye_reason == "leave" else GOODBYE_S
        with suppress(TimeoutError):  # what is not delivered by then, the next session sends
            async with asyncio.timeout(step_s):
                await self._idle.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(step_s):
                goodbye = intake_pb2.Goodbye(reason=self._bye_reason)
                await wire.say(intake_pb2.AgentMessage(goodbye=goodbye))
                await wire.hang_up()


def _bounded(heartbeat_s: int) -> int:
    return min(max(heartbeat_s, MIN_BEAT_S), MAX_BEAT_S)


def _first(group: BaseExceptionGroup[DoorError]) -> DoorError:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, DoorError) else DoorError(Reason.ENDED)
