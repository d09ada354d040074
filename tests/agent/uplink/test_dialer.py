"""An open, pinned connection, whoever lies about the name, the address or what is said in clear."""

import hashlib
import random
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import dns.rcode
import pytest

from heliograph.clock import SystemClock
from heliograph.plan import Carrier, Entrance
from heliograph_agent.net.config import NetConfig
from heliograph_agent.net.trace import Trace
from heliograph_agent.uplink.channel import DoorError, Reason
from heliograph_agent.uplink.dial_context import Ways
from heliograph_agent.uplink.dialer import Found
from heliograph_agent.uplink.transports import Rung
from heliograph_collector.fleet.certificate import make_certificate, spki
from support.dns_server import DnsServer, answer, dns_server
from support.doh_server import doh_server
from support.loopback_ca import LoopbackCA
from support.ports import HOST, free_port
from support.post_door import front
from support.tcp_server import say_nothing, serving, tcp_server

NAME = "collector.example"
MINE = make_certificate([NAME])
THEIRS = make_certificate([NAME])
PIN = hashlib.sha256(spki(MINE)).digest()
BOGON = "127.0.0.77"  # where nobody answers


def context(pem: bytes, folder: Path) -> ssl.SSLContext:
    file = folder / f"{hashlib.sha256(pem).hexdigest()[:8]}.pem"
    file.write_bytes(pem)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(file)
    return made


@dataclass
class Place:
    """A collector's port, and resolvers that say what a test wants."""

    entrance: Entrance
    ways: Ways
    system: DnsServer
    trace: Trace

    async def find(self, *, guarded: bool = False) -> Found:
        rung = Rung(self.entrance, guarded=guarded)
        finder = self.ways.finder(rung, PIN, self.trace)
        found = await finder.find(self.entrance)
        found.stream.close()
        return found

    @property
    def steps(self) -> list[tuple[str, str]]:
        return [(x.operation, x.failure or "") for x in self.trace.observations]


Script = Callable[[bytes], list[bytes]]


def says(address: str) -> Script:
    return lambda query: [answer(query, f"{NAME}. 60 IN A {address}")]


def denies(query: bytes) -> list[bytes]:
    return [answer(query, rcode=dns.rcode.NXDOMAIN)]


@contextmanager
def place(
    folder: Path, port: int, system: Script, doh: Script | None = None, **more: object
) -> Iterator[Place]:
    ca = LoopbackCA(folder / "ca")
    clock = SystemClock()
    entrance = replace(Entrance(carrier=Carrier.POST, host=NAME, port=port), **more)  # type: ignore[arg-type]
    private = doh_server(ca.leaf(HOST), lambda query: (doh or denies)(query)[0])
    with dns_server(system) as resolver, private as there:
        config = NetConfig(
            resolver=resolver.address,
            doh=(f"https://{HOST}:{there}/dns-query",),
            ca_file=str(ca.ca_file),
        )
        ways = Ways(clock, random.Random(1), config)
        yield Place(entrance, ways, resolver, Trace(clock))


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with tcp_server(say_nothing, tls=context(MINE, tmp_path)) as there:
        yield there


async def test_where_nobody_lies_one_look_up_is_enough(tmp_path: Path, port: int) -> None:
    with place(tmp_path, port, says(HOST)) as at:
        found = await at.find()
    assert (found.place, found.name, found.plain) == (HOST, NAME, True)
    assert at.steps == [("resolve", ""), ("connect", ""), ("tls_handshake", "")]


@pytest.mark.parametrize(
    ("system", "first"),
    [
        (denies, ("resolve", "dns_nxdomain_error")),
        (says(BOGON), ("resolve", "")),
    ],
)
async def test_a_resolver_that_denies_or_lies_is_passed_by_doh(
    tmp_path: Path, port: int, system: Script, first: tuple[str, str]
) -> None:
    with place(tmp_path, port, system, says(HOST)) as at:
        found = await at.find()
    assert (found.place, found.plain) == (HOST, False)
    assert at.steps[0] == first
    assert at.steps[-3:] == [("resolve", ""), ("connect", ""), ("tls_handshake", "")]
    assert at.trace.observations[-3].dns is not None
    assert at.trace.observations[-3].dns.engine == "doh"


