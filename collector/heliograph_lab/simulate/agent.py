"""Virtual agent: a real key, a real session, and the silences of its script.

It retries like a real agent: with full jitter between attempts, and after three heartbeats without
a message from the collector. While it is cut off, it sends nothing and closes nothing.
"""

import asyncio
import random
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heliograph import keys
from heliograph.backoff import Backoff
from heliograph.error_group import find_first_error
from heliograph.observation import Measurement
from heliograph.v1 import envelope_pb2, plan_pb2
from heliograph.v1 import intake_pb2 as pb
from heliograph_lab.simulate.channel import EnrollmentRefusedError, IntakeConnection
from heliograph_lab.simulate.outbox import VERSION, ResultSealer, name_status
from heliograph_lab.simulate.past_block import PastBlock
from heliograph_lab.simulate.script import Actor, AgentSilence
from heliograph_lab.simulate.worker_context import AgentEnrollment, WorkerContext
from heliograph_lab.simulate.workload import Schedule

if TYPE_CHECKING:
    import grpc

    Call = grpc.aio.StreamStreamCall[pb.AgentMessage, pb.CollectorMessage]

ENROL_S = 30.0
GREET_S = 20.0  # of a handshake, because a collector with thousands of hellos is slow; assumed
RETRY_AFTER_KEY = "retry-after-s"
MAX_WAIT_S = 60.0
RETRIES = Backoff(1.0, MAX_WAIT_S)
SILENT_BEATS = 3
HEARTBEATS_S = (1, 300)  # least and most that an agent takes of an advice; intake.proto, Advice


