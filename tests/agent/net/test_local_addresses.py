"""Address families with a route out, and changes of the network."""

import socket
from collections.abc import Iterator

import pytest

from heliograph.clock import SystemClock
from heliograph_agent.net.local_addresses import (
    DefaultRoute,
    InterfaceAddress,
    LocalMachine,
    make_local_view,
    read_local_view,
)
from support.netns import Namespace, namespace

V4 = InterfaceAddress(2, "192.168.1.5", 24)
V6 = InterfaceAddress(2, "2a00:1450:4001::5", 64)
ROUTE4 = DefaultRoute(socket.AF_INET, 2, "192.168.1.1")
ROUTE6 = DefaultRoute(socket.AF_INET6, 2, "fe80::1")
NO_NETLINK = "import socket; del socket.AF_NETLINK"  # as on a Mac
LOOP = (InterfaceAddress(1, "127.0.0.1", 8), InterfaceAddress(1, "::1", 128))


def families(
    held: tuple[InterfaceAddress, ...], routes: tuple[DefaultRoute, ...]
) -> tuple[bool, bool]:
    view = make_local_view((*LOOP, *held), routes)
    return view.ipv4, view.ipv6


def test_a_family_needs_address_and_route() -> None:
    assert families((V4, V6), (ROUTE4, ROUTE6)) == (True, True)
    assert families((V4,), (ROUTE4, ROUTE6)) == (True, False)
    assert families((V4, V6), (ROUTE6,)) == (False, True)
    assert families((V4, V6), ()) == (False, False)
    assert families((), (ROUTE4,)) == (False, False)


@pytest.mark.parametrize("address", ["fe80::5", "fd00::5", "::1"])
def test_ipv6_that_leads_nowhere(address: str) -> None:
    assert families((InterfaceAddress(2, address, 64),), (ROUTE6,)) == (False, False)


def test_fingerprint_follows_the_network_and_not_the_privacy_address() -> None:
    base = make_local_view((V4, V6), (ROUTE4,)).fingerprint
    renewed = InterfaceAddress(2, "2a00:1450:4001::77", 64)
    assert make_local_view((renewed, V4), (ROUTE4,)).fingerprint == base
    moved = InterfaceAddress(2, "2a00:1450:4002::5", 64)
    assert make_local_view((V4, moved), (ROUTE4,)).fingerprint != base
    assert make_local_view((V4, V6), (DefaultRoute(2, 2, "192.168.1.254"),)).fingerprint != base
    assert make_local_view((V4, V6), ()).fingerprint != base


def test_this_machine() -> None:
    view = read_local_view()
    assert view == read_local_view()
    assert len(view.fingerprint) == 32
    assert "127.0.0.1" not in LocalMachine(SystemClock()).get_scrubber().addresses


@pytest.fixture
def lab() -> Iterator[Namespace]:
    with namespace() as space:
        yield space


@pytest.mark.lab
def test_real_interfaces_come_and_go(lab: Namespace) -> None:
    def look(before: str = "") -> list[str]:
        code = (
            f"{before}\n"
            "from heliograph.clock import SystemClock\n"
            "from heliograph_agent.net.local_addresses import LocalMachine, read_local_view\n"
            "v = read_local_view(); own = LocalMachine(SystemClock()).get_scrubber().addresses\n"
            "print(v.ipv4, v.ipv6, v.fingerprint, *sorted(own))"
        )
        return lab.python(code).split()

    lab.address("192.0.2.7/32")  # on lo: a test's or a service's, not the volunteer's
    before = look()
    assert before[:2] == look(NO_NETLINK)[:2] == ["False", "False"]
    assert len(before) == 3
    lab.run("ip", "link", "add", "eth9", "type", "veth", "peer", "name", "eth8")
    lab.run("ip", "link", "set", "eth8", "up")
    lab.run("ip", "link", "set", "eth9", "up")
    lab.run("ip", "address", "add", "198.51.100.23/24", "dev", "eth9")
    lab.run("ip", "-6", "address", "add", "2a00:1450:4001::5/64", "dev", "eth9", "nodad")
    lab.run("ip", "route", "add", "default", "via", "198.51.100.1")
    after = look()
    assert after[:2] == ["True", "False"]
    assert after[2] != before[2]
    assert {"198.51.100.23", "2a00:1450:4001::5"} <= set(after[3:])
    assert "192.0.2.7" not in after
    chosen = look(NO_NETLINK)
    assert chosen[:2] == ["True", "False"]
    assert chosen[3:] == ["198.51.100.23"]