async def test_where_all_resolvers_lie_the_plan_s_addresses_are_left(
    tmp_path: Path, port: int
) -> None:
    with place(tmp_path, port, denies, denies, addresses=("not an address", HOST)) as at:
        found = await at.find()
    assert (found.place, found.plain) == (HOST, False)


@pytest.mark.parametrize("system", [denies, says(HOST)])
async def test_what_only_a_plan_names_leads_nowhere_at_home(
    tmp_path: Path, port: int, system: Script
) -> None:
    """Else a hostile collector could have its volunteers try the doors behind their routers."""
    with (
        place(tmp_path, port, system, denies, addresses=(HOST,)) as at,
        pytest.raises(DoorError) as refused,
    ):
        await at.find(guarded=True)
    assert refused.value.reason is Reason.UNREACHABLE
    assert {operation for operation, _ in at.steps} == {"resolve"}


async def test_a_name_that_is_cut_is_left_out(tmp_path: Path, port: int) -> None:
    heard: list[bytes] = []

    def censor(so_far: bytes, piece: bytes) -> bytes | None:
        return None if NAME.encode() in so_far else piece

    async with front(port, censor, heard) as box:
        with place(tmp_path, box, says(HOST)) as at:
            found = await at.find()
    assert (found.name, found.plain) == ("", False)
    assert [NAME.encode() in hello for hello in heard] == [True, False]
    assert at.steps == [
        ("resolve", ""), ("connect", ""), ("tls_handshake", "eof_error"),
        ("connect", ""), ("tls_handshake", ""),
    ]  # fmt: skip


async def test_another_name_may_be_said(tmp_path: Path, port: int) -> None:
    with place(tmp_path, port, says(HOST), server_name="www.example.net") as at:
        found = await at.find()
    assert found.name == "www.example.net"
    tls = at.trace.observations[-1].tls
    assert tls is not None
    assert tls.server_name == "www.example.net"


async def test_somebody_else_s_key_is_named_and_not_spoken_to(tmp_path: Path) -> None:
    with (
        tcp_server(say_nothing, tls=context(THEIRS, tmp_path)) as other,
        place(tmp_path, other, says(HOST)) as at,
        pytest.raises(DoorError) as refused,
    ):
        await at.find()
    assert refused.value.reason is Reason.PIN_MISMATCH
    assert ("tls_handshake", "ssl_unknown_authority") in at.steps


async def test_a_stranger_where_the_liar_leads_does_not_hide_the_true_one(tmp_path: Path) -> None:
    with (
        tcp_server(say_nothing, host=BOGON, tls=context(THEIRS, tmp_path)) as there,
        place(tmp_path, there, says(BOGON), says(HOST)) as at,
    ):
        async with serving(say_nothing, HOST, context(MINE, tmp_path), there):
            found = await at.find()
    assert found.place == HOST
    assert ("tls_handshake", "ssl_unknown_authority") in at.steps


async def test_nobody_anywhere_is_unreachable(tmp_path: Path) -> None:
    with place(tmp_path, free_port(), says(HOST)) as at, pytest.raises(DoorError) as refused:
        await at.find()
    assert refused.value.reason is Reason.UNREACHABLE


async def test_a_local_name_is_asked_of_nobody_abroad(tmp_path: Path) -> None:
    asked: list[bytes] = []

    def doh(query: bytes) -> list[bytes]:
        asked.append(query)
        return denies(query)

    with (
        place(tmp_path, free_port(), denies, doh, host="localhost") as at,
        pytest.raises(DoorError),
    ):
        await at.find()
    assert asked == []
