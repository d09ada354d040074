"""Packets with a limited TTL over three real routers, with an observer on one."""

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from heliograph.clock import SystemClock
from heliograph.failure import Failure, Operation
from heliograph.observation import Hop, Observation, Tcp, Udp
from heliograph_agent.net.scrub import Scrubber
from heliograph_agent.net.system_net import NetConfig, SystemNet, SystemNetFactory
from heliograph_agent.net.trace import StepTrace
from heliograph_agent.net.traceroute.hop import make_client_hello, router_network
from heliograph_agent.net.traceroute.raw_helper import COMMAND, RawUnavailable
from support.routers import SERVER, SERVER_6, Routers, observer, routers, running

PORT = 443
ECHO = (
    "import socket, sys, threading\n"
    f"tcp = socket.create_server(('::', {PORT}), family=socket.AF_INET6, dualstack_ipv6=True)\n"
    "udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
    "udp.bind(('::', 53))\n"
    "def answer(one):\n"
    "    try:\n"
    "        if one.recv(5000): one.sendall(b'\\x16\\x03\\x03\\x00\\x05\\x02hello')\n"
    "    except OSError: pass\n"  # reset: the prober's way to leave
    "def stream():\n"
    "    while True:\n"
    "        one = tcp.accept()[0]\n"
    "        threading.Thread(target=answer, args=(one,), daemon=True).start()\n"
    "def datagrams():\n"
    "    while True:\n"
    "        data, peer = udp.recvfrom(5000)\n"
    "        udp.sendto(data[:2] + b'\\x81' + data[3:], peer)\n"
    "for work in (stream, datagrams):\n"
    "    threading.Thread(target=work, daemon=True).start()\n"
    "print('ready', flush=True)\nsys.stdin.read()\n"
)


@pytest.fixture(scope="module")
def path() -> Iterator[Routers]:
    with routers() as made, running(made.server, ECHO):
        yield made


@asynccontextmanager
async def net_in(path: Routers, hop_s: float = 3) -> AsyncIterator[SystemNet]:
    door = SystemNetFactory(NetConfig(hop_s=hop_s), SystemClock(), random.Random(5))
    door.raw_command = path.client.command(COMMAND)
    net = door.bind(StepTrace(door.clock))
    net._scrubber = Scrubber(())  # this machine's own addresses are not those of the namespace
    try:
        yield net
    finally:
        await net.close()


async def hops(
    path: Routers, ttls: range, port: int = PORT, server: str = SERVER, hop_s: float = 3, **how: Any
) -> list[Observation]:
    async with net_in(path, hop_s) as net:
        seen = [await net.hop(server, port, ttl=ttl, endpoint="far", **how) for ttl in ttls]
    return [each.observation for each in seen]


def facts(steps: list[Observation]) -> list[Hop]:
    assert all(step.operation is Operation.HOP and step.failure is None for step in steps)
    return [step.hop for step in steps if step.hop is not None]


ROUTERS = ("192.0.2.0/24", "203.0.113.0/24", "198.18.0.0/24")
ROUTERS_6 = ("2001:db8::/48", "2001:db8:1::/48", "2001:db8:2::/48")


@pytest.mark.lab
@pytest.mark.parametrize(
    ("send", "port", "last"),
    [("syn", PORT, "synack"), ("client_hello", PORT, "server_hello"), ("dns", 53, "dns")],
)
@pytest.mark.parametrize(
    ("server", "networks"),
    [(SERVER, (*ROUTERS, "198.51.100.0/24")), (SERVER_6, (*ROUTERS_6, "2001:db8:3::/48"))],
    ids=["IPv4", "IPv6"],
)
async def test_each_router_answers_then_the_server(
    path: Routers, send: str, port: int, last: str, server: str, networks: tuple[str, ...]
) -> None:
    steps = await hops(path, range(1, 5), port, server, send=send, name="www.example.test")
    replies = (*["time_exceeded"] * 3, last)
    assert [(hop.ttl, hop.reply, hop.network, hop.reply_ttl) for hop in facts(steps)] == [
        (index + 1, reply, network, 64 - index)
        for index, (reply, network) in enumerate(zip(replies, networks, strict=True))
    ]
    assert server == SERVER or {hop.reply_ipid for hop in facts(steps)} == {0}
    address = steps[0].udp if send == "dns" else steps[0].tcp
    assert address == (Udp if send == "dns" else Tcp)(address=server, port=port)
    assert steps[0].endpoint == "far"


