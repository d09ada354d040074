"""The doors beside TCP and HTTP, once real and once fake: the same facts, failures and refusals."""

import random
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from heliograph.clock import SystemClock
from heliograph.failure import Failure, Operation
from heliograph.observation import Exchange, Hop, Observation, Tcp, Udp
from heliograph_agent.net import Net, Trace
from heliograph_agent.net.system_net import Door, NetConfig
from heliograph_agent.net.traceroute.raw_helper import raw_helper
from support.fake_net import FakeDoor, Page, World
from support.hand_clock import HandClock
from support.loopback_ca import LoopbackCA
from support.ports import HOST, free_port
from support.quic_server import page, quic_server
from support.speech import Ping
from support.tcp_server import reply, say_nothing, tcp_server
from support.udp_server import udp_server

NAME = "www.example.test"
PONG = Exchange(protocol="ping", reply="pong", sent_bytes=4, received_bytes=5)
NEAR = Hop(
    ttl=1,
    sent="syn",
    reply="time_exceeded",
    network="203.0.113.0/24",
    reply_ttl=64,
    reply_ipid=7,
)
# A helper that finds a router one hop away, and nobody further on.
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
    talks: int
    talks_udp: int
    silent: int
    silent_udp: int
    quic: int
    closed: int


@dataclass(frozen=True)
class Scene:
    net: Net
    trace: Trace
    ports: Ports


@pytest.fixture(scope="module")
def ports(ca: LoopbackCA) -> Iterator[Ports]:
    with (
        tcp_server(reply(b"pong.")) as talks,
        udp_server(lambda _: [b"pong."]) as talks_udp,
        tcp_server(say_nothing) as silent,
        udp_server(lambda _: []) as silent_udp,
        quic_server(ca.leaf(NAME), page(b"<title>It works here</title>")) as quic,
    ):
        yield Ports(talks, talks_udp, silent, silent_udp, quic, free_port())


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.real), "fake"])
async def scene(
    request: pytest.FixtureRequest, ports: Ports, ca: LoopbackCA
) -> AsyncIterator[Scene]:
    made = _real(ports, ca) if request.param == "real" else _fake(ports)
    yield made
    await made.net.close()


def _real(ports: Ports, ca: LoopbackCA) -> Scene:
    config = NetConfig(ca_file=str(ca.ca_file), exchange_s=0.2, udp_s=0.2, quic_s=2, hop_s=1)
    trace = Trace(SystemClock())
    door = Door(config, trace.clock, random.Random(3))
    door.raw = lambda: raw_helper([sys.executable, "-c", HELPER])
    return Scene(door.bind(trace), trace, ports)


def _fake(ports: Ports) -> Scene:
    world = World(
        ports={(HOST, ports.talks): None, (HOST, ports.silent): None},
        speeches={
            (HOST, ports.talks): PONG,
            (HOST, ports.talks_udp): PONG,
            (HOST, ports.closed): Failure.CONNECTION_REFUSED,
        },
        quic={NAME: None, "other.example.test": Failure.SSL_INVALID_HOSTNAME},
        pages={f"https://{NAME}/": Page(title="It works here")},
        hops={("", 1): NEAR},
    )
    clock = HandClock()
    trace = Trace(clock)
    return Scene(FakeDoor(world, clock).bind(trace), trace, ports)


Told = tuple[Operation, Failure | None, int | None, str]


def told(step: Observation) -> Told:
    return step.operation, step.failure, step.parent, step.endpoint


async def test_a_speech_over_tcp(scene: Scene) -> None:
    for port in (scene.ports.talks, scene.ports.silent):
        _, stream = await scene.net.connect(HOST, port, endpoint="x")
        assert stream is not None
        await scene.net.exchange(stream, Ping())
        assert stream.writer.transport.is_closing()
    first, second = scene.trace.observations[1], scene.trace.observations[3]
    assert told(first) == (Operation.EXCHANGE, None, 0, "x")
    assert first.exchange == PONG
    assert told(second) == (Operation.EXCHANGE, Failure.GENERIC_TIMEOUT_ERROR, 2, "x")
    assert second.exchange == Exchange(protocol="ping", sent_bytes=4)


