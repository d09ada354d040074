"""Dropped packets, rejects and missing routes, in a private namespace."""

import json
from collections.abc import Iterator

import pytest

from support.netns import Namespace, namespace

pytestmark = pytest.mark.lab

PROBE = """
import asyncio, json, random, sys
from heliograph.clock import SystemClock
from heliograph_agent.net.config import NetConfig
from heliograph_agent.net.system_net import SystemNetFactory
from heliograph_agent.net.trace import StepTrace

async def main():
    config = NetConfig(resolver="192.0.2.7:53", dns_s=0.5, resolve_s=2, connect_s=0.5)
    trace = StepTrace(SystemClock())
    net = SystemNetFactory(config, trace.clock, random.Random(1)).bind(trace)
    {steps}
    print(json.dumps([(o.operation, o.failure, o.duration_us) for o in trace.observations]))

asyncio.run(main())
"""


@pytest.fixture
def lab() -> Iterator[Namespace]:
    with namespace() as space:
        space.address("192.0.2.7/32")
        yield space


def probe(lab: Namespace, *steps: str) -> list[list[object]]:
    seen: list[list[object]] = json.loads(lab.python(PROBE.format(steps="; ".join(steps))))
    return seen


def test_dropped_syn_and_dropped_query_are_timeouts(lab: Namespace) -> None:
    lab.filter("tcp dport 443 drop", "udp dport 53 drop")
    connect, resolve = probe(
        lab, "await net.connect('192.0.2.7', 443)", "await net.resolve('www.example.test')",
    )  # fmt: skip
    assert connect[:2] == ["connect", "generic_timeout_error"]
    assert isinstance(connect[2], int)
    assert connect[2] >= 400_000
    assert resolve[:2] == ["resolve", "generic_timeout_error"]


def test_rejects_are_told_apart(lab: Namespace) -> None:
    lab.filter(
        "tcp dport 443 reject with tcp reset",
        "tcp dport 444 reject with icmpx type admin-prohibited",
        "udp dport 53 reject with icmpx type port-unreachable",
    )
    steps = probe(
        lab, "await net.connect('192.0.2.7', 443)", "await net.connect('192.0.2.7', 444)",
        "await net.resolve('www.example.test')",
    )  # fmt: skip
    assert [step[1] for step in steps] == [
        "connection_refused", "host_unreachable", "connection_refused",
    ]  # fmt: skip


def test_no_route_at_all(lab: Namespace) -> None:
    steps = probe(
        lab, "await net.connect('203.0.113.1', 443)", "await net.connect('2001:db8::1', 443)",
        "await net.resolve('x.test', engine='udp', resolver='203.0.113.1:53')",
    )  # fmt: skip
    assert [step[1] for step in steps] == ["network_unreachable"] * 3


def test_own_address_is_scrubbed(lab: Namespace) -> None:
    lab.run("ip", "link", "add", "eth9", "type", "veth", "peer", "name", "eth8")
    lab.run("ip", "link", "set", "eth9", "up")
    lab.run("ip", "address", "add", "198.51.100.23/24", "dev", "eth9")
    steps = "await net.connect('198.51.100.23', 80); print(trace.observations[0].tcp)"
    assert "198.51.100.23" not in lab.python(PROBE.format(steps=steps))
