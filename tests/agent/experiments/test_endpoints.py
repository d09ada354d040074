"""Visits go to the step that their kind names, over a limited number of addresses."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from heliograph.failure import Operation
from heliograph.plan import Endpoint, EndpointKind
from heliograph_agent.experiments.endpoints import (
    make_url,
    parse_host_port,
    visit_endpoint,
    visit_endpoints,
)
from heliograph_agent.experiments.experiment import CannotRun
from heliograph_agent.net import StepResult, StepTrace
from support.fake_net import FakeDoor, FakeNet, Page, World
from support.hand_clock import HandClock

STEPS = "resolve connect tls_handshake http_round_trip read_body exchange quic_handshake"
R, C, T, H, B, X, Q = map(Operation, STEPS.split())


def endpoint(kind: str, host: str = "www.test", port: int = 443, method: str = "GET") -> Endpoint:
    return Endpoint(id="x", kind=EndpointKind(kind), host=host, port=port, method=method)


def net(world: World) -> tuple[FakeNet, StepTrace]:
    clock = HandClock()
    trace = StepTrace(clock)
    return FakeDoor(world, clock).bind(trace), trace


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("dns", [R, R]),
        ("tcp", [R, R, C]),
        ("tls", [R, R, C, T]),
        ("http", [R, R, C, H, B]),
        ("https", [R, R, C, T, H, B]),
        ("websocket", [R, R, C, T, H]),
        ("mtproto", [R, R, C, X]),
        ("noise", [R, R, C, X]),
        ("stun", [R, R, X]),
        ("quic", [R, R, Q]),
    ],
)
async def test_a_visit_climbs_to_the_step_its_kind_names(kind: str, steps: list[Operation]) -> None:
    url = "http://www.test:443/" if kind == "http" else "https://www.test/"
    opened = Page(status=101 if kind == "websocket" else 200)
    world = World(
        names={"www.test": ("192.0.2.1",)},
        ports={("192.0.2.1", 443): None},
        pages={url: opened},
        speeches={("192.0.2.1", 443): "yes"},
        quic={"www.test": None},
    )
    door, trace = net(world)
    await visit_endpoint(endpoint(kind), door)
    assert not any(o.failure for o in trace.observations if o.operation is not R)
    assert [o.operation for o in trace.observations] == steps
    assert {o.endpoint for o in trace.observations} == {"x"}


async def test_every_kind_of_the_contract_is_climbed() -> None:
    steps = dict.fromkeys(EndpointKind, 0)
    for kind in steps:
        door, trace = net(World(names={"www.test": ("192.0.2.1",)}))
        await visit_endpoint(endpoint(kind), door)
        steps[kind] = len(trace.observations)
    assert steps == dict.fromkeys(steps, 3) | {EndpointKind.DNS: 2}


async def test_an_endpoint_may_be_believed_whoever_it_is() -> None:
    door, trace = net(World(ports={("192.0.2.1", 443): None}))
    await visit_endpoint(replace(endpoint("tls", host="192.0.2.1"), trust="any"), door)
    assert [o.failure for o in trace.observations] == [None, None]


async def test_where_quic_is_not_installed_its_endpoints_are_left_out() -> None:
    door, trace = net(World(without=frozenset({"quic"})))
    await visit_endpoints([endpoint("quic", host="192.0.2.1"), endpoint("tcp")], door, 2)
    assert not any(o.operation is Q for o in trace.observations)
    with pytest.raises(CannotRun, match="has no quic"):
        await visit_endpoint(endpoint("quic", host="192.0.2.1"), door)


async def test_two_addresses_of_four_and_one_of_six_are_tried() -> None:
    many = (*(f"192.0.2.{n}" for n in range(1, 9)), "2001:db8::1", "2001:db8::2")
    door, trace = net(World(names={"www.test": many}))
    await visit_endpoint(endpoint("tcp"), door)
    tried = [o.tcp.address for o in trace.observations if o.tcp]
    assert tried == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]


async def test_visits_wait_for_no_other_and_never_more_than_allowed_run() -> None:
    at_once: list[int] = []

    class Counting(FakeNet):
        running = 0

        async def resolve(self, name: str, **how: Any) -> StepResult:
            type(self).running += how["query_type"] == "A"
            at_once.append(self.running)
            await asyncio.sleep(0)
            seen = await super().resolve(name, **how)
            type(self).running -= how["query_type"] == "A"
            return seen

    clock = HandClock()
    trace = StepTrace(clock)
    endpoints = [
        Endpoint(id=f"e{n}", kind=EndpointKind.DNS, host=f"{n}.test", port=53) for n in range(20)
    ]
    await visit_endpoints(endpoints, Counting(World(), clock, trace), 4)
    assert max(at_once) == 4
    assert {o.endpoint for o in trace.observations} == {e.id for e in endpoints}


@pytest.mark.parametrize(
    "odd",
    [
        Endpoint(id="odd", kind=EndpointKind.TLS, host="192.0.2.1", port=443, trust="tomorrow's"),
        Endpoint(id="odd", kind=EndpointKind.TCP, host="a..b", port=443),
    ],
)
async def test_an_endpoint_not_understood_is_left_out_and_alone_it_cannot_run(
    odd: Endpoint,
) -> None:
    door, trace = net(World())
    await visit_endpoints([odd, endpoint("tcp")], door, 2)
    assert {o.endpoint for o in trace.observations} == {"x"}
    with pytest.raises(CannotRun, match="odd: "):
        await visit_endpoints([odd], door, 2)


async def test_a_cancelled_visit_leaves_what_it_saw() -> None:
    world = World(ports={("192.0.2.1", 443): None}, hangs=frozenset({Operation.TLS_HANDSHAKE}))
    door, trace = net(world)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await visit_endpoint(endpoint("https", host="192.0.2.1"), door)
    assert [(o.operation, o.failure) for o in trace.observations] == [
        (Operation.CONNECT, None),
        (Operation.TLS_HANDSHAKE, "interrupted"),
    ]


def test_urls_leave_out_the_usual_port() -> None:
    assert make_url(endpoint("websocket")) == "https://www.test/"
    assert make_url(endpoint("https")) == "https://www.test/"
    assert make_url(endpoint("http", port=80)) == "http://www.test/"
    assert make_url(endpoint("http")) == "http://www.test:443/"
    assert make_url(endpoint("http", host="2001:db8::1", port=80)) == "http://[2001:db8::1]/"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("www.test:8443", ("www.test", 8443)),
        ("192.0.2.1:80", ("192.0.2.1", 80)),
        ("[2001:db8::1]:443", ("2001:db8::1", 443)),
        ("2001:db8::1", ("2001:db8::1", 443)),
        ("WWW.test", ("www.test", 443)),
        ("http://www.test/x", ("www.test", 80)),
        ("https://www.test:444/", ("www.test", 444)),
    ],
)
def test_places_are_read_as_people_write_them(text: str, place: tuple[str, int]) -> None:
    assert parse_host_port(text, default_port=443) == place


@pytest.mark.parametrize(("open_at", "visited"), [((1, 2), [1]), ((2,), [1, 2]), ((), [1, 2])])
async def test_a_light_check_visits_no_address_after_one_that_answers(
    open_at: tuple[int, ...], visited: list[int]
) -> None:
    world = World(
        names={"www.test": ("192.0.2.1", "192.0.2.2")},
        ports={(f"192.0.2.{n}", 443): None for n in open_at},
    )
    opened, trace = net(world)
    await visit_endpoints([endpoint("tcp")], opened, 1, ipv4=2, until_answered=True)
    addresses = [o.tcp.address for o in trace.observations if o.tcp]
    assert addresses == [f"192.0.2.{n}" for n in visited]
