"""An open, pinned connection, even if name, address or cleartext are forged."""

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
from heliograph_agent.net.trace import StepTrace
from heliograph_agent.uplink.dial_context import DialContext
from heliograph_agent.uplink.dialer import PinnedConnection
from heliograph_agent.uplink.transports import Reason, Transport, UplinkError
from heliograph_collector.fleet.certificate import encode_public_key, make_certificate
from support.dns_server import DnsServer, answer, dns_server
from support.doh_server import doh_server
from support.loopback_ca import LoopbackCA
from support.ports import HOST, free_port
from support.post_entrance import front
from support.tcp_server import say_nothing, serving, tcp_server
from support.values import present

NAME = "collector.example"
MINE = make_certificate([NAME])
THEIRS = make_certificate([NAME])
PIN = hashlib.sha256(encode_public_key(MINE)).digest()
BOGON = "127.0.0.77"  # an address without a server


def context(pem: bytes, folder: Path) -> ssl.SSLContext:
    file = folder / f"{hashlib.sha256(pem).hexdigest()[:8]}.pem"
    file.write_bytes(pem)
    tls_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls_context.load_cert_chain(file)
    return tls_context


@dataclass
class Place:
    """A collector's port, and resolvers that answer as a test wants."""

    entrance: Entrance
    ways: DialContext
    system: DnsServer
    trace: StepTrace

    async def find(self, *, guarded: bool = False) -> PinnedConnection:
        rung = Transport(self.entrance, is_guarded=guarded)
        finder = self.ways.make_dialer(rung, PIN, self.trace)
        connection = await finder.connect(self.entrance)
        connection.stream.close()
        return connection

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
    with dns_server(system) as resolver, private as server_port:
        config = NetConfig(
            resolver=resolver.address,
            doh=(f"https://{HOST}:{server_port}/dns-query",),
            ca_file=str(ca.ca_file),
        )
        ways = DialContext(clock, random.Random(1), config)
        yield Place(entrance, ways, resolver, StepTrace(clock))


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with tcp_server(say_nothing, tls=context(MINE, tmp_path)) as server_port:
        yield server_port


DIALED = [("resolve", ""), ("connect", ""), ("tls_handshake", "")]


@pytest.mark.parametrize(
    ("system", "failure", "engine"),
    [(says(HOST), "", "system"), (denies, "dns_nxdomain_error", "doh"), (says(BOGON), "", "doh")],
    ids=["honest", "denying", "lying"],
)
async def test_lying_resolver_is_bypassed_by_doh(
    tmp_path: Path, port: int, system: Script, failure: str, engine: str
) -> None:
    with place(tmp_path, port, system, says(HOST)) as site:
        connection = await site.find()
    is_default = engine == "system"
    assert (connection.address, connection.name, connection.is_default) == (HOST, NAME, is_default)
    assert site.steps[0] == ("resolve", failure)
    assert site.steps[-3:] == DIALED
    assert len(site.steps) == 3 or not is_default, "an honest one needs one lookup"
    assert present(site.trace.observations[-3].dns).engine == engine


async def test_plan_addresses_are_last_resort(tmp_path: Path, port: int) -> None:
    with place(tmp_path, port, denies, denies, addresses=("not an address", HOST)) as site:
        connection = await site.find()
    assert (connection.address, connection.is_default) == (HOST, False)


@pytest.mark.parametrize("system", [denies, says(HOST)])
async def test_guarded_transport_dials_no_local_address(
    tmp_path: Path, port: int, system: Script
) -> None:
    """A guarded transport dials no local address.

    Otherwise a hostile collector could let volunteers probe hosts behind their routers.
    """
    with (
        place(tmp_path, port, system, denies, addresses=(HOST,)) as site,
        pytest.raises(UplinkError) as refused,
    ):
        await site.find(guarded=True)
    assert refused.value.reason is Reason.UNREACHABLE
    assert {operation for operation, _ in site.steps} == {"resolve"}


async def test_cut_server_name_is_left_out(tmp_path: Path, port: int) -> None:
    hellos: list[bytes] = []

    def censor(so_far: bytes, piece: bytes) -> bytes | None:
        return None if NAME.encode() in so_far else piece

    async with front(port, censor, hellos) as box:
        with place(tmp_path, box, says(HOST)) as site:
            connection = await site.find()
    assert (connection.name, connection.is_default) == ("", False)
    assert [NAME.encode() in hello for hello in hellos] == [True, False]
    assert site.steps == [
        ("resolve", ""), ("connect", ""), ("tls_handshake", "eof_error"),
        ("connect", ""), ("tls_handshake", ""),
    ]  # fmt: skip


async def test_other_server_name_is_sent(tmp_path: Path, port: int) -> None:
    with place(tmp_path, port, says(HOST), server_name="www.example.net") as site:
        connection = await site.find()
    assert connection.name == "www.example.net"
    assert present(site.trace.observations[-1].tls).server_name == "www.example.net"


async def test_wrong_key_does_not_hide_right_address(tmp_path: Path) -> None:
    with (
        tcp_server(say_nothing, host=BOGON, tls=context(THEIRS, tmp_path)) as server_port,
        place(tmp_path, server_port, says(BOGON), says(HOST)) as site,
    ):
        async with serving(say_nothing, HOST, context(MINE, tmp_path), server_port):
            connection = await site.find()
    assert connection.address == HOST
    assert ("tls_handshake", "ssl_unknown_authority") in site.steps


async def test_wrong_key_is_pin_mismatch_and_no_answer_is_unreachable(tmp_path: Path) -> None:
    with tcp_server(say_nothing, tls=context(THEIRS, tmp_path)) as other:
        for server_port, reason in (
            (other, Reason.PIN_MISMATCH),
            (free_port(), Reason.UNREACHABLE),
        ):
            with (
                place(tmp_path / reason, server_port, says(HOST)) as site,
                pytest.raises(UplinkError) as refused,
            ):
                await site.find()
            assert refused.value.reason is reason


async def test_local_name_is_not_sent_to_doh(tmp_path: Path) -> None:
    queries: list[bytes] = []

    def doh(query: bytes) -> list[bytes]:
        queries.append(query)
        return denies(query)

    with (
        place(tmp_path, free_port(), denies, doh, host="localhost") as site,
        pytest.raises(UplinkError),
    ):
        await site.find()
    assert queries == []
