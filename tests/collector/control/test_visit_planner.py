"""Visits of controls: what they are asked to test, and what they refuse."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Any

import pytest

from heliograph.observation import Link, Measurement
from heliograph.plan import Endpoint, EndpointKind, Plan, PlannedTask, Service
from heliograph.visits import MAX_VISITS, Visit
from heliograph_collector.control.target_key import WINDOW_US
from heliograph_collector.control.visit_planner import (
    MAX_DELAY_S,
    MIN_DELAY_S,
    RETRY_US,
    VisitLimits,
    VisitOrder,
    VisitPlanner,
)
from heliograph_collector.control.visit_policy import VisitPolicy
from heliograph_collector.model.control_look import ControlSite
from heliograph_collector.model.records import (
    AgentRole,
    JudgedMeasurement,
    Verdict,
    VerdictState,
)
from heliograph_collector.model.seniority import Seniority
from support.control_records import build_control, build_record
from support.scenario import HOST, MINUTE_US, NOON_US

URL = f"https://{HOST}/"
EDGE = "9.8.7.6"  # which only the vantage was led to
SHARED = "5.6.7.8"  # which the control was led to
SITES = (ControlSite(b"a", "AS1"), ControlSite(b"b", "AS2"), ControlSite(b"c", "AS2"))
SIGNAL = Service(
    name="signal",
    title="",
    experiment="signal",
    endpoints=(
        Endpoint(id="chat", kind=EndpointKind.TLS, host="chat.example", port=443),
        Endpoint(id="dc", kind=EndpointKind.TCP, host="9.9.9.1", port=443),
    ),
)
PLAN = Plan(
    version=1, issued_s=0, expires_s=2**33, services_version="1", services=(SIGNAL,),
    tasks=(
        PlannedTask(experiment="web", target=URL, interval_s=600),
        PlannedTask(experiment="signal", service="signal", interval_s=600),
        PlannedTask(experiment="sni", target="named.example", interval_s=600),
        PlannedTask(experiment="ech", target="named.example", interval_s=600),
    ),
)  # fmt: skip
VISIT = Visit(experiment="web", target=URL, address=EDGE)


@dataclass
class FixedAsns:
    """Meta's and a cloud's network."""

    asns: dict[str, int] = field(
        default_factory=lambda: {
            "31.13.1.1": 32934, "157.240.1.1": 32934, "3.3.3.3": 16509, "52.1.1.1": 16509,
        }
    )  # fmt: skip

    def find_asn(self, literal: str) -> int:
        return self.asns.get(literal, 0)


def make_planner(*networks: str, limits: VisitLimits | None = None) -> VisitPlanner:
    policy = VisitPolicy(FixedAsns(), tuple(map(ip_network, networks)))
    planner = VisitPlanner(policy, random.Random(1), limits)
    planner.follow_plan(PLAN)
    return planner


def reset_at(*addresses: str) -> list[dict[str, Any]]:
    attempts = [
        ({f"connect {address}": "ok"}, {"tls": "connection_reset"}) for address in addresses
    ]
    return [{"system A": list(addresses)}, *(step for steps in attempts for step in steps)]


def with_port(measurement: Measurement, port: int) -> Measurement:
    steps = (
        replace(x, tcp=replace(x.tcp, port=port)) if x.tcp else x for x in measurement.observations
    )
    return replace(measurement, observations=tuple(steps))


def report(
    *addresses: str, nym: str = "v1", prefix: str = "", reporter: str = "", port: int = 443,
    seniority: Seniority = Seniority.ESTABLISHED, state: VerdictState = VerdictState.UNKNOWN,
    minute: float = 0, label: str = "", **facts: Any,
) -> JudgedMeasurement:  # fmt: skip
    facts = {"target": URL, **facts}
    record = build_record(reset_at(*addresses), minute, nym=nym, prefix=prefix, **facts)
    record = replace(
        record, reporter=reporter or nym, seniority=seniority, received_us=record.started_us,
        measurement=with_port(record.measurement, port),
    )  # fmt: skip
    return record, (Verdict(state=state, rule="none.unobserved", endpoint=label),)


def look(
    address: str, minute: float = 0, *, works: bool = True, asn: int = 1, **facts: Any
) -> JudgedMeasurement:
    steps: list[dict[str, Any]] = [
        {"system A": address}, {f"connect {address}": "ok"},
        {"tls": "ok" if works else "connection_reset"},
    ]  # fmt: skip
    record = build_control(steps, minute, target=URL, **facts)
    return replace(record, vantage=replace(record.vantage, asn=asn)), ()


def orders(
    planner: VisitPlanner,
    *judged: JudgedMeasurement,
    sites: Sequence[ControlSite] = SITES,
    minute: float = 4,
) -> list[Visit]:
    """The visits ordered minutes after these were judged at noon, each once."""
    planner.add(judged, NOON_US)
    taken = planner.take_orders(sites, NOON_US + int(minute * MINUTE_US))
    return sorted({visit for order in taken for visit in order.visits}, key=str)


TWO = (report(EDGE, nym="v1"), report(EDGE, nym="v2"))


def test_edge_that_two_vantages_were_led_to_is_visited_later() -> None:
    planner = make_planner()
    planner.add(TWO, NOON_US)
    soon = NOON_US + int(MIN_DELAY_S * 1_000_000) - 1
    assert planner.take_orders(SITES, soon) == [], "at once, it could be paired with a vantage"
    (order,) = planner.take_orders(SITES, NOON_US + int(MAX_DELAY_S * 1_000_000))
    assert order.visits == (VISIT,)


@pytest.mark.parametrize(
    ("case", "control_address", "address", "is_visited"),
    [
        ("the control's own answer", EDGE, EDGE, True),
        ("its /24", "9.8.7.1", EDGE, True),
        ("another /24", "9.8.6.6", EDGE, False),
        ("its /48", "2606:4700:1::1", "2606:4700:1:2::9", True),
        ("another /48", "2606:4700:1::1", "2606:4700:2::1", False),
        ("the AS of an owner that rents nothing", "31.13.1.1", "157.240.1.1", True),
        ("the AS of a cloud, where a state rents an address", "52.1.1.1", "3.3.3.3", False),
        ("an unknown AS", "8.8.1.1", "8.9.1.1", False),
    ],
)
def test_one_vantage_alone_is_followed_only_where_the_controls_answers_cover_it(
    case: str, control_address: str, address: str, is_visited: bool
) -> None:
    """One vantage's address is visited only if the control's answers cover it.

    Otherwise a state that gave this client the address would learn its identity.
    """
    steps: list[dict[str, Any]] = [{"system A": control_address}]
    control = build_control(steps, target=URL)
    visited = orders(make_planner(), (control, ()), report(address))
    assert bool(visited) is is_visited, case


@pytest.mark.parametrize(
    ("case", "judged"),
    [
        ("one client handed an address of his own", [report(EDGE)]),
        ("the same client again and again", [report(EDGE, minute=m) for m in range(5)]),
        ("the same client in two networks", [
            report(EDGE, nym="home", prefix="p1", reporter="r"),
            report(EDGE, nym="mobile", prefix="p2", reporter="r"),
        ]),
        ("many agents in one network", [
            report(EDGE, nym=f"v{n}", prefix="p1") for n in range(9)
        ]),
        ("two agents and one of them moving", [
            report(EDGE, nym="v1", prefix="p1"), report(EDGE, nym="v2", prefix="p1"),
            report(EDGE, nym="v3", prefix="p1", reporter="v1"),
        ]),
        ("a crowd of young agents in many networks", [
            report(EDGE, nym=f"v{n}", seniority=Seniority.YOUNG) for n in range(50)
        ]),
        ("agents enrolled today", [
            report(EDGE, nym=f"v{n}", seniority=Seniority.NEW) for n in range(50)
        ]),
        ("strangers in quarantine", [
            report(EDGE, nym=f"v{n}", role=AgentRole.QUARANTINE) for n in range(9)
        ]),
        ("volunteers who call their results visits of controls", [
            report(EDGE, nym=f"v{n}", is_visit=True, seniority=Seniority.NEW) for n in range(9)
        ]),
        ("a port beside the plan's", [report(EDGE, nym=n, port=22) for n in ("v1", "v2")]),
        ("a page beside the plan's", [
            report(EDGE, nym=n, target="https://victim.example/") for n in ("v1", "v2")
        ]),
        ("an experiment that is not repeated", [
            report(EDGE, nym=n, experiment="ech", target="named.example") for n in ("v1", "v2")
        ]),
        ("a label beside the plan's", [
            report(EDGE, nym=n, experiment="signal", service="signal", target="signal",
                   label="other") for n in ("v1", "v2")
        ]),
        ("vantages whose link is down", [
            report(EDGE, nym=n, link=Link.DOMESTIC_ONLY) for n in ("v1", "v2")
        ]),
        ("an upload after dark days", [
            report(EDGE, nym=n, minute=-3 * 24 * 60) for n in ("v1", "v2")
        ]),
        ("an endpoint that works", [
            report(EDGE, nym=n, state=VerdictState.REACHABLE) for n in ("v1", "v2")
        ]),
    ],
)  # fmt: skip
def test_nobody_leads_a_control_anywhere_else(case: str, judged: list[JudgedMeasurement]) -> None:
    assert orders(make_planner(), *judged) == [], case


def test_reports_around_midnight_are_of_one_network_in_doubt() -> None:
    """The hash of a prefix changes with the day, and its network does not."""
    midnight = NOON_US - NOON_US % (24 * 60 * MINUTE_US) + 24 * 60 * MINUTE_US
    for offsets, is_visited in (((-1, 1), False), ((31, 33), True), ((-2, -1), True)):
        planner = make_planner()
        for number, offset in enumerate(offsets):
            at_us = midnight + offset * MINUTE_US
            record, verdicts = report(EDGE, nym=f"v{number}")
            moved = replace(record.measurement, started_us=at_us)
            planner.add([(replace(record, measurement=moved, received_us=at_us), verdicts)], at_us)
        assert bool(planner.take_orders(SITES, at_us + 4 * MINUTE_US)) is is_visited, offsets


@pytest.mark.parametrize(
    "address",
    ["10.1.2.3", "127.0.0.1", "100.64.0.1", "198.18.0.7", "192.0.2.1", "0.0.0.0", "224.0.0.9",
     "::1", "fe80::1", "fd00::1", "64:ff9b::808:808", "::ffff:9.8.7.6", "2002:908:706::1",
     "4.4.4.4"],
)  # fmt: skip
def test_special_addresses_and_own_entrances_are_never_visited(address: str) -> None:
    planner = make_planner()
    planner.refuse_addresses({"4.4.4.4"})
    judged = [report(address, nym=nym) for nym in ("v1", "v2")]
    assert orders(planner, *judged) == []


def test_lab_opens_its_own_network_and_no_other() -> None:
    judged = [report("10.1.2.3", "10.2.2.3", nym=nym) for nym in ("v1", "v2")]
    visited = orders(make_planner("10.1.0.0/16"), *judged)
    assert [visit.address for visit in visited] == ["10.1.2.3"]


@pytest.mark.parametrize(
    ("case", "looks", "networks"),
    [
        ("nobody looked", [], {"AS1", "AS2"}),
        ("it works for one", [look(EDGE)], set()),
        ("it fails for one", [look(EDGE, works=False)], {"AS2"}),
        ("it fails for two in one network", [
            look(EDGE, works=False), look(EDGE, works=False, nym="d")], {"AS2"}),
        ("it fails for two", [look(EDGE, works=False), look(EDGE, works=False, asn=2)], set()),
        ("the look is old", [look(EDGE, minute=-16)], {"AS1", "AS2"}),
        ("the control is cut off", [look(EDGE, link=Link.OFFLINE)], {"AS1", "AS2"}),
        ("it looked elsewhere", [look(SHARED)], {"AS1", "AS2"}),
    ],
)  # fmt: skip
def test_controls_look_where_none_has(
    case: str, looks: list[JudgedMeasurement], networks: set[str]
) -> None:
    planner = make_planner()
    planner.take_orders(SITES, NOON_US)  # it knows how many networks there are
    planner.add([*looks, *TWO], NOON_US)
    taken = planner.take_orders(SITES, NOON_US + 4 * MINUTE_US)
    assert len(taken) == bool(networks), case
    assert {network_of(order) for order in taken} <= networks, case


def network_of(order: VisitOrder) -> str:
    return next(site.network for site in SITES if site.agent == order.agent)


@pytest.mark.parametrize(("works", "is_asked"), [(True, False), (False, True)])
def test_failed_visit_is_repeated_from_a_second_network(*, works: bool, is_asked: bool) -> None:
    planner = make_planner()
    planner.add(TWO, NOON_US)
    (first,) = planner.take_orders(SITES, NOON_US + 3 * MINUTE_US)
    asn = int(network_of(first).removeprefix("AS"))
    visit = look(EDGE, 3, works=works, asn=asn, is_visit=True)
    planner.add([visit], NOON_US + 3 * MINUTE_US)
    assert planner.take_orders(SITES, NOON_US + int(3.9 * MINUTE_US)) == [], "not at once"
    second = planner.take_orders(SITES, NOON_US + 6 * MINUTE_US)
    assert bool(second) is is_asked
    assert network_of(first) not in {network_of(order) for order in second}
    again = [look(EDGE, 6, works=False, asn=n, is_visit=True) for n in (1, 2)]
    planner.add(again, NOON_US + 6 * MINUTE_US)
    assert planner.take_orders(SITES, NOON_US + 10 * MINUTE_US) == [], "two have looked"


def test_one_control_is_asked_once_where_there_is_no_other() -> None:
    planner = make_planner()
    assert orders(planner, *TWO, sites=SITES[:1]) == [VISIT]
    failed = look(EDGE, 4, works=False, is_visit=True)
    assert orders(planner, failed, *TWO, sites=SITES[:1], minute=14) == []


def test_visit_is_not_repeated_until_it_is_old() -> None:
    planner = make_planner()
    assert orders(planner, *TWO) == [VISIT]
    again = [report(EDGE, nym=nym, minute=5) for nym in ("v1", "v2")]
    planner.add(again, NOON_US + 5 * MINUTE_US)
    assert planner.take_orders(SITES, NOON_US + 9 * MINUTE_US) == []
    later_us = NOON_US + 4 * MINUTE_US + RETRY_US
    late = [report(EDGE, nym=nym, minute=15) for nym in ("v1", "v2")]
    planner.add(late, later_us)
    assert planner.take_orders(SITES, later_us + WINDOW_US)


@pytest.mark.parametrize(
    ("limits", "reporters", "country_of", "expected"),
    [
        ({"of_reporter": 5}, 1, "KZ", 5),
        ({"of_target_network": 7}, 3, "KZ", 7),
        ({"of_country": 4}, 3, "KZ", 4),
        ({"of_all": 6}, 3, "KZ", 6),
        ({}, 3, "KZ", 12),
    ],
)
def test_quotas_bound_what_one_reporter_target_network_or_country_causes(
    limits: dict[str, int], reporters: int, country_of: str, expected: int
) -> None:
    """The control's own answers cover the /24, so each report alone would be followed."""
    planner = make_planner(limits=VisitLimits(**limits))
    addresses = [f"9.8.7.{n}" for n in range(1, 13)]
    judged = [
        report(address, nym=f"v{n % reporters}", country=country_of, minute=n / 10)
        for n, address in enumerate(addresses)
    ]
    assert len(orders(planner, look("9.8.7.200"), *judged)) == expected


