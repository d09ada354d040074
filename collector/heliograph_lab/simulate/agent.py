"""One virtual agent: a real key, a real session, and the silences that the story has for it.

It is as patient as the real one: full jitter between tries, a session without a word for three
heartbeats is dead. When it is cut off it says nothing and closes nothing.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heliograph import envelope, keys
from heliograph.clock import Clock
from heliograph.v1 import envelope_pb2, plan_pb2
from heliograph.v1 import intake_pb2 as pb
from heliograph_lab.simulate.connection import Line
from heliograph_lab.simulate.counters import Tally
from heliograph_lab.simulate.script import Actor, Silence

if TYPE_CHECKING:
    import grpc

    Call = grpc.aio.StreamStreamCall[pb.AgentMessage, pb.CollectorMessage]

VERSION = "simulate"
ENROL_S = 30.0
GREET_S = 20.0  # a collector under a storm of hellos is slow
KNOCKING = 500  # of one process at once: a fleet has a processor each, and these share one
AGAIN = "retry-after-s"
FIRST_WAIT_S, MOST_WAIT_S = 1.0, 60.0
SILENT_BEATS = 3
Batch = Callable[["Agent", int], envelope_pb2.Batch]


@dataclass(slots=True)
class Stage:
    """What all agents of one process share."""

    tokens: tuple[bytes, bytes]  # of volunteers, of controls
    clock: Clock
    tally: Tally
    batch: Batch
    zero: "asyncio.Future[float]"  # loop time of the story's beginning
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(KNOCKING))
    heartbeat_s: float = 15.0
    ship_every_s: float = 0.0  # 0: no envelopes


@dataclass(slots=True, eq=False)
class Agent:
    """`address` is where it seems to call from, "" for where it does."""

    actor: Actor
    address: str
    line: Line
    signer: keys.SigningKey
    rng: random.Random
    stage: Stage
    sealing: bytes = b""
    plan_version: int = 0
    sequence: int = 0
    heard_s: float = 0.0
    asked_s: float = 0.0  # so long it was told to stay away
    leaving: bool = False  # a goodbye is said, and how the stream ends is nobody's trouble
    call: "Call | None" = None
    awake: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)  # for the first time
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def id(self) -> bytes:
        return keys.agent_id(self.signer.public)

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("x-forwarded-for", self.address),) if self.address else ()

    async def enrol(self) -> None:
        """Until it is let in. Raises grpc.aio.AioRpcError when it is told that it may not."""
        import grpc

        token = self.stage.tokens[self.actor.control]
        request = pb.EnrolRequest(
            token=token,
            public_key=self.signer.public,
            proof=self.signer.sign(keys.ENROL, token),
            agent_version=VERSION,
        )
        failures = 0
        while True:
            try:
                answer = await self.line.stub().Enrol(
                    request, timeout=ENROL_S, metadata=self._metadata
                )
                break
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.PERMISSION_DENIED:
                    raise
                self.stage.tally.trouble(f"enrol {error.code().name.lower()}")
            await self.line.drop()
            failures += 1
            await asyncio.sleep(wait_s(failures, self.rng))
        plan = plan_pb2.Plan.FromString(answer.plan.plan)
        self.sealing, self.plan_version = answer.sealing_key, plan.version
        self.stage.heartbeat_s = float(plan.heartbeat_s or 15)
        self.stage.tally.enrolled += 1

    async def live(self, until_s: float) -> None:
        """From the first connection to the story's end, then a goodbye."""
        self.awake.set()
        async with asyncio.TaskGroup() as group:
            staying = group.create_task(self._stay())
            for silence in self.actor.silences:
                if silence.since_s < until_s:
                    await self._reach(silence.since_s)
                    await self._be_silent(silence, until_s)
            await self._reach(until_s)
            await self._goodbye("shutdown")
            staying.cancel()
        await self.line.drop()

    async def _reach(self, second: float) -> None:
        zero = await asyncio.shield(self.stage.zero)
        await asyncio.sleep(zero + second - asyncio.get_running_loop().time())

    async def _be_silent(self, silence: Silence, until_s: float) -> None:
        if silence.how == "away":
            await self._goodbye("pause")
        self.awake.clear()
        self.stage.tally.hushed += 1
        await self._reach(min(silence.until_s, until_s))
        dark_s = min(silence.until_s, until_s) - silence.since_s
        if silence.until_s < until_s:  # back by its own next try, as long as those are apart
            await asyncio.sleep(self.rng.uniform(0.0, min(MOST_WAIT_S, dark_s)))
        self.stage.tally.hushed -= 1
        self.awake.set()

    async def _goodbye(self, reason: str) -> None:
        import grpc

        call = self.call
        if call is None or not self.awake.is_set():
            return
        self.ended.clear()
        self.leaving = True
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
            async with asyncio.timeout(GREET_S):
                await call.write(pb.AgentMessage(goodbye=pb.Goodbye(reason=reason)))
                await call.done_writing()
                await self.ended.wait()
        self.leaving = False

    async def _stay(self) -> None:
        """Connected whenever it may be; never returns."""
        import grpc

        failures = 0
        while True:
            await self.awake.wait()
            before_s, self.asked_s = self.heard_s, 0.0
            try:
                await self._session()
            except (grpc.aio.AioRpcError, TimeoutError, asyncio.InvalidStateError) as error:
                if self.awake.is_set() and not self.leaving:  # else that is the story
                    self.stage.tally.trouble(_word(error))
            self.ended.set()
            await self.line.drop()
            failures = 1 if self.heard_s > before_s else failures + 1
            if self.awake.is_set():
                await asyncio.sleep(max(self.asked_s, wait_s(failures, self.rng)))

    async def _session(self) -> None:
        """Raises AioRpcError, TimeoutError."""
        call: Call | None = None
        try:
            async with self.stage.turns:
                call = self.line.stub().Session(metadata=self._metadata)
                if not await self._greeted(call):
                    return
            await self._visit(call)
        finally:
            if call is not None:
                call.cancel()

    async def _visit(self, call: "Call") -> None:
        """Raises AioRpcError, TimeoutError."""
        tally = self.stage.tally
        self.call = call
        tally.hellos += 1
        tally.sessions += 1
        if not self.arrived.is_set():
            tally.arrived += 1
            self.arrived.set()
        try:
            await self._converse(call)
        finally:
            self.call = None
            tally.sessions -= 1

    async def _greeted(self, call: "Call") -> bool:
        """Whether it was challenged and has answered. Raises AioRpcError, TimeoutError."""
        async with asyncio.timeout(GREET_S):
            challenge = await call.read()
            if isinstance(challenge, pb.CollectorMessage):
                await call.write(self._hello(challenge.challenge.nonce))
                return True
            self.stage.tally.trouble(f"hello {(await call.code()).name.lower()}")
            self.asked_s = _asked_s(await call.trailing_metadata() or ())
            return False

    def _hello(self, nonce: bytes) -> pb.AgentMessage:
        actor = self.actor
        hello = pb.Hello(
            agent=self.id,
            signature=self.signer.sign(keys.HELLO, nonce),
            agent_version=VERSION,
            plan_version=self.plan_version,
            epoch="e1",
            country=actor.country,
            region=actor.region,
            access=actor.access,
            boot="b1",
        )
        return pb.AgentMessage(hello=hello)

    async def _converse(self, call: "Call") -> None:
        """Raises AioRpcError, TimeoutError."""
        self.heard_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.TaskGroup() as group:
                talking = [group.create_task(self._beat(call))]
                if self.stage.ship_every_s:
                    talking.append(group.create_task(self._ship(call)))
                await self._listen(call)
                for task in talking:
                    task.cancel()
        except BaseExceptionGroup as several:
            raise _first(several) from None

    async def _listen(self, call: "Call") -> None:
        tally = self.stage.tally
        while isinstance(message := await call.read(), pb.CollectorMessage):
            self.heard_s = asyncio.get_running_loop().time()
            match message.WhichOneof("message"):
                case "clock":
                    tally.answers += 1
                case "ack":
                    for receipt in message.ack.receipts:
                        status = pb.Status.Name(receipt.status).removeprefix("STATUS_").lower()
                        tally.receipt(status)

    async def _beat(self, call: "Call") -> None:
        """The first comes somewhere within the first interval: a fleet beats in no step."""
        loop, beat_s = asyncio.get_running_loop(), self.stage.heartbeat_s
        await asyncio.sleep(self.rng.uniform(0.0, beat_s))
        while True:
            if not self.awake.is_set():
                await self.awake.wait()
                self.heard_s = loop.time()
            if loop.time() - self.heard_s > SILENT_BEATS * beat_s:
                raise TimeoutError
            sent_us = self.stage.clock.wall_us()
            await self._say(
                call, pb.AgentMessage(heartbeat=pb.Heartbeat(sent_us=sent_us, link="online"))
            )
            self.stage.tally.heartbeats += 1
            await asyncio.sleep(beat_s)

    async def _ship(self, call: "Call") -> None:
        every_s = self.stage.ship_every_s
        await asyncio.sleep(self.rng.uniform(0.0, every_s))
        while True:
            await self.awake.wait()
            self.sequence += 1
            batch = self.stage.batch(self, self.sequence)
            sealed = envelope.seal(batch, self.signer, self.sealing)
            message = envelope_pb2.Envelope.FromString(sealed)
            await self._say(call, pb.AgentMessage(envelope=message))
            self.stage.tally.sent += 1
            await asyncio.sleep(every_s)

    async def _say(self, call: "Call", message: pb.AgentMessage) -> None:
        """A stream that has ended is the listener's to notice."""
        import grpc

        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(message)


def key_of(seed: int, number: int) -> tuple[keys.SigningKey, random.Random]:
    """The same play twice is the same agents."""
    rng = random.Random(f"{seed} {number}")  # noqa: S311 - keys of a play, not of a person
    return keys.SigningKey(rng.randbytes(32)), rng


def wait_s(failures: int, rng: random.Random) -> float:
    """Full jitter below a ceiling that doubles with every failure."""
    return rng.uniform(0.0, min(MOST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - 1, 10)))


def _asked_s(metadata: Iterable[tuple[str, str | bytes]]) -> float:
    wishes = [float(value) for key, value in metadata if key == AGAIN]
    return min(MOST_WAIT_S, *wishes) if wishes else 0.0


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _word(error: BaseException) -> str:
    import grpc

    if isinstance(error, grpc.aio.AioRpcError):
        return f"session {error.code().name.lower()}"
    return "session late"
