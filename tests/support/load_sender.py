"""Seal a fleet's results beforehand and send them over real sessions as a load.

Run as a program it reads orders as JSON lines and answers each with a report. So its CPU is that of
a separate process, and sealing costs nothing while the collector is measured.
"""

import asyncio
import math
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import grpc
import msgspec

from heliograph import envelope
from heliograph.clock import SystemClock
from heliograph.codec import plan_from_pb
from heliograph.v1 import envelope_pb2, plan_pb2
from heliograph.v1 import intake_pb2 as pb
from heliograph_lab.simulate.agent import VirtualAgent, derive_key
from heliograph_lab.simulate.channel import Channels, CollectorEndpoint, open_connections
from heliograph_lab.simulate.counters import AgentCounters
from heliograph_lab.simulate.measuring import build_batch
from heliograph_lab.simulate.outbox import VERSION, ResultSealer
from heliograph_lab.simulate.script import Actor
from heliograph_lab.simulate.visits import InterferenceMethod
from heliograph_lab.simulate.worker_context import WorkerContext
from heliograph_lab.simulate.workload import Run, Schedule, Workload

CLOCK = SystemClock()
IN_FLIGHT = 16  # of one agent, as the real one keeps
AT_ONCE = 16  # enrolments and hellos
BEAT_S = 15.0  # whatever heartbeat the plan of a server says
SEAL_US = 6_000  # a result, with room: sealed earlier, the sending waits
MAX_LINE = 64 * 1_048_576
Call: TypeAlias = "grpc.aio.StreamStreamCall[pb.AgentMessage, pb.CollectorMessage]"


@dataclass(frozen=True, kw_only=True)
class Enrol:
    door: CollectorEndpoint
    control_token: bytes
    actors: list[Actor]
    addresses: dict[int, str]
    plan: bytes
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Seal:
    """`results` in `seconds`; from `planted_s` on `service` is kept from `country`."""

    results: int
    seconds: float
    country: str = ""
    service: str = ""
    planted_s: float = 0.0
    seal_us: int = SEAL_US


@dataclass(frozen=True, kw_only=True)
class Send:
    """An order to send the sealed results, `paced` or as fast as acknowledged."""

    paced: bool


@dataclass(kw_only=True)
class Report:
    results: int = 0
    # Whole tests of services by volunteers, which public cells count: no light checks, and no
    # pages, which the collector's own plan does not name.
    volunteers: int = 0
    cpu_s: float = 0.0
    took_s: float = 0.0
    bytes: int = 0
    observations: int = 0
    planted_us: int = 0  # wall clock, when the first result that met the planted block was sent
    begun_us: int = 0
    receipts: dict[str, int] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)

    def latency_ms(self, share: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(slots=True)
class Sealed:
    at_s: float
    agent: "Agent"
    sequence: int
    message: envelope_pb2.Envelope
    planted: bool


@dataclass(slots=True, eq=False, kw_only=True)
class Agent(VirtualAgent):
    """A virtual agent with envelopes sealed beforehand; its fleet gets the receipts."""

    fleet: "Fleet"
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(IN_FLIGHT))
    due_s: dict[int, float] = field(default_factory=dict)  # sequence → when it was to be sent

    async def _read_messages(self, call: "Call") -> None:
        while isinstance(message := await call.read(), pb.CollectorMessage):
            self.heard_s = asyncio.get_running_loop().time()
            for receipt in message.ack.receipts:
                self.fleet.note_receipt(self, receipt)


