"""The agent's uplink with its spool, and its reports to the owner."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from heliograph import keys
from heliograph.clock import Clock, SystemClock
from heliograph.codec import measurement_to_pb
from heliograph.envelope import seal_batch
from heliograph.observation import Epoch, Link
from heliograph.plan import Entrance
from heliograph.v1 import envelope_pb2, intake_pb2, observation_pb2, plan_pb2
from heliograph_agent.spool import Priority, Spool
from heliograph_agent.state import Collector as Known
from heliograph_agent.state import State
from heliograph_agent.uplink.attempt_log import UplinkAttempt
from heliograph_agent.uplink.connection_manager import Uplink
from heliograph_agent.uplink.dial_context import DialContext
from heliograph_agent.uplink.hello import SessionFacts
from heliograph_agent.uplink.reconnection import ReconnectDelay
from support.results import EPOCH, measurement
from support.scripted_intake import Collector, Identity

SECRET = b"agent private key of thirty two b"[:32]
SIGNER = keys.SigningKey(SECRET)
DEADLINE_S = 120.0


def number_of(batch: int) -> int:
    """Return the envelope number of the batch-th batch of `put`; each follows a copy."""
    return 2 * batch


@dataclass
class UplinkSealer:
    """Seals with the agent's key."""

    who: Identity

    def seal_batch(
        self, sequence: int, measurements: Sequence[bytes], epochs: Sequence[Epoch]
    ) -> bytes:
        told = [observation_pb2.Measurement.FromString(m) for m in measurements]
        agent = keys.agent_id(SIGNER.public)
        batch = envelope_pb2.Batch(agent=agent, sequence=sequence, measurements=told)
        return seal_batch(batch, SIGNER, self.who.sealing.public)


