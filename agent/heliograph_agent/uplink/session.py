"""Run one session with the collector: hello, heartbeats, envelopes and receipts.

The collector sends a challenge, and the hello signs it for this collector alone. Then one loop
receives, one sends heartbeats, and one sends envelopes within the SendWindow. `leave` delivers what
it can in bounded time and sends a goodbye, and `run` returns. Every other end raises UplinkError:
an error of the stream, MAX_SILENT_HEARTBEATS without a message, an overdue receipt, or an unusable
spool. Only a receipt settles an envelope in the spool, so the next session sends unsettled ones
again.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from heliograph import keys
from heliograph.clock import Clock
from heliograph.error_group import find_first_error
from heliograph.receipts import CLONED, STATUS_NAMES
from heliograph.v1 import envelope_pb2, intake_pb2, plan_pb2
from heliograph_agent.spool import Spool, SpoolError
from heliograph_agent.state import Collector, State
from heliograph_agent.uplink.channel import CONNECT_S, MessageStream
from heliograph_agent.uplink.clock_offset import ClockExchange, ClockFilter
from heliograph_agent.uplink.dial_context import DialContext
from heliograph_agent.uplink.hello import SessionFacts, build_hello
from heliograph_agent.uplink.reconnection import ReconnectDelay
from heliograph_agent.uplink.send_window import SendWindow
from heliograph_agent.uplink.transports import Reason, UplinkError

RETRY_S = 30  # when a `retry` of the collector names no time
UPGRADE_RETRY_S = 3_600  # assumed; until a collector of an earlier version is asked again
MAX_REASON = 64
MAX_SILENT_HEARTBEATS = 3  # without any message from the collector, a session is dead
GOODBYE_S = 0.3  # for each of the two steps of a clean stop
FOR_GOOD = ("leave", "erase")  # the second asks the collector to forget this agent
FOR_GOOD_S = 5.0  # the same for `leave`, which is not urgent
MIN_HEARTBEAT_S = 1
MAX_HEARTBEAT_S = 300


def needs_newer_collector(status: str, reason: str) -> bool:
    """Return whether a collector refused an envelope that a later version of it takes."""
    return status == "rejected" and reason == "unknown_version"


async def record_receipt(
    context: "UplinkContext", sequence: int, receipt: intake_pb2.Receipt
) -> int:
    """Record a receipt; return 0, or the seconds until the next try.

    Raises UplinkError.
    """
    status = STATUS_NAMES.get(receipt.status)
    if status is None:
        return receipt.retry_after_s or RETRY_S
    if needs_newer_collector(status, receipt.reason):
        return UPGRADE_RETRY_S
    reason = receipt.reason[:MAX_REASON]
    with convert_spool_errors():
        await context.spool.record_receipt(sequence, status, reason)
    if status == "rejected":
        context.agent.note_rejection(sequence, reason)
    elif reason == CLONED:
        context.agent.note_advice(CLONED)
    return 0


@contextmanager
def convert_spool_errors() -> Iterator[None]:
    """Convert SpoolError, because no transport works without the spool."""
    try:
        yield
    except SpoolError as error:
        raise UplinkError(Reason.SPOOL) from error


class SessionAgent(Protocol):
    """Declare the needs of a session from its agent."""

    @property
    def agent_id(self) -> bytes: ...

    def session_facts(self) -> SessionFacts: ...

    async def sign(self, context: bytes, message: bytes) -> bytes: ...

    def answer_renewal(self, renewed: intake_pb2.Renewed) -> intake_pb2.Renewal | None:
        """Answer a message about this agent's key, in another thread."""
        ...

    def take_plan(self, signed: plan_pb2.SignedPlan) -> None:
        """Verify and store a plan that the collector sent."""
        ...

    def take_early_runs(self, asked: intake_pb2.EarlyRuns) -> None:
        """Run tasks of the plan sooner, as far as plan and allowance permit."""
        ...

    def take_findings(self, findings: intake_pb2.Findings) -> None: ...

    async def prepare_word(self) -> bool:
        """Measure the anchors after a session broke, and seal their result.

        Return whether the network works, so that another transport can report the loss.
        """
        ...

    def take_visits(self, signed: intake_pb2.SignedVisitOrder) -> None:
        """Verify an order for visits, and queue them; a volunteer's agent ignores it."""
        ...

    def note_advice(self, reason: str) -> None: ...

    def stretch_intervals(self, percent: int) -> None:
        """Run all but the anchors at these percentages of their intervals, for a while."""
        ...

    def note_rejection(self, sequence: int, reason: str) -> None:
        """Note that the collector refused an envelope for good."""
        ...


class ReplyListener(Protocol):
    """Declare what a transport calls when the collector has answered."""

    def note_reply(self) -> None: ...


