"""Ingest hosts and a leader over a model of the broker, with random faults.

Both roles' code is real; broker, agents and clocks are played, in virtual time. No agent that could
come may be silent, whatever of ours was killed, cut off, slow or late; one that fell silent must be
found, and return only when it can; coverage must have a gap while agents of a killed host are
unknown.
"""

import asyncio
import json
import random
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from os import environ
from pathlib import Path
from typing import Any

import pytest

from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.app.cluster_ingest import ClusterIngest
from heliograph_collector.app.cluster_messages import decode_order, decode_report, encode
from heliograph_collector.app.ingest_host import HostReporter
from heliograph_collector.fleet import Fleet
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.geo.lookup import GeoLookup, PeerLocation
from heliograph_collector.ingest.presence import AgentConnection, ConnectionTable, DisconnectReason
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.journal import JournalBusyError
from support.hand_clock import HandClock

SCHEDULES = int(environ.get("HELIOGRAPH_CLUSTER_SIMULATIONS", "40"))
SEED = int(environ.get("HELIOGRAPH_SEED", "1"))
FOUND = (255, 257, 279, 1_201, 1_215, 1_248, 1_914)  # seeds that found a fault, played always
SECOND = 1_000_000
STEPS = 900
HOSTS = 3
AGENTS = 6
HEARTBEAT_S = 15
GIVE_UP_S = 45  # of an agent that gets no answer
AWAIT_S = 180
TOLD_S = 20  # after a host's death, until the leader has told of it
FAULTS = ("kill", "cut", "pause", "loss", "leader", "stall", "brokers", "clock")


@dataclass
class ModelJournal:
    """Rows of hosts and leader in one order; it may have no quorum."""

    rows: list[JournalRow] = field(default_factory=list)
    position: int = 0
    ranges_applied: int = 0
    alive_before_us: int = 0
    is_down: bool = False
    registered: set[str] = field(default_factory=set)

    @property
    def hosts(self) -> "ModelJournal":
        return self

    def note(self, host: str, applied: int) -> None:
        pass

    async def list_all(self) -> list[str]:
        return sorted(self.registered)

    async def note_position(self, position: int) -> None:
        pass

    async def read_arrivals(self, since_us: int) -> list[JournalRow]:
        """Return all arrivals, because the servers' clock is not played."""
        if self.is_down:
            raise JournalBusyError("no quorum")
        return [row for row in self.rows if row.kind is RowKind.ARRIVAL]

    async def append(self, rows: list[JournalRow]) -> None:
        if self.is_down:
            raise JournalBusyError("no quorum")
        self.rows += rows


@dataclass
class ModelBus:
    """The link between one process and the broker."""

    is_connected: bool = True
    sent: list[bytes] = field(default_factory=list)

    async def publish(self, topic: str, content: bytes) -> bool:
        if self.is_connected:
            self.sent.append(content)
        return self.is_connected


@dataclass
class ModelIngest:
    """An ingest stage as a reporter reads it."""

    directory: AgentDirectory
    connections: ConnectionTable = field(default_factory=ConnectionTable)

    def remaining_batches(self, agent: bytes) -> None:
        return None


class ModelHost:
    def __init__(
        self, name: str, journal: ModelJournal, directory: AgentDirectory, clock: HandClock
    ) -> None:
        self.name = name
        self.bus = ModelBus()
        self.ingest = ModelIngest(directory)
        self.paused_until = 0
        self.paused_s = 0
        self.cut_until = 0
        journal.registered.add(name)
        parts: Any = (self.bus, journal, self.ingest, clock)
        self.reporter = HostReporter(name, *parts)


@dataclass
class ModelAgent:
    record: EnrolledAgent
    host: ModelHost | None = None
    connection: AgentConnection | None = None
    dark_until: int = 0  # step; it is cut off in its country until then
    retry_at: int = 0
    willing_since: int = 0  # step since which it could come and wants to
    host_died: int = 0  # step at which its host was killed, 0 once it is at another

    def is_dark(self, step: int) -> bool:
        return step < self.dark_until