@dataclass(slots=True, eq=False)
class VirtualAgent:
    """A virtual agent; `address` is the address it claims, "" for its own."""

    actor: Actor
    address: str
    connection: IntakeConnection
    signer: keys.SigningKey
    rng: random.Random
    context: WorkerContext
    schedule: Schedule  # of its measurements; without tasks it sends no envelopes
    outbox: ResultSealer
    plan_version: int = 0
    heard_s: float = 0.0
    heartbeat_s: float = 0.0  # of the present session: the plan's until the collector advises it
    retry_after_s: float = 0.0  # asked by the collector
    is_leaving: bool = False  # after a goodbye, when the end of the stream is expected
    call: "Call | None" = None
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)  # a call takes one write at a time
    awake: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)  # set by its first session
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def id(self) -> bytes:
        return keys.agent_id(self.signer.public)

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("x-forwarded-for", self.address),) if self.address else ()

    async def enroll(self) -> None:
        """Enroll, retrying until accepted. Raises EnrollmentRefusedError."""
        held = self.context.earlier or await self._request_enrollment()
        self.outbox.sealing_key = held.sealing_key
        self.plan_version = held.plan_version
        self.context.heartbeat_s = float(held.heartbeat_s)
        self.context.counters.enrolled += 1

    async def _request_enrollment(self) -> AgentEnrollment:
        import grpc

        token = self.context.tokens[self.actor.control]
        request = pb.EnrolRequest(
            token=token,
            public_key=self.signer.public,
            proof=self.signer.sign(keys.bind_context(keys.ENROL, self.connection.pin), token),
            agent_version=VERSION,
        )
        failures = 0
        while True:
            try:
                answer = await self.connection.stub().Enrol(
                    request, timeout=ENROL_S, metadata=self._metadata
                )
                break
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.PERMISSION_DENIED:
                    raise EnrollmentRefusedError(
                        f"The collector let {self.context.counters.enrolled} of these agents in "
                        f"and no more: {error.details()}. `invite --uses N` makes an invite for N."
                    ) from error
                self.context.counters.count_trouble(f"enrol {error.code().name.lower()}")
            await self.connection.drop()
            failures += 1
            await asyncio.sleep(RETRIES.draw_s(failures, self.rng))
        plan = plan_pb2.Plan.FromString(answer.plan.plan)
        return AgentEnrollment(answer.sealing_key, plan.version, plan.heartbeat_s or 15)

    async def run_until(self, until_s: float) -> None:
        """Run from the first connection to the end of the script, then send a goodbye."""
        self.awake.set()
        self.schedule.start(asyncio.get_running_loop().time())
        async with asyncio.TaskGroup() as group:
            connection_task = group.create_task(self._stay_connected())
            for silence in self.actor.silences:
                if silence.since_s < until_s:
                    await self._sleep_until(silence.since_s)
                    await self._be_silent(silence, until_s)
            await self._sleep_until(until_s)
            await self._end_session("shutdown")
            connection_task.cancel()
        await self.connection.drop()

    async def _sleep_until(self, second: float) -> None:
        zero = await asyncio.shield(self.context.start_time)
        await asyncio.sleep(zero + second - asyncio.get_running_loop().time())

    async def _be_silent(self, silence: AgentSilence, until_s: float) -> None:
        if silence.how in ("away", "killed"):
            await self._end_session("pause" if silence.how == "away" else "")
        self.awake.clear()
        self.context.counters.hushed += 1
        if silence.how == "blocked":
            await self._measure_past_block(silence, until_s)
        await self._sleep_until(min(silence.until_s, until_s))
        dark_s = min(silence.until_s, until_s) - silence.since_s
        if silence.until_s < until_s:  # it returns at its next retry
            await asyncio.sleep(self.rng.uniform(0.0, min(MAX_WAIT_S, dark_s)))
        self.context.counters.hushed -= 1
        self.awake.set()

    async def _measure_past_block(self, silence: AgentSilence, until_s: float) -> None:
        zero_s = await asyncio.shield(self.context.start_time)
        noticed_s = self.heard_s + SILENT_BEATS * (self.heartbeat_s or self.context.heartbeat_s)
        past_block = PastBlock(
            self.schedule, self.outbox, self.context, self.rng, self.address, noticed_s
        )
        await past_block.run_until(
            zero_s + min(silence.until_s, until_s), has_other_way=silence.has_other_way
        )

    async def _end_session(self, reason: str) -> None:
        """Close the session after a goodbye; without a reason as of a program that was killed."""
        import grpc

        call = self.call
        if call is None or not self.awake.is_set():
            return
        self.ended.clear()
        self.is_leaving = True
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
            async with asyncio.timeout(GREET_S):
                async with self.writing:
                    if reason:
                        await call.write(pb.AgentMessage(goodbye=pb.Goodbye(reason=reason)))
                    await call.done_writing()
                await self.ended.wait()
        self.is_leaving = False

    async def _stay_connected(self) -> None:
        """Reconnect whenever the script allows it; never returns."""
        import grpc

        failures = 0
        while True:
            await self.awake.wait()
            before_s = self.heard_s
            self.retry_after_s = 0.0
            try:
                await self._run_session()
            except (grpc.aio.AioRpcError, TimeoutError, asyncio.InvalidStateError) as error:
                if self.awake.is_set() and not self.is_leaving:  # otherwise it is scripted
                    self.context.counters.count_trouble(_error_reason(error))
            self.ended.set()
            await self.connection.drop()
            failures = 1 if self.heard_s > before_s else failures + 1
            if self.awake.is_set():
                await asyncio.sleep(max(self.retry_after_s, RETRIES.draw_s(failures, self.rng)))

    async def _run_session(self) -> None:
        """Run one session to its end. Raises AioRpcError, TimeoutError."""
        call: Call | None = None
        try:
            async with self.context.handshakes:
                call = self.connection.stub().Session(metadata=self._metadata)
                if not await self._handshake(call):
                    return
            await self._run_connected(call)
        finally:
            if call is not None:
                call.cancel()

    async def _run_connected(self, call: "Call") -> None:
        """Count the session and exchange messages. Raises AioRpcError, TimeoutError."""
        counters = self.context.counters
        self.call = call
        counters.hellos += 1
        counters.sessions += 1
        if not self.arrived.is_set():
            counters.arrived += 1
            self.arrived.set()
        try:
            await self._exchange_messages(call)
        finally:
            self.call = None
            counters.sessions -= 1

    async def _handshake(self, call: "Call") -> bool:
        """Answer the challenge; return False if refused. Raises AioRpcError, TimeoutError."""
        async with asyncio.timeout(GREET_S):
            challenge = await call.read()
            if isinstance(challenge, pb.CollectorMessage):
                await call.write(self._build_hello(challenge.challenge.nonce))
                return True
            self.context.counters.count_trouble(f"hello {(await call.code()).name.lower()}")
            self.retry_after_s = _retry_after_s(await call.trailing_metadata() or ())
            return False

    def _build_hello(self, nonce: bytes) -> pb.AgentMessage:
        actor = self.actor
        context = keys.bind_context(keys.HELLO, self.connection.pin)
        hello = pb.Hello(
            agent=self.id,
            signature=self.signer.sign(context, nonce),
            agent_version=VERSION,
            plan_version=self.plan_version,
            epoch="e1",
            country=actor.country,
            region=actor.region,
            access=actor.access,
            boot="b1",
        )
        return pb.AgentMessage(hello=hello)

    async def _exchange_messages(self, call: "Call") -> None:
        """Send and read messages until the end. Raises AioRpcError, TimeoutError."""
        self.heard_s = asyncio.get_running_loop().time()
        self.heartbeat_s = self.context.heartbeat_s
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._send_heartbeats(call))]
                tasks.append(group.create_task(self._send_unsent(call)))
                if self.schedule.rounds:
                    tasks.append(group.create_task(self._measure(call)))
                await self._read_messages(call)
                for task in tasks:
                    task.cancel()
        except BaseExceptionGroup as group_error:
            raise find_first_error(group_error) from None

    async def _read_messages(self, call: "Call") -> None:
        counters = self.context.counters
        while isinstance(message := await call.read(), pb.CollectorMessage):
            self.heard_s = asyncio.get_running_loop().time()
            match message.WhichOneof("message"):
                case "clock":
                    counters.answers += 1
                case "ack":
                    for receipt in message.ack.receipts:
                        counters.count_receipt(name_status(receipt.status))
                case "advice":
                    self._follow_advice(message.advice)

    def _follow_advice(self, advice: pb.Advice) -> None:
        """Follow what the collector asks for, as an agent does."""
        if advice.heartbeat_s:
            least_s, most_s = HEARTBEATS_S
            self.heartbeat_s = float(min(max(advice.heartbeat_s, least_s), most_s))
        if advice.interval_percent:
            self.schedule.stretch(advice.interval_percent, self.heard_s)

    async def _send_heartbeats(self, call: "Call") -> None:
        """Send heartbeats from a random offset, which desynchronizes the fleet.

        Raises TimeoutError after three heartbeats without a message.
        """
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.rng.uniform(0.0, self.heartbeat_s))
        while True:
            if not self.awake.is_set():
                await self.awake.wait()
                self.heard_s = loop.time()
            if loop.time() - self.heard_s > SILENT_BEATS * self.heartbeat_s:
                raise TimeoutError
            sent_us = self.context.clock.wall_us()
            await self._write_message(
                call, pb.AgentMessage(heartbeat=pb.Heartbeat(sent_us=sent_us, link="online"))
            )
            self.context.counters.heartbeats += 1
            await asyncio.sleep(self.heartbeat_s)

    async def _measure(self, call: "Call") -> None:
        """Run due tasks concurrently; never returns."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                await self.awake.wait()
                run = self.schedule.next_run(loop.time())
                await asyncio.sleep(run.at_s - loop.time())
                if self.awake.is_set():  # measurements while cut off are not simulated
                    group.create_task(
                        self._send_envelopes(call, self.context.measure(self.actor, run))
                    )

    async def _send_envelopes(self, call: "Call", result: Measurement) -> None:
        """Send a result in its own envelope once its run time has passed."""
        await asyncio.sleep(result.runtime_us / 1e6 / self.context.speed)
        if not self.awake.is_set():
            return
        await self._send_sealed(call, self.outbox.seal(result))

    async def _send_sealed(self, call: "Call", sealed: bytes) -> None:
        message = envelope_pb2.Envelope.FromString(sealed)
        await self._write_message(call, pb.AgentMessage(envelope=message))

    async def _send_unsent(self, call: "Call") -> None:
        """Send what was measured while our address was blocked."""
        unsent = self.outbox.unsent
        while unsent:
            await self._send_sealed(call, unsent.pop(0))

    async def _write_message(self, call: "Call", message: pb.AgentMessage) -> None:
        """Write a message; only the reader detects an ended stream."""
        import grpc

        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            async with self.writing:
                await call.write(message)


def derive_key(seed: int, number: int) -> tuple[keys.SigningKey, random.Random]:
    """Derive an agent's key and generator; equal seeds give equal agents."""
    rng = random.Random(f"{seed} {number}")  # noqa: S311 - keys of a simulation
    return keys.SigningKey(rng.randbytes(32)), rng


def _retry_after_s(metadata: Iterable[tuple[str, str | bytes]]) -> float:
    delays_s = [float(value) for key, value in metadata if key == RETRY_AFTER_KEY]
    return min(MAX_WAIT_S, *delays_s) if delays_s else 0.0


def _error_reason(error: BaseException) -> str:
    import grpc

    if isinstance(error, grpc.aio.AioRpcError):
        return f"session {error.code().name.lower()}"
    return "session late"