@dataclass(slots=True, kw_only=True)
class UplinkContext:
    """Hold what the attempts of one uplink share."""

    agent: SessionAgent
    state: State
    spool: Spool
    dial_context: DialContext
    reconnect_delay: ReconnectDelay
    offsets: ClockFilter = field(default_factory=ClockFilter)
    idle_event: asyncio.Event = field(default_factory=asyncio.Event)  # no envelope is under way

    @property
    def clock(self) -> Clock:
        return self.dial_context.clock

    def read_collector(self) -> Collector:
        """Read the enrolled collector. Raises UplinkError without one, StateError."""
        collector = self.state.collector()
        if collector is None:
            raise UplinkError(Reason.UNKNOWN_AGENT)
        return collector


class UplinkSession:
    """Run one session on one channel.

    The collector's side is heliograph_collector.ingest.grpc.service.IntakeService.
    """

    def __init__(
        self, context: UplinkContext, listener: ReplyListener, heartbeat_s: int, entrance: int
    ) -> None:
        """Create a session by the entrance with this tag, 0 for an unnamed one."""
        self._context = context
        self._entrance = entrance
        self._agent = context.agent
        self._clock = context.clock
        self._listener = listener
        self._heartbeat_s = _clamp_heartbeat(heartbeat_s)
        self._window = SendWindow()
        # Wall time in a heartbeat → monotonic time of sending.
        self._heartbeat_times: dict[int, int] = {}
        self._work_event = asyncio.Event()
        self._leave_event = asyncio.Event()
        self._leave_reason = ""

    def wake(self) -> None:
        """Check the spool for new envelopes."""
        self._context.idle_event.clear()
        self._work_event.set()

    def leave(self, reason: str) -> None:
        """Deliver ready results, send a goodbye, and let `run` return."""
        self._leave_reason = self._leave_reason or reason
        self.wake()
        self._leave_event.set()

    async def run(self, stream: MessageStream) -> None:
        """Run until `leave`. Raises UplinkError with the reason of any other end."""
        try:
            await self._open(stream)
            await self._run_tasks(stream)
        finally:
            stream.cancel()

    async def _open(self, stream: MessageStream) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                message = await stream.receive()
                if len(message.challenge.nonce) != 32:
                    raise UplinkError(Reason.REFUSED)
                hello = await self._make_hello(message.challenge.nonce)
                await stream.send(intake_pb2.AgentMessage(hello=hello))
        except TimeoutError as error:
            raise UplinkError(Reason.NO_ANSWER) from error

    async def _make_hello(self, nonce: bytes) -> intake_pb2.Hello:
        facts = self._agent.session_facts()
        context = keys.bind_context(keys.HELLO, self._context.read_collector().pin)
        signature = await self._agent.sign(context, nonce)
        return build_hello(self._agent.agent_id, signature, facts, self._entrance)

    async def _run_tasks(self, stream: MessageStream) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._receive_loop(stream)),
                    group.create_task(self._heartbeat_loop(stream)),
                    group.create_task(self._send_loop(stream)),
                ]
                await self._say_goodbye(stream)
                for task in tasks:
                    task.cancel()
        except BaseExceptionGroup as group:
            uplink_errors, others = group.split(UplinkError)
            if uplink_errors is None or others is not None:
                raise
            raise find_first_error(uplink_errors) from uplink_errors

    async def _receive_loop(self, stream: MessageStream) -> None:
        while True:
            try:
                async with asyncio.timeout(MAX_SILENT_HEARTBEATS * self._heartbeat_s):
                    message = await stream.receive()
            except TimeoutError as error:
                raise UplinkError(Reason.NO_ANSWER) from error
            self._listener.note_reply()
            await self._handle_message(message, stream)

    async def _handle_message(
        self, message: intake_pb2.CollectorMessage, stream: MessageStream
    ) -> None:
        match message.WhichOneof("message"):
            case "ack":
                for receipt in message.ack.receipts:
                    await self._process_receipt(receipt)
                self._work_event.set()
            case "plan":
                self._agent.take_plan(message.plan)
            case "visits" | "early_runs" | "findings":
                self._handle_order(message)
            case "clock":
                self._handle_clock(message.clock)
            case "advice":
                self._handle_advice(message.advice)
            case "renewed":
                await self._answer_renewal(message.renewed, stream)

    def _handle_order(self, message: intake_pb2.CollectorMessage) -> None:
        if message.HasField("visits"):
            self._agent.take_visits(message.visits)
        elif message.HasField("findings"):
            self._agent.take_findings(message.findings)
        else:
            self._agent.take_early_runs(message.early_runs)

    async def _answer_renewal(self, renewed: intake_pb2.Renewed, stream: MessageStream) -> None:
        renewal = await asyncio.to_thread(self._agent.answer_renewal, renewed)
        if renewal is not None:
            await stream.send(intake_pb2.AgentMessage(renewal=renewal))

    async def _process_receipt(self, receipt: intake_pb2.Receipt) -> None:
        # 0 means an envelope that could not be opened. Receipts come in the order of sending.
        sequence = receipt.sequence or self._window.oldest
        if sequence not in self._window:
            return
        # Remove it from the spool first, because `_send_batch` could list it again.
        wait_s = await record_receipt(self._context, sequence, receipt)
        if wait_s:
            self._pause_sending(wait_s)
        self._window.remove(sequence)

    def _handle_clock(self, clock: intake_pb2.Clock) -> None:
        sent_us = self._heartbeat_times.pop(clock.heartbeat_sent_us, None)
        if sent_us is not None:
            now_us = self._clock.monotonic_us()
            exchange = ClockExchange(sent_us, clock.received_us, clock.sent_us, now_us)
            self._context.offsets.add(exchange)

    def _handle_advice(self, advice: intake_pb2.Advice) -> None:
        self._agent.note_advice(advice.reason)
        if advice.heartbeat_s:
            self._heartbeat_s = _clamp_heartbeat(advice.heartbeat_s)
        if advice.interval_percent:
            self._agent.stretch_intervals(advice.interval_percent)
        if advice.retry_after_s:
            self._pause_sending(advice.retry_after_s)

    def _pause_sending(self, seconds: int) -> None:
        self._window.pause(self._clock.monotonic_us(), seconds)

    async def _heartbeat_loop(self, stream: MessageStream) -> None:
        while True:
            queued = (await self._context.spool.read_counts()).waiting
            facts = self._agent.session_facts()
            sent_us = self._clock.wall_us()
            heartbeat = intake_pb2.Heartbeat(
                sent_us=sent_us,
                queued=queued,
                link=facts.link,
                epoch=facts.epoch,
                on_battery=facts.on_battery,
            )
            while len(self._heartbeat_times) > MAX_SILENT_HEARTBEATS:
                self._heartbeat_times.pop(next(iter(self._heartbeat_times)))
            self._heartbeat_times[sent_us] = self._clock.monotonic_us()
            await stream.send(intake_pb2.AgentMessage(heartbeat=heartbeat))
            await asyncio.sleep(self._heartbeat_s)

    async def _send_loop(self, stream: MessageStream) -> None:
        while True:
            self._work_event.clear()
            pause_s = self._window.pause_left_s(self._clock.monotonic_us())
            if not pause_s:
                await self._send_batch(stream)
            if self._window.is_overdue(self._clock.monotonic_us()):
                raise UplinkError(Reason.NO_ANSWER)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s or self._heartbeat_s):
                    await self._work_event.wait()

    async def _send_batch(self, stream: MessageStream) -> None:
        room = self._window.free_slots()
        if not room:
            return
        spool = self._context.spool
        delay = self._context.reconnect_delay
        in_flight = set(self._window)  # before the spool is read, because receipts arrive meanwhile
        with convert_spool_errors():
            await delay.record_reply(spool)  # the session is open
            skip_through = await delay.skip_through(spool)
            waiting = await spool.list_waiting(room + len(in_flight), skip_through)
            selected = [w for w in waiting if w[0] not in in_flight][:room]
            offered = await spool.mark_offered([sequence for sequence, _ in selected])
        for sequence, envelope in (w for w in selected if w[0] in offered):
            self._window.record_sent(sequence, self._clock.monotonic_us())
            message = envelope_pb2.Envelope.FromString(envelope)
            await stream.send(intake_pb2.AgentMessage(envelope=message))
        has_new = self._work_event.is_set()  # a batch was closed meanwhile
        if not has_new and not waiting and not skip_through and not len(self._window):
            self._context.idle_event.set()

    async def _say_goodbye(self, stream: MessageStream) -> None:
        """Wait for `leave`, then deliver and send a goodbye in bounded time."""
        await self._leave_event.wait()
        step_s = FOR_GOOD_S if self._leave_reason in FOR_GOOD else GOODBYE_S
        with suppress(TimeoutError):  # the next session sends the rest
            async with asyncio.timeout(step_s):
                await self._context.idle_event.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(step_s):
                goodbye = intake_pb2.Goodbye(reason=self._leave_reason)
                await stream.send(intake_pb2.AgentMessage(goodbye=goodbye))
                await stream.close()


def _clamp_heartbeat(heartbeat_s: int) -> int:
    return min(max(heartbeat_s, MIN_HEARTBEAT_S), MAX_HEARTBEAT_S)