class Simulation:
    """One schedule of faults; `wrong` collects the faults found."""

    def __init__(self, seed: int, directory: AgentDirectory, geo: GeoLookup) -> None:
        self.rng = random.Random(seed)
        self.clock = HandClock()
        self.journal = ModelJournal(alive_before_us=self.clock.wall_us())
        self.directory = directory
        self.geo = geo
        self.step = 0
        self.runs = 0
        self.hosts = [self.create_host() for _ in range(HOSTS)]
        self.bus = ModelBus()
        self.inbox: list[tuple[str, bytes]] = []
        self.stalled_until = 0
        self.brokers_down_until = 0
        self.agents = [ModelAgent(agent) for agent in directory.list_agents()[:AGENTS]]
        self.status: dict[bytes, str] = {}
        self.awaited_until: dict[bytes, int] = {}
        self.start_us = 0  # of the last row of a start
        self.gap_until_us = 0  # until when coverage has a gap for a dead host; by its wall clock
        self.disturbed = 0  # step at which a leader was last away, or without servers
        self.checked = 0
        self.wrong: list[str] = []
        self.counts: Counter[str] = Counter()
        self.leader = self.create_leader()

    def create_host(self) -> ModelHost:
        self.runs += 1
        return ModelHost(f"h{self.runs}", self.journal, self.directory, self.clock)

    def create_leader(self) -> ClusterIngest:
        parts: Any = (self.bus, self.journal, self.directory, self.geo, self.clock)
        return ClusterIngest(*parts)

    async def run(self) -> None:
        await self.leader.start()
        while self.step < STEPS and not self.wrong:
            self.step += 1
            self.clock.advance_us(SECOND)
            if self.step < STEPS - 500:
                await self.draw_faults()
            for agent in self.agents:
                await self.move_agent(agent)
            await self.run_hosts()
            await self.run_leader()
            self.check_rows()

    async def draw_faults(self) -> None:  # noqa: C901 one fault a case
        if self.rng.random() < 0.02:
            agent = self.rng.choice(self.agents)
            agent.dark_until = self.step + self.rng.choice((5, 60, 300))
        if self.rng.random() > 0.02:
            return
        fault = self.rng.choice(FAULTS)
        self.counts[fault] += 1
        host = self.rng.choice(self.hosts)
        seconds = self.rng.choice((2, 8, 20, 60, 250))
        match fault:
            case "kill":
                for agent in self.agents:
                    if agent.host is host:
                        agent.host_died = self.step
                self.hosts[self.hosts.index(host)] = self.create_host()
            case "cut":
                host.cut_until = self.step + seconds
            case "pause":
                host.paused_until = self.step + seconds
            case "loss":
                self.inbox.clear()
                host.bus.sent.clear()
                host.reporter._number += 1
            case "leader":
                self.stalled_until = self.step + self.rng.choice((3, 13))
                self.leader = self.create_leader()
                self.inbox.clear()
                self.journal.is_down = False
                await self.leader.start()
            case "stall":
                self.stalled_until = self.step + seconds
            case "brokers":
                self.brokers_down_until = self.step + self.rng.choice((4, 9, 40))
            case "clock":
                self.clock.wall += self.rng.choice((-1, 1)) * self.rng.randrange(90) * SECOND

    async def move_agent(self, agent: ModelAgent) -> None:  # noqa: C901 one state after another
        host = agent.host
        if agent.is_dark(self.step):
            agent.willing_since = self.step + 1
            return
        if host is not None and (host not in self.hosts or agent.connection is None):
            agent.host = agent.connection = host = None
        if host is not None and agent.connection is not None:
            if agent.connection not in list(host.ingest.connections):
                agent.host = agent.connection = None
            elif self.step < host.paused_until:
                unheard_us = self.clock.monotonic_us() - agent.connection.last_heard_us
                if unheard_us > GIVE_UP_S * SECOND:
                    agent.host = agent.connection = None
            else:
                agent.connection.last_heard_us = self.clock.monotonic_us()
                if self.rng.random() < 0.004:  # another network: the old stream stays half-open
                    agent.host = agent.connection = None
        if agent.host is None and self.step >= agent.retry_at:
            agent.retry_at = self.step + self.rng.randrange(1, 6)
            await self.connect(agent)

    async def connect(self, agent: ModelAgent) -> None:
        host = self.rng.choice(self.hosts)
        is_open = self.step >= max(host.paused_until, host.cut_until, self.brokers_down_until)
        if not is_open:
            return
        connection = AgentConnection(
            agent=agent.record,
            location=PeerLocation(country="KZ", asn=9198),
            hello=pb.Hello(country="KZ"),
            last_heard_us=self.clock.monotonic_us(),
            outbox=asyncio.Queue(8),
        )
        host.ingest.connections.add(connection)
        agent.host = host
        agent.host_died = 0
        agent.connection = connection
        self.journal.rows.append(connection.build_row(RowKind.ARRIVAL, self.clock.wall_us()))

    async def run_hosts(self) -> None:
        for host in self.hosts:
            host.bus.is_connected = self.step >= max(host.cut_until, self.brokers_down_until)
            if self.step < host.paused_until:
                host.paused_s += 1
                continue
            now_us = self.clock.monotonic_us()
            host.ingest.connections.pause_silence(host.paused_s * SECOND, now_us)
            host.paused_s = 0
            for connection in list(host.ingest.connections):
                if connection.silent_at_us(HEARTBEAT_S) <= now_us:
                    host.ingest.connections.remove(connection, DisconnectReason.SILENT, "", 0)
            await host.reporter.report()
            for connection in list(host.ingest.connections):
                if connection.end_reason is not None:
                    reason = connection.end_reason
                    host.ingest.connections.remove(connection, reason, "", 0)
            self.inbox += [(host.name, content) for content in host.bus.sent]
            host.bus.sent.clear()

    async def run_leader(self) -> None:
        self.bus.is_connected = self.step >= self.brokers_down_until
        self.journal.is_down = not self.bus.is_connected
        if self.step < max(self.stalled_until, self.brokers_down_until):
            self.disturbed = self.step
        if self.step < self.stalled_until:
            return
        inbox = self.inbox
        self.inbox = []
        for sender, content in inbox:
            await self.leader.take(sender, decode_report(content))
        await self.leader.judge()
        if self.bus.is_connected:
            self.journal.alive_before_us = self.clock.wall_us()
        while not self.leader._orders.empty():
            name, order = self.leader._orders.get_nowait()
            for host in self.hosts:
                if host.name == name and host.bus.is_connected:
                    host.reporter._follow(decode_order(encode(order)))

    def check_rows(self) -> None:  # noqa: C901 one kind of row a case
        """Follow presence as the detectors do.

        They run in the leader's process: while it hangs, they judge no agent. After it, a start
        that lasts defers agents that a grace that ended meanwhile would make silent; another start
        does not. Not played: real detectors read the rows of the hosts first. By then they may have
        found a country cut, if all its agents are at the one host whose reports a leader lacked
        when it hung.
        """
        for row in self.journal.rows[self.checked :]:
            match row.kind:
                case RowKind.START:
                    if row.heard_us - HEARTBEAT_S * SECOND > self.start_us:
                        self.end_waits()
                    self.start_us = row.heard_us
                    for agent, status in self.status.items():
                        if status == "live":
                            self.status[agent] = "awaited"
                    for agent, status in self.status.items():
                        if status == "awaited":
                            self.awaited_until[agent] = self.step + AWAIT_S
                case RowKind.FAULT if (fault := json.loads(row.body))["why"] == "host":
                    self.gap_until_us = fault["until_us"]
                case RowKind.ARRIVAL:
                    self.call_present(row)
                case RowKind.GOODBYE:
                    self.status[row.agent] = "away"
                case RowKind.LOST if self.status.get(row.agent) in ("live", "awaited"):
                    self.call_silent(row.agent, "lost", 30)
        self.checked = len(self.journal.rows)
        self.check_coverage()
        if self.step >= self.stalled_until:
            self.end_waits()

    def check_coverage(self) -> None:
        """Check that coverage has a gap while a killed host's agent is unknown and due."""
        for agent in self.agents:
            is_unknown = agent.host_died and self.status.get(agent.record.id) == "live"
            if not is_unknown or self.step - max(agent.host_died, self.disturbed) <= TOLD_S:
                continue
            missing = self.leader.connections._missing.get(agent.record.id)
            if missing and missing.silent_at_us(HEARTBEAT_S) > self.clock.monotonic_us():
                continue
            self.counts["unknown"] += 1
            if self.clock.wall_us() >= self.gap_until_us:
                self.wrong.append(f"step {self.step}: agents are unknown, and coverage has no gap")

    def end_waits(self) -> None:
        for agent, status in list(self.status.items()):
            if status == "awaited" and self.step >= self.awaited_until[agent]:
                self.call_silent(agent, "awaited in vain", 0)

    def find(self, agent: bytes) -> ModelAgent:
        return next(each for each in self.agents if each.record.id == agent)

    def call_present(self, row: JournalRow) -> None:
        if self.status.get(row.agent) == "silent" and self.find(row.agent).is_dark(self.step):
            self.wrong.append(f"step {self.step}: an agent that is cut off has returned")
        self.status[row.agent] = "live"

    def call_silent(self, agent: bytes, reason: str, unheard_s: int) -> None:
        self.status[agent] = "silent"
        self.counts[reason] += 1
        model = self.find(agent)
        if not model.is_dark(self.step - 1) and self.step - model.willing_since > 10:
            self.wrong.append(f"step {self.step}: an agent that could come was {reason}")

    def check_end(self) -> None:
        """Check that after a long time without faults all that can come are live."""
        for model in self.agents:
            if self.status.get(model.record.id) != "live":
                self.wrong.append(f"an agent is {self.status.get(model.record.id)} in the end")


@pytest.mark.long
async def test_no_fault_of_ours_makes_an_agent_silent(tmp_path: Path) -> None:
    clock = HandClock()
    total: Counter[str] = Counter()
    with closing(Fleet(tmp_path)) as fleet:
        now_s = clock.wall_us() // SECOND
        token = fleet.create_invite(
            role="volunteer", uses=AGENTS, now_s=now_s, expires_s=now_s + 60
        )
        for number in range(AGENTS):
            fleet.enrol_agent(token, bytes([number]) * 32, "test", now_s)
        directory = AgentDirectory(fleet)
        geo = GeoLookup(Path("absent"), Path("absent"), b"s" * 32)
        for seed in (*range(SEED, SEED + SCHEDULES), *FOUND):
            simulation = Simulation(seed, directory, geo)
            await simulation.run()
            simulation.check_end()
            assert not simulation.wrong, (seed, simulation.wrong)
            total += simulation.counts
    print(f"{SCHEDULES} schedules: {dict(total)}")
    if SCHEDULES >= 20:
        assert total["lost"] > 0, "an agent that is cut off is found"
        assert total["unknown"] > 0, "an agent of a killed host was awaited"
