"""Visits: a control follows orders within its plan, and no other agent does."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from heliograph import keys
from heliograph.observation import Measurement
from heliograph.plan import Carrier, Endpoint, EndpointKind, Entrance, Plan, PlannedTask, Service
from heliograph.v1 import intake_pb2
from heliograph.visits import MAX_AGE_S, MAX_VISITS, Visit, open_order, sign_order
from heliograph_agent.config import Config
from heliograph_agent.consent import OPERATORS_CONSENT
from heliograph_agent.runtime.runner import Runner, TaskContext
from heliograph_agent.runtime.settings import AgentSettings
from heliograph_agent.runtime.visits import VISITS_PER_HOUR, VisitQueue
from heliograph_agent.schedule import Task
from heliograph_agent.state import Collector, State
from support.fake_net import FakeDoor, Page, World
from support.hand_clock import HandClock
from support.scripted_intake import plan_of

AGENT = b"control of sixteen bytes"[:16]
SIGNER, THIEF = (keys.SigningKey(bytes([n]) * 32) for n in (1, 2))
EDGE = "5.6.7.8"
ENDPOINTS = (
    Endpoint(id="web", kind=EndpointKind.HTTPS, host="web.messenger.example", port=443, path="/k"),
    Endpoint(id="name", kind=EndpointKind.DNS, host="web.messenger.example", port=53),
    Endpoint(id="dc", kind=EndpointKind.TCP, host="9.9.9.1", port=443),
)
SERVICE = Service(name="telegram", title="", experiment="telegram", endpoints=ENDPOINTS)
ANCHOR = Endpoint(id="a", kind=EndpointKind.TCP, host="a.example", port=443)
ANCHORS = Service(name="anchors", title="", experiment="connectivity", endpoints=(ANCHOR,))
PLAN = replace(
    plan_of(
        PlannedTask(experiment="telegram", service="telegram", interval_s=60),
        PlannedTask(experiment="connectivity", service="anchors", interval_s=60),
        PlannedTask(experiment="web", target="http://page.example/", interval_s=60),
        PlannedTask(experiment="tcp", target="9.9.9.2:443", interval_s=60),
        PlannedTask(experiment="sni", target="named.example", interval_s=60),
        PlannedTask(experiment="tls", target="others.example:443", interval_s=60, role="volunteer"),
        services=(SERVICE, ANCHORS),
    ),
    entrances=(
        Entrance(carrier=Carrier.POST, host="entrance.example", port=443, addresses=("8.8.4.4",)),
        Entrance(carrier=Carrier.STREAM, host="8.8.8.8", port=443),
    ),
)
WORLD_PORTS = {(EDGE, 443): None, (EDGE, 80): None}
SERVICE_VISIT = Visit(experiment="telegram", service="telegram", endpoint="web", address=EDGE)
PAGE_VISIT = Visit(experiment="web", target="http://page.example/", address=EDGE)
SNI_VISIT = Visit(experiment="sni", target="named.example", endpoint="neutral", address=EDGE)


@dataclass
class ControlBench:
    """A control's queue, its plan, and the visits that it runs."""

    role: str = "control"
    local_targets: bool = False
    plan: Plan = field(default_factory=lambda: PLAN.for_role("control"))
    world: World = field(
        default_factory=lambda: World(
            names={"entrance.example": ("7.7.7.7",), "collector.example": ("7.7.7.8",)},
            ports=dict(WORLD_PORTS),
            pages={
                "https://web.messenger.example/k": Page(),
                "http://page.example/": Page(status=301, location="http://elsewhere.example/"),
                "https://www.page.example/": Page(),
            },
            forbidden=frozenset({"5.5.5.5"}),
        )
    )
    tasks: list[Task] = field(default_factory=list)
    clock: HandClock = field(default_factory=HandClock)

    @property
    def settings(self) -> AgentSettings:
        collector = Collector(
            endpoint="collector.example:7443", pin=b"", certificate="",
            signing_key=SIGNER.public, sealing_key=b"", agent=AGENT, role=self.role,
        )  # fmt: skip
        return AgentSettings(
            state=State(Path("unused")), config=Config(local_targets=self.local_targets),
            collector=collector, consent=OPERATORS_CONSENT, plan=PLAN,
        )  # fmt: skip

    def now_us(self) -> int:
        return self.clock.wall_us()

    def make_net_source(self) -> FakeDoor:
        return FakeDoor(self.world, self.clock)

    async def run_visit(self, task: Task) -> None:
        self.tasks.append(task)

    async def follow(
        self, *orders: intake_pb2.SignedVisitOrder, last: Sequence[Visit] = (PAGE_VISIT,)
    ) -> list[tuple[str, dict[str, tuple[str, ...]]]]:
        """Return what was visited for these orders; a good order after them marks the end."""
        queue = VisitQueue(self, self, self.clock)
        for order in (*orders, self.order(*last)):
            queue.take_order(order)
        running = asyncio.ensure_future(queue.run())
        try:
            for _ in range(200):
                await asyncio.sleep(0)
        finally:
            running.cancel()
        visited = [(task.experiment, dict(task.addresses or {})) for task in self.tasks]
        assert self.role != "control" or visited[-1] == ("web", {"": (EDGE,)})
        return visited[:-1]

    def order(self, *visits: Visit) -> intake_pb2.SignedVisitOrder:
        return sign_order(visits, AGENT, SIGNER, self.now_us() // 1_000_000)


async def test_control_visits_what_its_plan_names() -> None:
    bench = ControlBench()
    second = replace(SERVICE_VISIT, address="6.7.8.9")
    assert await bench.follow(bench.order(SERVICE_VISIT, second, second)) == [
        ("telegram", {"web": (EDGE, "6.7.8.9")})
    ]
    (service,) = [task.service for task in bench.tasks if task.service]
    assert [endpoint.id for endpoint in service.endpoints] == ["web"]


@pytest.mark.parametrize(
    "visit",
    [
        replace(SERVICE_VISIT, endpoint="unknown"),
        replace(SERVICE_VISIT, endpoint="name"),  # a lookup, which has no address
        replace(SERVICE_VISIT, endpoint="dc"),  # an address in the plan is no other address
        replace(SERVICE_VISIT, service="other"),
        replace(SERVICE_VISIT, experiment="whatsapp"),
        Visit(experiment="connectivity", service="anchors", endpoint="a", address=EDGE),
        Visit(experiment="tcp", target="9.9.9.2:443", address=EDGE),
        Visit(experiment="sni", target="named.example", address=EDGE),
        Visit(experiment="sni", target="named.example", endpoint="target", address=EDGE),
        replace(PAGE_VISIT, endpoint="https://victim.example/"),
        replace(PAGE_VISIT, endpoint="https://www.page.example/admin"),
        replace(PAGE_VISIT, endpoint="https://www.page.example:22/"),
        replace(PAGE_VISIT, endpoint="https://a@www.page.example/"),
        replace(PAGE_VISIT, endpoint="http://www.page.example/"),
        replace(PAGE_VISIT, endpoint="https://9.9.9.9/"),
        Visit(experiment="tls", target="others.example:443", address=EDGE),  # not for controls
        Visit(experiment="web", target="http://victim.example/", address=EDGE),
        Visit(experiment="web", target="http://page.example/admin", address=EDGE),
        Visit(experiment="web", target="http://page.example:22/", address=EDGE),
    ],
    ids=str,
)
async def test_nothing_beyond_the_signed_plan_is_visited(visit: Visit) -> None:
    bench = ControlBench()
    assert await bench.follow(bench.order(visit)) == []


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1", "127.0.0.1", "169.254.1.1", "192.0.2.1", "198.18.0.1", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.88.99.1", "::1", "fe80::1", "fc00::1",
        "::ffff:5.6.7.8", "::ffff:10.0.0.1", "64:ff9b::506:708", "64:ff9b:1::1", "2002:506:708::1",
        "2001::1", "2001:db8::1", "ff02::1", "4000::1", "fec0::1",
        "2606:4700::1%eth0", "page.example", "5.6.7.8 ", "",
        "5.5.5.5",  # of this machine's own network
        "8.8.8.8", "8.8.4.4", "7.7.7.7", "7.7.7.8",  # entrances: as given, and as their names lead
    ],
)  # fmt: skip
async def test_no_special_own_or_entrance_address_is_visited(address: str) -> None:
    bench = ControlBench()
    visit = replace(SERVICE_VISIT, address=address)
    assert await bench.follow(bench.order(visit)) == []