class Fleet:
    def __init__(self, order: Enrol) -> None:
        self._order = order
        plan = plan_from_pb(plan_pb2.Plan.FromString(order.plan))
        self._workload = Workload(plan=plan, seed=order.seed)
        self._round = 0
        self._sealed: list[Sealed] = []
        self._report = Report()
        self._left = 0
        self._all = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._agents: list[Agent] = []

    async def enrol(self, door: CollectorEndpoint) -> None:
        order = self._order
        context = WorkerContext(
            tokens=(door.token, order.control_token), clock=CLOCK, counters=AgentCounters(),
            workload=self._workload, start_time=asyncio.get_running_loop().create_future(),
            handshakes=asyncio.Semaphore(AT_ONCE),
        )  # fmt: skip
        self._agents.clear()
        connections = open_connections(len(order.actors), Channels(door), is_shared=False)
        async with asyncio.TaskGroup() as group:
            for actor, connection in zip(order.actors, connections, strict=True):
                signer, rng = derive_key(order.seed, actor.number)
                sealer = ResultSealer(actor, signer, CLOCK, context.counters)
                agent = Agent(
                    actor, order.addresses[actor.number], connection, signer, rng, context,
                    Schedule((), rng), sealer, fleet=self,
                )  # fmt: skip
                self._agents.append(agent)
                group.create_task(self._enrol(agent))

    async def _enrol(self, agent: Agent) -> None:
        async with agent.context.handshakes:
            await agent.enroll()
            await agent.connection.drop()

    def seal(self, order: Seal) -> Report:
        """Seal everything for its time, which begins after this is done; it takes long."""
        began = _cpu_s()
        report = Report(begun_us=CLOCK.wall_us() + order.results * order.seal_us + 500_000)
        planted = replace(
            self._workload, interference={(order.country, order.service): InterferenceMethod.RESET}
        )
        self._sealed.clear()
        for agent, run in self._runs(order):
            tasks = self._workload.select_rounds(agent.actor)[run.task_index]
            meets = (
                any(task.service == order.service for task in tasks)
                and agent.actor.country == order.country
                and run.at_s >= order.planted_s
            )
            workload = planted if meets else self._workload
            is_public = bool(tasks[0].service) and not tasks[0].is_light
            report.volunteers += is_public and not agent.actor.control
            self._sealed.append(self._seal(agent, run, workload, report, meets))
        report.results, report.cpu_s = len(self._sealed), _cpu_s() - began
        self._report = report
        return report

    def _runs(self, order: Seal) -> Iterator[tuple[Agent, Run]]:
        """Yield the first runs of all agents, in the plan's mix, spread over `seconds`."""
        hour_s = 3_600.0 * order.results / (56.0 * len(self._agents))
        runs: list[tuple[float, int, Run]] = []
        for number, agent in enumerate(self._agents):
            schedule = self._workload.build_schedule(agent.actor)
            schedule.rng.seed(f"{self._order.seed} {number} {self._round}")
            schedule.start(0.0)
            while (run := schedule.next_run(0.0)).at_s < 2 * hour_s:
                runs.append((run.at_s, number, run))
        self._round += 1
        chosen = sorted(runs, key=lambda each: each[:2])[: order.results]
        scale = order.seconds / chosen[-1][0]
        for at_s, number, run in chosen:
            yield self._agents[number], replace(run, at_s=at_s * scale, number=1_000 * self._round)

    def _seal(
        self, agent: Agent, run: Run, workload: Workload, report: Report, planted: bool
    ) -> Sealed:
        ended_us = report.begun_us + int(run.at_s * 1e6)
        agent.outbox.sequence += 1
        chance = replace(run, number=run.number + agent.outbox.sequence)
        result = workload.measure(agent.actor, chance, 0.0, ended_us, CLOCK.monotonic_us())
        result = replace(result, started_us=ended_us - result.runtime_us)
        batch = build_batch(agent.id, VERSION, agent.outbox.sequence, result, ended_us, agent.actor)
        sealed = envelope.seal_batch(batch, agent.signer, agent.outbox.sealing_key)
        report.bytes += len(sealed)
        report.observations += sum(len(part.observations) for part in result.list_parts())
        message = envelope_pb2.Envelope.FromString(sealed)
        return Sealed(run.at_s, agent, agent.outbox.sequence, message, planted)

    def keep(self, file: str) -> None:
        """Write the sealed envelopes to a file, for benches of single stages."""
        with open(file, "wb") as output:  # noqa: PTH123 - a path of a JSON line
            for each in self._sealed:
                body = each.message.SerializeToString()
                output.write(len(body).to_bytes(4, "big") + body)

    async def connect(self, group: asyncio.TaskGroup) -> None:
        """Connect each agent by a separate connection, with heartbeats."""
        for agent in self._agents:
            agent.arrived.clear()  # they may have been connected before
            agent.context.heartbeat_s = BEAT_S
            self._tasks.append(group.create_task(agent.run_until(math.inf)))
        for agent in self._agents:
            await agent.arrived.wait()

    async def leave(self) -> None:
        """End all sessions without a goodbye."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        for agent in self._agents:
            await agent.connection.drop()

    def note_receipt(self, agent: Agent, receipt: pb.Receipt) -> None:
        report = self._report
        status = pb.Status.Name(receipt.status).removeprefix("STATUS_").lower()
        report.receipts[status] = report.receipts.get(status, 0) + 1
        due_s = agent.due_s.pop(receipt.sequence, None)
        if due_s is not None:
            report.latencies_ms.append(1e3 * (time.monotonic() - due_s))
        agent.room.release()
        self._left -= 1
        if self._left == 0:
            self._all.set()

    async def send(self, order: Send) -> Report:
        """Send all, and wait until all is answered."""
        report = self._report
        report.receipts, report.latencies_ms = {}, []
        self._left = len(self._sealed)
        self._all.clear()
        wait_s = (report.begun_us - CLOCK.wall_us()) / 1e6
        if order.paced:
            await asyncio.sleep(max(0.0, wait_s))
        began_s, began_cpu_s = time.monotonic(), _cpu_s()
        by_agent: dict[Agent, list[Sealed]] = {}
        for each in self._sealed:
            by_agent.setdefault(each.agent, []).append(each)
        async with asyncio.TaskGroup() as group:
            for agent, mine in by_agent.items():
                group.create_task(self._send_all(agent, mine, began_s, paced=order.paced))
            await self._all.wait()
        report.took_s, report.cpu_s = time.monotonic() - began_s, _cpu_s() - began_cpu_s
        return report

    async def _send_all(
        self, agent: Agent, mine: list[Sealed], began_s: float, *, paced: bool
    ) -> None:
        assert agent.call is not None
        for each in mine:
            due_s = began_s + each.at_s
            if paced:
                await asyncio.sleep(due_s - time.monotonic())
            await agent.room.acquire()
            agent.due_s[each.sequence] = due_s if paced else time.monotonic()
            if each.planted and not self._report.planted_us:
                late_s = time.monotonic() - due_s
                self._report.planted_us = CLOCK.wall_us() - int(late_s * 1e6)
            async with agent.writing:
                await agent.call.write(pb.AgentMessage(envelope=each.message))


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _answer(report: Report) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


async def obey(fleet: Fleet, line: bytes, group: asyncio.TaskGroup) -> Report:
    """Execute one order: a word, then its JSON."""
    word, _, rest = line.strip().partition(b" ")
    match word:
        case b"seal":  # in a thread: meanwhile agents beat
            order = msgspec.json.decode(rest, type=Seal)
            return await asyncio.to_thread(fleet.seal, order)
        case b"send":
            return await fleet.send(msgspec.json.decode(rest, type=Send))
        case b"keep":
            fleet.keep(rest.decode().strip())
        case b"connect":
            await fleet.connect(group)
        case b"leave":
            await fleet.leave()
        case b"join":  # another server has to know the agents as well
            await fleet.enrol(msgspec.json.decode(rest, type=CollectorEndpoint))
    return Report()


async def main() -> None:
    reader = asyncio.StreamReader(limit=MAX_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    order = msgspec.json.decode(await reader.readline(), type=Enrol)
    fleet = Fleet(order)
    await fleet.enrol(order.door)
    _answer(Report(results=len(order.actors)))
    async with asyncio.TaskGroup() as group:
        while line := await reader.readline():
            _answer(await obey(fleet, line, group))
        raise SystemExit(0)


if __name__ == "__main__":
    asyncio.run(main())