@dataclass
class Agent:
    """The uplink with its spool; stands for agent, policy, store and status file."""

    state: State
    spool: Spool
    who: Identity
    plans: list[plan_pb2.SignedPlan] = field(default_factory=list)
    orders: list[intake_pb2.SignedVisitOrder] = field(default_factory=list)
    rejected: list[tuple[int, str]] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)
    patient_from: int = 0  # after so many failures it waits an hour
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    entrances: list[Entrance] = field(default_factory=list)  # as its plan has them
    guards: bool = False  # those may not lead to this machine's own network
    attempts: list[UplinkAttempt] = field(default_factory=list)  # that were recorded
    clock: Clock = field(default_factory=SystemClock)
    dial_context: DialContext | None = None
    facts: SessionFacts = field(
        default_factory=lambda: SessionFacts(boot="b", epoch="e1", link=Link.ONLINE, plan_version=4)
    )
    losses: int = 0  # sessions that broke
    network_works: bool = False  # its anchors answer, so that a loss is reported
    percents: list[int] = field(default_factory=list)  # of its intervals, as it was asked
    early_runs: list[intake_pb2.EarlyRun] = field(default_factory=list)
    findings: list[intake_pb2.Findings] = field(default_factory=list)
    uplink: Uplink = field(init=False)

    agent_id: bytes = keys.agent_id(SIGNER.public)
    heartbeat_s: int = 10  # three without an answer end a session: a busy machine must not

    def __post_init__(self) -> None:
        dial_context = self.dial_context or DialContext(self.clock, random.SystemRandom())
        delay = CountedDelay(dial_context.clock, dial_context.rng)
        delay.agent = self
        self.uplink = Uplink(
            self, self.state, self.spool, dial_context, policy=self, attempt_store=self,
            status_listener=self, reconnect_delay=delay,
        )  # fmt: skip

    def session_facts(self) -> SessionFacts:
        return self.facts

    async def prepare_word(self) -> bool:
        self.losses += 1
        if self.network_works:
            await self.put()
        return self.network_works

    def take_early_runs(self, asked: intake_pb2.EarlyRuns) -> None:
        self.early_runs.extend(asked.runs)
        self.changed.set()

    def take_findings(self, findings: intake_pb2.Findings) -> None:
        self.findings.append(findings)
        self.changed.set()

    async def sign(self, context: bytes, message: bytes) -> bytes:
        return SIGNER.sign(context, message)

    def answer_renewal(self, renewed: intake_pb2.Renewed) -> None:
        del renewed

    def note_advice(self, reason: str) -> None:
        del reason

    def stretch_intervals(self, percent: int) -> None:
        self.percents.append(percent)
        self.changed.set()

    def note_rejection(self, sequence: int, reason: str) -> None:
        self.rejected.append((sequence, reason))

    def list_allowed(self) -> list[Entrance]:
        return self.entrances

    def is_guarded(self, entrance: Entrance) -> bool:
        return self.guards and entrance in self.entrances

    def mark_changed(self) -> None:
        self.changed.set()

    async def store_attempt(self, attempt: UplinkAttempt) -> None:
        """Record an attempt, which must fit the wire format as any measurement."""
        measurement_to_pb(measurement(attempt.target, observations=attempt.observations))
        self.attempts.append(attempt)
        self.changed.set()

    def steps_of(self, target: str) -> list[tuple[str, str]]:
        """Return (operation, failure) of every recorded step of one transport."""
        steps = [x for a in self.attempts if a.target == target for x in a.observations]
        return [(x.operation, x.failure or "") for x in steps]

    def take_plan(self, plan: plan_pb2.SignedPlan) -> None:
        self.plans.append(plan)
        self.changed.set()

    def take_visits(self, signed: intake_pb2.SignedVisitOrder) -> None:
        self.orders.append(signed)
        self.changed.set()

    async def until(self, is_done: Callable[[], bool]) -> None:
        """Wait until the uplink has reported what the test waits for."""
        async with asyncio.timeout(DEADLINE_S):
            while not is_done():
                await self.changed.wait()
                self.changed.clear()

    def draw_wait(self, failures: int) -> float:
        self.waits.append(failures)
        self.changed.set()
        return 3_600 if failures == self.patient_from else 0.01

    def know(self, collector: Collector) -> None:
        who = collector.who
        known = Known(
            endpoint=collector.endpoint, pin=who.pin, certificate=who.certificate.decode(),
            signing_key=who.signing.public, sealing_key=who.sealing.public, agent=self.agent_id,
        )  # fmt: skip
        self.state.save_collector(known)

    async def put(self, count: int = 1, note: str = "") -> None:
        """Put `count` batches of one measurement into the spool; `note` makes them long."""
        for _ in range(count):
            await self.spool.append(measurement(not_measured=note), EPOCH, Priority.P3)
            await self.spool.close_batch()
        self.uplink.wake()

    async def deliver(self, count: int = 1) -> None:
        await self.put(count)
        await self.empty()

    async def empty(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self.uplink.wait_delivered()


class CountedDelay(ReconnectDelay):
    agent: Agent

    def draw_wait_s(self, failures: int) -> float:
        return self.agent.draw_wait(failures)


@asynccontextmanager
async def running(
    agent: Agent, collector: Collector, *entrances: Entrance, enroll: bool = True, know: bool = True
) -> AsyncIterator[None]:
    """Run the uplink, by default enrolled with the collector and knowing its address."""
    agent.entrances = list(entrances) or agent.entrances
    if enroll:
        collector.agents[agent.agent_id] = SIGNER.public
    if know:
        agent.know(collector)
    async with running_enrolled(agent):
        yield


@asynccontextmanager
async def running_enrolled(agent: Agent) -> AsyncIterator[None]:
    """Run the uplink with the collector that its state names."""
    async with asyncio.timeout(2 * DEADLINE_S), asyncio.TaskGroup() as group:
        group.create_task(agent.uplink.run())
        try:
            yield
        finally:
            agent.uplink.leave("shutdown")