async def test_operator_of_a_lab_may_allow_its_own_networks() -> None:
    bench = ControlBench(local_targets=True)
    visit = replace(SERVICE_VISIT, address="10.0.0.1")
    entrance = replace(SERVICE_VISIT, address="7.7.7.7")
    visited = await bench.follow(bench.order(visit, entrance))
    assert visited == [("telegram", {"web": ("10.0.0.1",)})]


async def test_volunteer_follows_no_order() -> None:
    bench = ControlBench(role="volunteer")
    assert await bench.follow(bench.order(SERVICE_VISIT)) == []
    assert bench.tasks == []


async def test_comparison_sends_all_its_hellos_to_the_server_that_is_visited() -> None:
    result = await measure(ControlBench(), SNI_VISIT)
    assert [x.endpoint for x in result.observations if x.tls] == ["neutral", "none", "target"]
    assert {x.tcp.address for x in result.observations if x.tcp} == {EDGE}


async def test_order_that_is_forged_stale_or_for_another_is_refused() -> None:
    bench = ControlBench()
    now_s = bench.now_us() // 1_000_000
    assert await bench.follow(
        sign_order((SERVICE_VISIT,), AGENT, THIEF, now_s),
        sign_order((SERVICE_VISIT,), bytes(16), SIGNER, now_s),
        sign_order((SERVICE_VISIT,), AGENT, SIGNER, now_s - MAX_AGE_S - 1),
        intake_pb2.SignedVisitOrder(
            order=b"\xff", signature=SIGNER.sign(keys.VISITS, b"\xff")
        ),
    ) == []  # fmt: skip
    with pytest.raises(ValueError, match="at most"):
        sign_order((SERVICE_VISIT,) * (MAX_VISITS + 1), AGENT, SIGNER, now_s)
    full = sign_order((SERVICE_VISIT,) * MAX_VISITS, AGENT, SIGNER, now_s)
    assert open_order(full, SIGNER.public, AGENT, now_s) == (SERVICE_VISIT,) * MAX_VISITS


