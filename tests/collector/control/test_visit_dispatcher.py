"""Orders reach connected controls alone, and never the collector's entrances."""

import random
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from aiohttp.abc import ResolveResult
from prometheus_client import CollectorRegistry

from heliograph import keys
from heliograph.plan import Carrier, Entrance, Plan, PlannedTask
from heliograph.v1 import intake_pb2
from heliograph.visits import Visit, open_order
from heliograph_collector.control.visit_dispatcher import VisitDispatcher
from heliograph_collector.control.visit_planner import VisitPlanner
from heliograph_collector.control.visit_policy import VisitPolicy
from heliograph_collector.model.control_look import ControlSite
from heliograph_collector.model.records import Block, Verdict, VerdictState
from heliograph_collector.model.seniority import Seniority
from support.control_records import build_record
from support.hand_clock import HandClock
from support.scenario import HOST, NOON_US

URL = f"https://{HOST}/"
SIGNER = keys.SigningKey(bytes(32))
CONTROL = b"control of sixteen bytes"[:16]
ENTRANCES = (
    Entrance(carrier=Carrier.POST, host="door.example", port=443, addresses=("4.4.4.1",)),
    Entrance(carrier=Carrier.STREAM, host="4.4.4.2", port=443),
)


class NoAsns:
    def find_asn(self, literal: str) -> int:
        return 0


@dataclass
class Sessions:
    """One connected control, and the messages it was sent."""

    plan: Plan
    orders: list[intake_pb2.SignedVisitOrder] = field(default_factory=list)
    reads: bool = True

    @property
    def plan_version(self) -> int:
        return self.plan.version

    def read_plan(self) -> Plan:
        return self.plan

    def list_sites(self) -> Sequence[ControlSite]:
        return [ControlSite(CONTROL, "AS1")]

    def send_visits(self, agent: bytes, order: intake_pb2.SignedVisitOrder) -> bool:
        self.orders.append(order)
        return self.reads and agent == CONTROL


@dataclass
class Names:
    addresses: Mapping[str, str]

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> Sequence[ResolveResult]:
        if host not in self.addresses:
            raise OSError("no such name")
        return [
            ResolveResult(
                hostname=host, host=self.addresses[host], port=port, family=family, proto=0, flags=0
            )
        ]


def make_dispatcher(sessions: Sessions, names: Names, registry: CollectorRegistry) -> tuple[
    VisitDispatcher, HandClock
]:  # fmt: skip
    clock = HandClock()
    clock.wall = NOON_US
    planner = VisitPlanner(VisitPolicy(NoAsns()), random.Random(1))
    return VisitDispatcher(
        planner, sessions, SIGNER, clock=clock, registry=registry, resolver=names,
        own_hosts=("collector.example", "127.0.0.1", "unknown.example"),
    ), clock  # fmt: skip


def block_of(*addresses: str) -> Block:
    """Return a block by two established vantages with all of these addresses."""
    steps = [{"system A": " ".join(addresses)}]
    for address in addresses:
        steps += [{f"connect {address}": "ok"}, {"tls": "connection_reset"}]
    verdict = Verdict(state=VerdictState.UNKNOWN, rule="none.unobserved")
    records = [build_record(steps, nym=nym, target=URL) for nym in ("v1", "v2")]
    judged = [(replace(r, seniority=Seniority.ESTABLISHED), (verdict,)) for r in records]
    return Block(journal="j", first=0, last=0, judged=tuple(judged))


async def test_signed_order_leaves_out_every_address_of_our_own() -> None:
    task = PlannedTask(experiment="web", target=URL, interval_s=600)
    plan = Plan(
        version=3, issued_s=0, expires_s=0, services_version="1", tasks=(task,), entrances=ENTRANCES
    )
    sessions = Sessions(plan)
    names = Names({"door.example": "4.4.4.3", "collector.example": "4.4.4.4"})
    registry = CollectorRegistry()
    dispatcher, clock = make_dispatcher(sessions, names, registry)
    assert dispatcher.follow_plan()
    assert not dispatcher.follow_plan(), "once for each plan"
    await dispatcher.resolve_own_hosts()
    names.addresses = {}
    await dispatcher.resolve_own_hosts()  # names that fail for once keep their addresses
    dispatcher.on_block(block_of("4.4.4.1", "4.4.4.2", "4.4.4.3", "4.4.4.4", "9.8.7.6"))
    dispatcher.send_orders()
    assert sessions.orders == []
    clock.advance_us(180_000_000)
    dispatcher.send_orders()
    (order,) = sessions.orders
    now_s = clock.wall_us() // 1_000_000
    visit = Visit(experiment="web", target=URL, address="9.8.7.6")
    assert open_order(order, SIGNER.public, CONTROL, now_s) == (visit,)
    assert registry.get_sample_value("heliograph_control_visits_total") == 1
