"""A real and a fake world give experiments the same results."""

import random
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from heliograph.clock import SystemClock
from heliograph.failure import Failure, Operation
from heliograph.observation import Arrival, Exchange, Hop, Http, Observation, Tcp, Udp
from heliograph_agent.net import Net, StepTrace
from heliograph_agent.net.system_net import NetConfig, SystemNetFactory
from support.fake_net import FakeDoor, Page, World
from support.hand_clock import HandClock
from support.loopback_ca import LoopbackCA
from support.nginx import nginx
from support.ports import HOST, free_port
from support.quic_server import page, quic_server
from support.speech import Ping
from support.tcp_server import reply, say_nothing, tcp_server, truncated_body
from support.tls_server import tls_server
from support.udp_server import udp_server
from support.unbound import unbound
from support.values import present

NAME, STRANGER, CUT, EMPTY = "www.example.test", "un.example.test", "cut.example.test", "e.test"
OTHER = "other.example.test"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello"
PONG = Exchange(protocol="ping", reply="pong", sent_bytes=4, received_bytes=5)
NEAR = Hop(
    ttl=1, sent="syn", reply="time_exceeded", network="203.0.113.0/24", reply_ttl=64, reply_ipid=7
)
# A helper that finds a router one hop away, and none beyond it.
HELPER = """
import json, sys
print('{"ready": true}', flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    near = asked["ttl"] == 1
    print(json.dumps({
        "id": asked["id"], "kind": "icmp_time_exceeded" if near else "none",
        "source": "203.0.113.1" if near else "", "ttl": 64 if near else 0, "ipid": 7 if near else 0,
        "head": "",
    }), flush=True)
"""


@dataclass(frozen=True)
class Ports:
    """The ports of the world's servers."""

    web: int
    clear: int
    cut: int
    switching: int
    talks: int
    talks_udp: int
    silent: int
    silent_udp: int
    quic: int
    closed: int
    resolver: str


@dataclass(frozen=True)
class Scene:
    net: Net
    trace: StepTrace
    ports: Ports


@pytest.fixture(scope="module")
def ports(ca: LoopbackCA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    home = tmp_path_factory.mktemp("contract")
    stranger = LoopbackCA(home / "stranger").leaf(STRANGER)
    zones = {"example.test": "www IN A 127.0.0.1", "e.test": "@ IN TXT empty"}
    with (
        nginx(home, {NAME: ca.leaf(NAME), STRANGER: stranger}) as web,
        tls_server(ca.leaf(CUT), truncated_body) as cut,
        tcp_server(reply(SWITCHING)) as switching,
        tcp_server(reply(b"pong.")) as talks,
        udp_server(lambda _: [b"pong."]) as talks_udp,
        tcp_server(say_nothing) as silent,
        udp_server(lambda _: []) as silent_udp,
        quic_server(ca.leaf(NAME), page(b"<title>It works here</title>")) as quic,
        unbound(home, zones) as dns,
    ):
        yield Ports(
            web.https, web.http, cut, switching, talks, talks_udp, silent, silent_udp, quic,
            free_port(), dns.address,
        )  # fmt: skip


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.real), "fake"])
async def scene(
    request: pytest.FixtureRequest, ports: Ports, ca: LoopbackCA
) -> AsyncIterator[Scene]:
    made = make_real(ports, ca) if request.param == "real" else make_fake(ports)
    yield made
    await made.net.close()


def make_real(ports: Ports, ca: LoopbackCA) -> Scene:
    config = NetConfig(
        resolver=ports.resolver, ca_file=str(ca.ca_file), hosts_file="/nonexistent",
        resolv_conf="/nonexistent", exchange_s=0.2, udp_s=0.2, quic_s=2, hop_s=1,
    )  # fmt: skip
    trace = StepTrace(SystemClock())
    factory = SystemNetFactory(config, trace.clock, random.Random(3))
    factory.raw_command = (sys.executable, "-c", HELPER)
    return Scene(factory.bind(trace), trace, ports)


def make_fake(ports: Ports) -> Scene:
    open_ports = (ports.web, ports.clear, ports.cut, ports.switching, ports.talks, ports.silent)
    words: dict[str, Any] = {"title": "It works here", "text": "ok", "header_names": ("server",)}
    world = World(
        names={NAME: ("127.0.0.1",), EMPTY: Failure.DNS_NO_ANSWER},
        ports={(HOST, port): None for port in open_ports},
        handshakes={STRANGER: Failure.SSL_UNKNOWN_AUTHORITY},
        pages={
            f"https://{NAME}:{ports.web}/": Page(title="It works here", text="ok"),
            f"http://{NAME}:{ports.clear}/": Page(arrivals=(Arrival(at_us=1, bytes=100),), **words),
            f"http://{NAME}:{ports.switching}/": Page(status=101, header_names=("upgrade",)),
            f"https://{CUT}:{ports.cut}/": Page(
                failure=Failure.HTTP_TRUNCATED_BODY, truncated=True,
            ),
            f"https://{NAME}/": Page(title="It works here"),
        },
        speeches={
            (HOST, ports.talks): PONG, (HOST, ports.talks_udp): PONG,
            (HOST, ports.closed): Failure.CONNECTION_REFUSED,
        },
        quic={NAME: None, OTHER: Failure.SSL_INVALID_HOSTNAME}, hops={("", 1): NEAR},
    )  # fmt: skip
    clock = HandClock()
    trace = StepTrace(clock)
    return Scene(FakeDoor(world, clock).bind(trace), trace, ports)


