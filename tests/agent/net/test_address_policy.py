"""A plan cannot send this machine to forbidden addresses, by lookup or connect."""

from collections.abc import Iterator
from ipaddress import ip_network
from random import Random

import pytest

from heliograph.clock import SystemClock
from heliograph.failure import Failure, Operation
from heliograph.plan import Endpoint, EndpointKind
from heliograph_agent.experiments.endpoints import visit_endpoint
from heliograph_agent.experiments.experiment import CannotRun
from heliograph_agent.net import StepTrace
from heliograph_agent.net.address_policy import (
    ForbiddenAddressError,
    interface_network,
    is_forbidden,
)
from heliograph_agent.net.config import NetConfig
from heliograph_agent.net.system_net import SystemNet, SystemNetFactory
from heliograph_agent.protocols.messengers import STUN_RANDOM_BYTES, BindingRequest
from support.dns_server import answer, dns_server
from support.values import present

OWN = (ip_network("81.2.69.0/24"), ip_network("2a02:1234:5:6::/64"))


@pytest.mark.parametrize(
    "literal",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.251", "255.255.255.255", "192.0.2.1", "81.2.69.7", "::1", "::",
        "fe80::1%eth0", "fd00::1", "ff02::fb", "2a02:1234:5:6::99", "::ffff:127.0.0.1",
        "::ffff:81.2.69.9", "64:ff9b::10.0.0.1", "2002:7f00:1::1",
    ],
)  # fmt: skip
def test_private_and_own_addresses_are_barred(literal: str) -> None:
    assert is_forbidden(literal, OWN)


@pytest.mark.parametrize(
    "literal", ["1.1.1.1", "81.2.70.1", "2a02:1234:5:7::1", "64:ff9b::1.1.1.1"]
)
def test_the_internet_is_not(literal: str) -> None:
    assert not is_forbidden(literal, OWN)


def test_an_own_network_is_no_wider_than_a_household_or_a_provider_s_street() -> None:
    assert interface_network("10.0.0.5", 24) == ip_network("10.0.0.0/24")
    assert interface_network("2a02::5", 48) == ip_network("2a02::/48")
    assert interface_network("2a02::5", 128) == ip_network("2a02::/64")
    assert interface_network("81.2.69.5", 0) == ip_network("81.2.69.5/32")


@pytest.fixture
def resolver() -> Iterator[str]:
    """Run a resolver that resolves every name to 127.0.0.1."""
    with dns_server(lambda query: [answer(query, "trap.example. 60 IN A 127.0.0.1")]) as server:
        yield server.address


def opened(resolver: str, *, local: bool) -> tuple[SystemNet, StepTrace]:
    trace = StepTrace(SystemClock())
    config = NetConfig(resolver=resolver, local_targets=local)
    return SystemNetFactory(config, SystemClock(), Random(1)).bind(trace), trace


@pytest.mark.parametrize("kind", [EndpointKind.TCP, EndpointKind.STUN, EndpointKind.HTTPS])
async def test_a_name_that_leads_home_is_looked_up_and_not_visited(
    kind: EndpointKind, resolver: str
) -> None:
    """The lookup stays as evidence, and no step is made up that was not made."""
    net, trace = opened(resolver, local=False)
    await visit_endpoint(Endpoint(id="e", kind=kind, host="trap.example", port=9), net)
    assert {step.operation for step in trace.observations} == {Operation.RESOLVE}
    assert present(trace.observations[0].dns).addresses == ("127.0.0.1",)


async def test_the_switch_lets_a_lab_go_there(resolver: str) -> None:
    net, trace = opened(resolver, local=True)
    await visit_endpoint(Endpoint(id="e", kind=EndpointKind.TCP, host="trap.example", port=9), net)
    assert trace.observations[-1].failure is Failure.CONNECTION_REFUSED


async def test_a_planned_address_there_is_refused_in_words() -> None:
    net, trace = opened("9.9.9.9:53", local=False)
    with pytest.raises(CannotRun, match="of a private network, or of this machine's own"):
        await visit_endpoint(Endpoint(id="e", kind=EndpointKind.TCP, host="10.0.0.1", port=9), net)
    for attempt in (
        net.connect("192.168.0.1", 80),
        net.datagram("224.0.0.1", 9, BindingRequest(bytes(STUN_RANDOM_BYTES))),
        net.resolve("a.example", engine="udp", resolver="192.168.0.1:53"),
        net.resolve("a.example", engine="dot", resolver="127.0.0.1:853"),
        net.resolve("a.example", engine="doh", resolver="https://10.0.0.1/dns-query"),
    ):
        with pytest.raises(ForbiddenAddressError):
            await attempt
    assert [step for step in trace.observations if step.operation is Operation.CONNECT] == []


async def test_net_of_a_visit_goes_to_its_addresses_alone() -> None:
    trace = StepTrace(SystemClock())
    factory = SystemNetFactory(NetConfig(), SystemClock(), Random(1))
    net = factory.bind(trace, {"": ("127.0.0.1",)})
    with pytest.raises(ForbiddenAddressError):
        await net.connect("127.0.0.2", 9)
    with pytest.raises(ValueError, match="looks nothing up"):
        await net.resolve("www.example.test")
    assert net.list_visit_addresses("other") == ()
    assert factory.bind(trace).list_visit_addresses("") is None
    await net.connect("127.0.0.1", 9)
    assert [x.tcp.address for x in trace.observations if x.tcp] == ["127.0.0.1"]
