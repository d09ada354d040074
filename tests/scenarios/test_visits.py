"""A volunteer is sent to an edge that only it meets; a real control visits it.

The control agent is a process that joined as any agent does; gRPC, journal, assessor, planner,
resolver and edge are real. Only the collector's clock is moved, over the wait before a visit.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from random import Random

import pytest
from aiohttp.abc import ResolveResult
from prometheus_client import CollectorRegistry

from heliograph.clock import SystemClock
from heliograph.failure import Failure
from heliograph.observation import Link, Measurement
from heliograph.plan import Endpoint, EndpointKind, Limits, Plan, PlannedTask, Service
from heliograph_agent.net.config import NetConfig
from heliograph_agent.net.system_net import SystemNetFactory
from heliograph_agent.runtime.runner import Runner, TaskContext
from heliograph_agent.schedule import Task
from heliograph_collector.control import Assessor
from heliograph_collector.control.visit_dispatcher import VisitDispatcher
from heliograph_collector.control.visit_planner import VisitPlanner
from heliograph_collector.control.visit_policy import VisitPolicy
from heliograph_collector.fleet import Fleet, format_invite, open_keyring
from heliograph_collector.fleet.plans import issue_plan
from heliograph_collector.ingest.agent_sessions import ControlSessions
from heliograph_collector.judge import judge
from heliograph_collector.model.records import (
    AgentRole,
    Block,
    ControlView,
    ReceivedMeasurement,
    RowKind,
    Verdict,
    VerdictState,
)
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.pseudonyms import Pseudonyms
from support.dns_server import answer, dns_server
from support.intake import HOST, IngestServer, enrolled, ingest_server
from support.programs import age_agents
from support.tcp_server import serving
from support.waiting import until, until_true

pytestmark = pytest.mark.real
NAME = "edge.example"
EDGE = "127.0.0.2"  # beside the control's own answer, in its /24
LAB = (ip_network("127.0.0.0/8"),)
SECOND_US = 1_000_000


class MovedClock(SystemClock):
    """The machine's clock, as far ahead as the test moved it."""

    ahead_us = 0

    def wall_us(self) -> int:
        return super().wall_us() + self.ahead_us


class NoResolver:
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> Sequence[ResolveResult]:
        raise OSError(f"nobody asks for {host}")


@dataclass
class Collector:
    """The stages between the journal and the visits, fed row by row."""

    server: IngestServer
    views: dict[str, ControlView] = field(default_factory=dict)  # by measurement, the last
    verdicts: dict[str, Sequence[Verdict]] = field(default_factory=dict)
    records: list[ReceivedMeasurement] = field(default_factory=list)
    clock: MovedClock = field(default_factory=MovedClock)

    def __post_init__(self) -> None:
        self._assessor = Assessor(self._judge)
        intake = self.server.intake
        self.sessions = ControlSessions(intake.connections, intake.directory)
        self.dispatcher = VisitDispatcher(
            VisitPlanner(VisitPolicy(intake.geo, LAB), Random(1)), self.sessions,
            self.server.keyring.signing, clock=self.clock, registry=CollectorRegistry(),
            resolver=NoResolver(), own_hosts=(HOST,),
        )  # fmt: skip
        self._position = 0

    def _judge(self, record: ReceivedMeasurement, control: ControlView) -> tuple[Verdict, ...]:
        self.views[record.id] = control
        return judge(record, control)

    async def read(self) -> None:
        """Judge what has arrived since."""
        rows = await self.server.journal.read(self._position, 10_000)
        envelopes = [row for row in rows if row.kind is RowKind.ENVELOPE]
        records = read_rows(envelopes, Pseudonyms(self.server.keyring.secret)).records
        self._position = max((row.position for row in rows), default=self._position)
        self.records += records
        judged = tuple(self._assessor.assess(records))
        self.verdicts |= {record.id: verdicts for record, verdicts in judged}
        self.dispatcher.on_block(Block(journal="j", first=0, last=0, judged=judged))

    async def find(self, role: AgentRole, target: str, *, is_visit: bool) -> ReceivedMeasurement:
        """Wait for a measurement of this target."""

        async def has_come() -> bool:
            await self.read()
            return bool(self._list(role, target, is_visit))

        await until(has_come)
        return self._list(role, target, is_visit)[-1]

    def _list(self, role: AgentRole, target: str, is_visit: bool) -> list[ReceivedMeasurement]:
        return [
            r for r in self.records
            if (r.role, r.measurement.target, r.measurement.is_visit) == (role, target, is_visit)
        ]  # fmt: skip