async def test_collector_that_asks_for_too_much_is_not_followed() -> None:
    bench = ControlBench()
    queue = VisitQueue(bench, bench, bench.clock)
    full = bench.order(*(SERVICE_VISIT,) * MAX_VISITS)
    rounds = VISITS_PER_HOUR // MAX_VISITS
    running = asyncio.ensure_future(queue.run())
    for _ in range(rounds + 3):
        queue.take_order(full)
        for _ in range(20):
            await asyncio.sleep(0)
    running.cancel()
    assert len(bench.tasks) == rounds


async def measure(bench: ControlBench, visit: Visit) -> Measurement:
    await bench.follow(bench.order(visit))
    task = bench.tasks[0]
    runner = Runner(FakeDoor(bench.world, bench.clock), bench.clock, PLAN.limits, "boot")
    return await runner.run(task, TaskContext(epoch="e", addresses=task.addresses))


@pytest.mark.parametrize(
    ("visit", "operations"),
    [
        (SERVICE_VISIT, ["connect", "tls_handshake", "http_round_trip", "read_body"]),
        (PAGE_VISIT, ["connect", "http_round_trip", "read_body"]),
        (
            replace(PAGE_VISIT, endpoint="https://www.page.example/"),
            ["connect", "tls_handshake", "http_round_trip", "read_body"],
        ),
    ],
    ids=["service", "page whose redirect and TLS port are left alone", "page after a redirect"],
)
async def test_visit_repeats_the_steps_at_the_address_without_a_lookup(
    visit: Visit, operations: list[str]
) -> None:
    result = await measure(ControlBench(), visit)
    assert [x.operation.value for x in result.observations] == operations
    assert {x.tcp.address for x in result.observations if x.tcp} == {EDGE}
    assert {x.endpoint for x in result.observations} == {visit.endpoint}
    assert (result.is_visit, result.service, result.not_measured) == (True, visit.service, "")