Outcome = tuple[Operation, Failure | None, int | None, str]


def outcome(step: Observation) -> Outcome:
    return step.operation, step.failure, step.parent, step.endpoint


async def visit(scene: Scene, name: str, port: int) -> list[Outcome]:
    """Visit as the web experiment does; return what both worlds must agree on."""
    lookup = await scene.net.resolve(NAME, endpoint="x")
    address = present(lookup.observation.dns).addresses[0]
    _, stream = await scene.net.connect(address, port, on=lookup, endpoint="x")
    if stream is not None:
        _, stream = await scene.net.handshake(stream, name)
    if stream is not None:
        await scene.net.http(stream, f"https://{name}:{port}/")
    return [outcome(step) for step in scene.trace.observations]


STEPS = (
    Operation.RESOLVE, Operation.CONNECT, Operation.TLS_HANDSHAKE, Operation.HTTP_ROUND_TRIP,
    Operation.READ_BODY,
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "server", "failures"),
    [
        (NAME, "web", [None] * 5),
        (NAME, "closed", [None, Failure.CONNECTION_REFUSED]),
        (STRANGER, "web", [None, None, Failure.SSL_UNKNOWN_AUTHORITY]),
        (CUT, "cut", [None] * 4 + [Failure.HTTP_TRUNCATED_BODY]),
    ],
    ids=["works", "refused", "stranger", "cut"],
)
async def test_visit_of_page(
    scene: Scene, name: str, server: str, failures: list[Failure | None]
) -> None:
    assert await visit(scene, name, getattr(scene.ports, server)) == [
        (operation, failure, index - 1 if index else None, "x")
        for index, (operation, failure) in enumerate(zip(STEPS, failures, strict=False))
    ]
    page = scene.trace.observations[-1].http
    assert page is None or page.truncated == (name == CUT)
    assert page is None or name == CUT or (page.title, page.text) == ("It works here", "")
    assert page is None or page.version == "1.1"


async def test_lookups(scene: Scene) -> None:
    nowhere = await scene.net.resolve("nowhere.example.test")
    empty = await scene.net.resolve(EMPTY)
    literal = await scene.net.resolve("127.0.0.1")
    no_ipv6 = await scene.net.resolve(NAME, query_type="AAAA")
    found = [nowhere, empty, literal, no_ipv6]
    no_answer = Failure.DNS_NO_ANSWER
    failures = [result.observation.failure for result in found]
    assert failures == [Failure.DNS_NXDOMAIN_ERROR, no_answer, None, no_answer]
    assert present(literal.observation.dns).addresses == ("127.0.0.1",)


async def ask(scene: Scene, port: int, *, watch: bool = False) -> Http:
    """The facts of the last step of a request in clear."""
    _, stream = await scene.net.connect("127.0.0.1", port)
    seen = await scene.net.http(present(stream), f"http://{NAME}:{port}/", watch=watch)
    assert seen.is_success
    return present(seen.observation.http)


async def test_page_in_clear_keeps_its_words_and_its_arrivals_when_watched(scene: Scene) -> None:
    page = await ask(scene, scene.ports.clear)
    assert (page.version, page.title, page.text) == ("1.1", "It works here", "ok")
    assert "server" in page.header_names
    assert page.arrivals == ()
    watched = await ask(scene, scene.ports.clear, watch=True)
    assert watched.arrivals[-1].bytes == watched.body_bytes
    assert watched.arrivals[0].at_us > 0


async def test_another_protocol_has_no_body(scene: Scene) -> None:
    page = await ask(scene, scene.ports.switching)
    assert (page.status, page.header_names) == (101, ("upgrade",))
    assert scene.trace.observations[-1].operation is Operation.HTTP_ROUND_TRIP


@pytest.mark.parametrize(
    ("linger_s", "coarse", "address"), [(0.0, True, "127.0.0.0/24"), (0.05, False, "127.0.0.1")]
)
async def test_lookup_is_coarse_or_lingers_when_asked_to(
    scene: Scene, linger_s: float, coarse: bool, address: str
) -> None:
    seen = await scene.net.resolve(
        NAME, engine="udp", resolver=scene.ports.resolver, linger_s=linger_s, coarse=coarse
    )
    assert seen.observation.dns is not None
    assert (seen.observation.dns.addresses, seen.observation.dns.later) == ((address,), ())


async def test_a_speech_over_tcp(scene: Scene) -> None:
    for port in (scene.ports.talks, scene.ports.silent):
        _, stream = await scene.net.connect(HOST, port, endpoint="x")
        assert stream is not None
        await scene.net.exchange(stream, Ping())
        assert stream.writer.transport.is_closing()
    first, second = scene.trace.observations[1], scene.trace.observations[3]
    assert outcome(first) == (Operation.EXCHANGE, None, 0, "x")
    assert first.exchange == PONG
    assert outcome(second) == (Operation.EXCHANGE, Failure.GENERIC_TIMEOUT_ERROR, 2, "x")
    assert second.exchange == Exchange(protocol="ping", sent_bytes=4)