def test_service_endpoints_go_in_orders_of_bounded_size() -> None:
    addresses = [f"9.8.{n}.6" for n in range(MAX_VISITS + 3)]

    def met(nym: str) -> JudgedMeasurement:
        record, _ = report(*addresses, nym=nym, experiment="signal", service="signal")
        steps = tuple(replace(x, endpoint="chat") for x in record.measurement.observations)
        verdict = Verdict(state=VerdictState.BLOCKED, rule="tls.reset", endpoint="chat")
        measurement = replace(record.measurement, observations=steps)
        return replace(record, measurement=measurement), (verdict,)

    planner = make_planner()
    planner.add([met("v1"), met("v2")], NOON_US)
    taken = planner.take_orders(SITES[:1], NOON_US + 4 * MINUTE_US)
    assert [len(order.visits) for order in taken] == [MAX_VISITS, 3]
    visit = taken[0].visits[0]
    assert (visit.experiment, visit.service, visit.target) == ("signal", "signal", "")
    assert visit.endpoint == "chat"


@pytest.mark.parametrize(("reached", "count"), [("9.9.9.1", 0), ("2606:4700::2", 1)])
def test_ipv6_is_visited_for_vantages_that_have_it(reached: str, count: int) -> None:
    """No look at such an address changes a verdict on a vantage that reaches none."""
    steps = {
        "chat": [{"connect 2606:4700::1": "generic_timeout_error"}],
        "dc": [{f"connect {reached}": "ok"}],
    }
    verdict = Verdict(state=VerdictState.UNKNOWN, rule="none.ipv6", endpoint="chat")

    def met(nym: str) -> JudgedMeasurement:
        record = build_record(steps, nym=nym, experiment="signal", service="signal")
        established = replace(record, seniority=Seniority.ESTABLISHED, reporter=nym)
        return replace(established, measurement=with_port(record.measurement, 443)), (verdict,)

    assert len(orders(make_planner(), met("v1"), met("v2"))) == count


def test_change_of_plan_drops_what_it_no_longer_names() -> None:
    planner = make_planner()
    planner.add(TWO, NOON_US)
    planner.follow_plan(replace(PLAN, tasks=()))
    assert planner.take_orders(SITES, NOON_US + 4 * MINUTE_US) == []


def test_no_control_means_no_visit_and_no_burst_later() -> None:
    planner = make_planner()
    assert orders(planner, *TWO, sites=()) == []
    assert planner.take_orders(SITES, NOON_US + 5 * MINUTE_US) == []