@pytest.mark.lab
async def test_an_injected_reset_is_told_by_its_ttl_and_by_where_it_begins(path: Routers) -> None:
    with observer(path.middle, b"banned.example.test", ttl=128, ipid=4711):
        sought: dict[str, Any] = {"send": "client_hello", "name": "banned.example.test"}
        banned = facts(await hops(path, range(1, 2), **sought))
        banned += facts(await hops(path, range(2, 5), hop_s=9, **sought))
        free = facts(await hops(path, range(4, 5), send="client_hello", name="www.example.test"))
    assert banned[0].reply == "time_exceeded"
    for hop in banned[1:]:  # from the observer's router on, whether or not the packet gets further
        assert (hop.reply, hop.reply_ttl, hop.reply_ipid) == ("rst", 127, 4711)
        assert hop.network == "198.51.100.0/24"  # in whose name it came
    assert free[0].reply == "server_hello"


@pytest.mark.lab
async def test_closed_ports_and_silence(path: Routers) -> None:
    path.server.filter("tcp dport 445 drop", "udp dport 54 drop")
    closed = [("syn", 444), ("dns", 55), ("client_hello", 444)]
    silent = [("dns", 54), ("syn", 445)]
    steps = []
    for hop_s, asked in ((9.0, closed), (0.3, silent)):  # only silence is waited for to the end
        async with net_in(path, hop_s=hop_s) as net:
            for send, port in asked:
                result = await net.hop(SERVER, port, ttl=9, send=send, name="x.test")
                steps.append(result.observation)
    assert [(step.failure, step.hop and step.hop.reply) for step in steps] == [
        (None, "rst"),
        (None, "unreachable"),
        (Failure.CONNECTION_REFUSED, ""),  # no connection, and so no ClientHello
        (Failure.GENERIC_TIMEOUT_ERROR, ""),
        (Failure.GENERIC_TIMEOUT_ERROR, ""),
    ]


async def test_what_cannot_be_sent() -> None:
    net = SystemNetFactory(NetConfig(), SystemClock(), random.Random(5)).bind(
        StepTrace(SystemClock())
    )
    for address, send, sentence in [
        ("www.example.test", "syn", "www"),
        ("192.0.2.1", "flood", "none of syn"),
        ("192.0.2.1", "dns", "cannot be asked for"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            await net.hop(address, 1, ttl=1, send=send, name="x" * 99)


async def test_without_a_helper_nothing_is_written() -> None:
    door = SystemNetFactory(NetConfig(), SystemClock(), random.Random(5))
    door.raw_command = ("printf", '{"ready": false, "message": "Raw packets need luck."}\n')
    trace = StepTrace(door.clock)
    with pytest.raises(RawUnavailable, match="need luck"):
        await door.bind(trace).hop("192.0.2.1", 1, ttl=1, send="syn")
    assert not trace.observations


def test_a_client_hello_is_one_whole_record_with_the_name_in_it() -> None:
    hello = make_client_hello("www.example.test")
    assert (hello[0], hello[5]) == (22, 1)
    assert int.from_bytes(hello[3:5], "big") == len(hello) - 5
    assert b"www.example.test" in hello
    assert len(hello) < 3_000
    assert b"example" not in make_client_hello("")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("", ""),
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("198.51.100.1", ""),  # our own network
        ("10.1.2.3", ""),
        ("100.64.0.1", ""),
        ("192.168.1.1", ""),
        ("fe80::1", ""),
        ("fd00::1", ""),
    ],
)
def test_a_routers_network(address: str, network: str) -> None:
    assert router_network(address, ["198.51.100.200", "2001:db8:9::1"]) == network