async def test_a_speech_in_a_datagram(scene: Scene) -> None:
    asked = scene.ports.talks_udp, scene.ports.silent_udp, scene.ports.closed
    for port in asked:
        await scene.net.datagram(HOST, port, Ping(), endpoint="x")
    steps = scene.trace.observations
    assert [step.udp for step in steps] == [Udp(address=HOST, port=port) for port in asked]
    assert [told(step) for step in steps] == [
        (Operation.EXCHANGE, None, None, "x"),
        (Operation.EXCHANGE, Failure.GENERIC_TIMEOUT_ERROR, None, "x"),
        (Operation.EXCHANGE, Failure.CONNECTION_REFUSED, None, "x"),
    ]
    silent = Exchange(protocol="ping", sent_bytes=4)
    assert [step.exchange for step in steps] == [PONG, silent, silent]


async def test_a_page_over_quic(scene: Scene) -> None:
    seen, connection = await scene.net.quic(HOST, scene.ports.quic, NAME, endpoint="x")
    assert connection is not None
    assert connection.seen == seen
    whole = await scene.net.http3(connection, f"https://{NAME}/")
    assert [told(step) for step in scene.trace.observations] == [
        (Operation.QUIC_HANDSHAKE, None, None, "x"),
        (Operation.HTTP_ROUND_TRIP, None, 0, "x"),
        (Operation.READ_BODY, None, 1, "x"),
    ]
    step = seen.observation
    assert step.udp == Udp(address=HOST, port=scene.ports.quic)
    assert step.tls is not None
    facts = replace(step.tls, chain=(), cipher="")
    assert (facts.server_name, facts.version, facts.alpn) == (NAME, "TLSv1.3", "h3")
    http = whole.observation.http
    assert http is not None
    assert (http.method, http.status, http.version, http.title) == (
        "GET",
        200,
        "3",
        "It works here",
    )


async def test_quic_that_fails(scene: Scene) -> None:
    name = "other.example.test"
    seen, connection = await scene.net.quic(HOST, scene.ports.quic, name)
    assert connection is None
    assert seen.observation.failure is Failure.SSL_INVALID_HOSTNAME
    assert seen.observation.tls is not None
    assert seen.observation.tls.server_name == name


async def test_hops(scene: Scene) -> None:
    for ttl in (1, 2):
        await scene.net.hop("192.0.2.1", 443, ttl=ttl, send="syn", endpoint="x")
    near, far = scene.trace.observations
    assert told(near) == (Operation.HOP, None, None, "x")
    assert near.tcp == Tcp(address="192.0.2.1", port=443)
    assert near.hop == NEAR
    assert told(far) == (Operation.HOP, Failure.GENERIC_TIMEOUT_ERROR, None, "x")
    assert far.hop == Hop(ttl=2, sent="syn")


async def test_a_bootstrap(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "tor"
    program.write_text(f"#!{sys.executable}\nprint('Bootstrapped 100% (done): Done')\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    step = (await scene.net.tor(endpoint="x")).observation
    assert told(step) == (Operation.EXCHANGE, None, None, "x")
    assert step.exchange == Exchange(protocol="tor_bootstrap", reply="progress_100")


async def test_what_is_refused_leaves_no_trace(scene: Scene) -> None:
    with pytest.raises(ValueError, match="no CA set"):
        await scene.net.quic(HOST, scene.ports.quic, NAME, trust="nosuch")
    with pytest.raises(ValueError, match="localhost"):
        await scene.net.quic("localhost", 443, NAME)
    with pytest.raises(ValueError, match="localhost"):
        await scene.net.datagram("localhost", 9, Ping())
    assert not scene.trace.observations


async def test_chance_is_as_long_as_asked_for(scene: Scene) -> None:
    assert [len(scene.net.random(size)) for size in (0, 1, 64)] == [0, 1, 64]