async def test_a_speech_in_a_datagram(scene: Scene) -> None:
    asked = scene.ports.talks_udp, scene.ports.silent_udp, scene.ports.closed
    for port in asked:
        await scene.net.datagram(HOST, port, Ping(), endpoint="x")
    steps = scene.trace.observations
    assert [step.udp for step in steps] == [Udp(address=HOST, port=port) for port in asked]
    assert [outcome(step) for step in steps] == [
        (Operation.EXCHANGE, None, None, "x"),
        (Operation.EXCHANGE, Failure.GENERIC_TIMEOUT_ERROR, None, "x"),
        (Operation.EXCHANGE, Failure.CONNECTION_REFUSED, None, "x"),
    ]
    silent = Exchange(protocol="ping", sent_bytes=4)
    assert [step.exchange for step in steps] == [PONG, silent, silent]


async def test_a_page_over_quic(scene: Scene) -> None:
    seen, connection = await scene.net.quic(HOST, scene.ports.quic, NAME, endpoint="x")
    assert connection is not None
    assert connection.step_result == seen
    whole = await scene.net.http3(connection, f"https://{NAME}/")
    assert [outcome(step) for step in scene.trace.observations] == [
        (Operation.QUIC_HANDSHAKE, None, None, "x"),
        (Operation.HTTP_ROUND_TRIP, None, 0, "x"),
        (Operation.READ_BODY, None, 1, "x"),
    ]
    step = seen.observation
    assert step.udp == Udp(address=HOST, port=scene.ports.quic)
    facts = replace(present(step.tls), chain=(), cipher="")
    assert (facts.server_name, facts.version, facts.alpn) == (NAME, "TLSv1.3", "h3")
    http = present(whole.observation.http)
    assert (http.method, http.status) == ("GET", 200)
    assert (http.version, http.title) == ("3", "It works here")


async def test_a_page_as_a_browser_gets_it(scene: Scene) -> None:
    _, stream = await scene.net.connect(HOST, scene.ports.web, endpoint="x")
    whole = await scene.net.browse(present(stream), f"https://{NAME}/", browser="chrome")
    assert present(stream).writer.transport.is_closing()
    assert [outcome(step) for step in scene.trace.observations] == [
        (Operation.CONNECT, None, None, "x"),
        (Operation.TLS_HANDSHAKE, None, 0, "x"),
        (Operation.HTTP_ROUND_TRIP, None, 1, "x"),
        (Operation.READ_BODY, None, 2, "x"),
    ]
    assert present(scene.trace.observations[1].tls).server_name == NAME
    http = present(whole.observation.http)
    assert (http.method, http.status, http.title) == ("GET", 200, "It works here")


async def test_quic_that_fails(scene: Scene) -> None:
    seen, connection = await scene.net.quic(HOST, scene.ports.quic, OTHER)
    assert connection is None
    assert seen.observation.failure is Failure.SSL_INVALID_HOSTNAME
    assert present(seen.observation.tls).server_name == OTHER


async def test_hops(scene: Scene) -> None:
    for ttl in (1, 2):
        await scene.net.hop("192.0.2.1", 443, ttl=ttl, send="syn", endpoint="x")
    near, far = scene.trace.observations
    assert outcome(near) == (Operation.HOP, None, None, "x")
    assert near.tcp == Tcp(address="192.0.2.1", port=443)
    assert near.hop == NEAR
    assert outcome(far) == (Operation.HOP, Failure.GENERIC_TIMEOUT_ERROR, None, "x")
    assert far.hop == Hop(ttl=2, sent="syn")


async def test_a_bootstrap(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "tor"
    program.write_text(f"#!{sys.executable}\nprint('Bootstrapped 100% (done): Done')\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    step = (await scene.net.tor(endpoint="x")).observation
    assert outcome(step) == (Operation.EXCHANGE, None, None, "x")
    assert step.exchange == Exchange(protocol="tor_bootstrap", reply="progress_100")


async def test_what_is_refused_leaves_no_trace(scene: Scene) -> None:
    _, stream = await scene.net.connect(HOST, scene.ports.web)
    assert stream is not None
    for attempt, reason in (
        (scene.net.handshake(stream, NAME, trust="nosuch"), "no CA set"),
        (scene.net.quic(HOST, scene.ports.quic, NAME, trust="nosuch"), "no CA set"),
        (scene.net.quic("localhost", 443, NAME), "localhost"),
        (scene.net.datagram("localhost", 9, Ping()), "localhost"),
    ):
        with pytest.raises(ValueError, match=reason):
            await attempt
    stream.close()
    assert len(scene.trace.observations) == 1


async def test_chance_is_as_long_as_asked_for(scene: Scene) -> None:
    assert [len(scene.net.random(size)) for size in (0, 1, 64)] == [0, 1, 64]