def make_plan(*ports: int) -> Plan:
    anchors = (
        Endpoint(id="resolver-a", kind=EndpointKind.DNS, host=NAME, port=53, group="resolver"),
        Endpoint(id="foreign-a", kind=EndpointKind.TCP, host=HOST, port=ports[0], group="foreign"),
    )
    service = Service(name="anchors", title="", experiment="connectivity", endpoints=anchors)
    return Plan(
        version=0, issued_s=0, expires_s=0, services_version="t", services=(service,),
        heartbeat_s=1, limits=Limits(target_pause_s=0),
        tasks=(
            PlannedTask(experiment="connectivity", service="anchors", interval_s=30),
            *(PlannedTask(experiment="tcp", target=f"{NAME}:{p}", interval_s=1) for p in ports),
        ),
    )  # fmt: skip


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@asynccontextmanager
async def running_control(server: IngestServer, folder: Path, resolver: str) -> AsyncIterator[None]:
    """Run a control agent that joined over the wire, with a given resolver.

    Loopback is allowed.
    """
    state = folder / "control"
    state.mkdir(mode=0o700)
    (state / "config.yml").write_text(f"net: {{local_targets: allow, resolver: '{resolver}'}}\n")
    token = server.invite(role="control")
    invite = format_invite(server.endpoint, server.keyring.pin, token)
    base = [sys.executable, "-m", "heliograph_agent"]
    with (folder / "control.log").open("wb") as log:
        joining = await asyncio.create_subprocess_exec(
            *base, "join", invite, "--yes", "--state", str(state), stdout=log, stderr=log
        )
        assert await joining.wait() == 0, (folder / "control.log").read_text()
        process = await asyncio.create_subprocess_exec(
            *base, "run", "--yes", "--state", str(state), stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def measure_as_volunteer(target: str, resolver: str) -> Measurement:
    """Measure as a volunteer whose resolver leads it to the edge, which refuses it."""
    clock = SystemClock()
    factory = SystemNetFactory(NetConfig(resolver=resolver), clock, Random(1))
    runner = Runner(factory, clock, Limits(), "boot")
    task = Task(experiment="tcp", target=target)
    result = await runner.run(task, TaskContext(epoch="e1", link=Link.ONLINE))
    assert [(x.tcp.address, x.failure) for x in result.observations if x.tcp] == [
        (EDGE, Failure.CONNECTION_REFUSED)
    ]
    return result


def answer_with(address: str) -> Callable[[bytes], list[bytes]]:
    return lambda query: [answer(query, f"{NAME}. 60 IN A {address}")]


@asynccontextmanager
async def running_collector(data: Path, plan: Plan) -> AsyncIterator[Collector]:
    fleet = Fleet(data)
    signer = open_keyring(data, [HOST]).signing
    issue_plan(fleet, signer, plan, SystemClock().wall_us() // SECOND_US)
    fleet.close()
    async with ingest_server(data, heartbeat_s=1) as server:
        yield Collector(server)


async def test_control_visits_edges_that_only_a_vantage_was_led_to(tmp_path: Path) -> None:
    """A control visits edges that only a vantage was sent to.

    One works abroad, the other is dead for all, and so it is not blocked.
    """
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(serving(hang_up)) for _ in range(2)]
        works, dead = (f"{NAME}:{port}" for port in ports)
        collector = await stack.enter_async_context(
            running_collector(tmp_path / "data", make_plan(*ports))
        )
        server = collector.server
        honest, leading = (
            stack.enter_context(dns_server(answer_with(address))) for address in (HOST, EDGE)
        )
        volunteer = await enrolled(server)
        age_agents(server.data)
        server.intake.directory.reload_fleet(force=True)
        await stack.enter_async_context(running_control(server, tmp_path, honest.address))
        await until_true(lambda: len(collector.sessions.list_sites()) == 1)
        collector.dispatcher.follow_plan()
        await collector.dispatcher.resolve_own_hosts()
        for target in (works, dead):
            await collector.find(AgentRole.CONTROL, target, is_visit=False)

        results = [await measure_as_volunteer(target, leading.address) for target in (works, dead)]
        sealed = volunteer.envelope(1, [replace(x, sequence=n) for n, x in enumerate(results, 1)])
        await server.intake.accept(sealed.SerializeToString(), HOST, elsewhere=False)
        met = [
            await collector.find(AgentRole.VOLUNTEER, target, is_visit=False)
            for target in (works, dead)
        ]
        assert not any(collector.views[record.id].looks for record in met)
        collector.dispatcher.send_orders()  # too early: an observer could pair visit and vantage
        await stack.enter_async_context(serving(hang_up, EDGE, port=ports[0]))
        collector.clock.ahead_us = 180 * SECOND_US
        collector.dispatcher.send_orders()

        for target, record, failure in zip(
            (works, dead), met, (None, Failure.CONNECTION_REFUSED), strict=True
        ):
            visit = await collector.find(AgentRole.CONTROL, target, is_visit=True)
            steps = visit.measurement.observations
            assert [(x.tcp.address, x.failure) for x in steps if x.tcp] == [(EDGE, failure)]
            assert len(steps) == 1, "nothing was looked up"
            (look,) = [x for x in collector.views[record.id].looks if x.is_visit]
            assert look.measurement == visit.measurement
        states = {verdict.state for verdict in collector.verdicts[met[1].id]}
        assert VerdictState.BLOCKED not in states
