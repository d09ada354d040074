"""The same world, once real and once fake: experiments must not be able to tell them apart."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from heliograph.clock import SystemClock
from heliograph.failure import Failure, Operation
from heliograph.observation import Arrival, Dns, Http
from heliograph_agent.net import Net, Trace
from heliograph_agent.net.system_net import Door, NetConfig
from support.fake_net import FakeDoor, Page, World
from support.hand_clock import HandClock
from support.loopback_ca import LoopbackCA
from support.nginx import nginx
from support.ports import free_port
from support.tcp_server import reply, tcp_server, truncated_body
from support.tls_server import tls_server
from support.unbound import unbound

NAME, STRANGER, CUT, EMPTY = "www.example.test", "un.example.test", "cut.example.test", "e.test"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
SHOWN = tuple[Operation, Failure | None, int | None, str]


class Scene:
    """One world: its net and the ports where its servers stand."""

    def __init__(self, net: Net, trace: Trace, ports: "Ports") -> None:
        self.net, self.trace = net, trace
        self.web, self.clear, self.cut = ports.web, ports.clear, ports.cut
        self.switching, self.closed, self.resolver = ports.switching, ports.closed, ports.resolver


@dataclass(frozen=True)
class Ports:
    web: int
    clear: int
    cut: int
    switching: int
    closed: int
    resolver: str


@pytest.fixture(scope="module")
def ports(ca: LoopbackCA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    home = tmp_path_factory.mktemp("contract")
    stranger = LoopbackCA(home / "stranger").leaf(STRANGER)
    sites = {NAME: ca.leaf(NAME), STRANGER: stranger}
    zones = {"example.test": "www IN A 127.0.0.1", "e.test": "@ IN TXT empty"}
    with (
        nginx(home, sites) as web,
        tls_server(ca.leaf(CUT), truncated_body) as cut,
        tcp_server(reply(SWITCHING)) as switching,
        unbound(home, zones) as dns,
    ):
        yield Ports(web.https, web.http, cut, switching, free_port(), dns.address)


@pytest.fixture(params=["real", "fake"])
def scene(request: pytest.FixtureRequest, ports: Ports, ca: LoopbackCA, tmp_path: Path) -> Scene:
    web, clear, cut, switching = ports.web, ports.clear, ports.cut, ports.switching
    if request.param == "real":
        config = NetConfig(
            resolver=ports.resolver,
            ca_file=str(ca.ca_file),
            hosts_file=str(tmp_path / "none"),
            resolv_conf=str(tmp_path / "none"),
        )
        trace = Trace(SystemClock())
        door = Door(config, trace.clock, random.Random(3))
        return Scene(door.bind(trace), trace, ports)
    world = World(
        names={NAME: ("127.0.0.1",), EMPTY: Failure.DNS_NO_ANSWER},
        ports={("127.0.0.1", port): None for port in (web, clear, cut, switching)},
        handshakes={STRANGER: Failure.SSL_UNKNOWN_AUTHORITY},
        pages={
            f"https://{NAME}:{web}/": Page(title="It works here", text="ok"),
            f"http://{NAME}:{clear}/": Page(
                title="It works here",
                text="ok",
                header_names=("server",),
                arrivals=(Arrival(at_us=1, bytes=100),),
            ),
            f"http://{NAME}:{switching}/": Page(status=101, header_names=("upgrade",)),
            f"https://{CUT}:{cut}/": Page(failure=Failure.HTTP_TRUNCATED_BODY, truncated=True),
        },
    )
    clock = HandClock()
    trace = Trace(clock)
    return Scene(FakeDoor(world, clock).bind(trace), trace, ports)


async def visit(scene: Scene, name: str, port: int) -> list[SHOWN]:
    """What the web experiment does, reduced to what both worlds must agree on."""
    lookup = await scene.net.resolve(NAME, endpoint="x")
    assert lookup.observation.dns is not None
    address = lookup.observation.dns.addresses[0]
    _, stream = await scene.net.connect(address, port, on=lookup, endpoint="x")
    if stream is not None:
        _, stream = await scene.net.handshake(stream, name)
    if stream is not None:
        await scene.net.http(stream, f"https://{name}:{port}/")
    assert {o.endpoint for o in scene.trace.observations} == {"x"}
    return [
        (o.operation, o.failure, o.parent, o.http.title if o.http else "")
        for o in scene.trace.observations
    ]


async def test_working_page(scene: Scene) -> None:
    assert await visit(scene, NAME, scene.web) == [
        (Operation.RESOLVE, None, None, ""),
        (Operation.CONNECT, None, 0, ""),
        (Operation.TLS_HANDSHAKE, None, 1, ""),
        (Operation.HTTP_ROUND_TRIP, None, 2, ""),
        (Operation.READ_BODY, None, 3, "It works here"),
    ]


async def test_refused(scene: Scene) -> None:
    steps = await visit(scene, NAME, scene.closed)
    assert steps[1:] == [(Operation.CONNECT, Failure.CONNECTION_REFUSED, 0, "")]


async def test_stranger(scene: Scene) -> None:
    steps = await visit(scene, STRANGER, scene.web)
    assert steps[2:] == [(Operation.TLS_HANDSHAKE, Failure.SSL_UNKNOWN_AUTHORITY, 1, "")]


async def test_cut_body(scene: Scene) -> None:
    steps = await visit(scene, CUT, scene.cut)
    assert [step[1] for step in steps[3:]] == [None, Failure.HTTP_TRUNCATED_BODY]
    body = scene.trace.observations[-1].http
    assert body is not None
    assert body.truncated


async def test_lookups(scene: Scene) -> None:
    nowhere = await scene.net.resolve("nowhere.example.test")
    empty = await scene.net.resolve(EMPTY)
    literal = await scene.net.resolve("127.0.0.1")
    no_ipv6 = await scene.net.resolve(NAME, query_type="AAAA")
    found = [nowhere, empty, literal, no_ipv6]
    assert [seen.observation.failure for seen in found] == [
        Failure.DNS_NXDOMAIN_ERROR,
        Failure.DNS_NO_ANSWER,
        None,
        Failure.DNS_NO_ANSWER,
    ]
    assert literal.observation.dns is not None
    assert literal.observation.dns.addresses == ("127.0.0.1",)


async def test_unknown_trust(scene: Scene) -> None:
    _, stream = await scene.net.connect("127.0.0.1", scene.web)
    assert stream is not None
    with pytest.raises(ValueError, match="no CA set"):
        await scene.net.handshake(stream, NAME, trust="nosuch")
    stream.close()
    assert len(scene.trace.observations) == 1


async def ask(scene: Scene, port: int, *, watch: bool = False) -> Http:
    """The facts of the last step of a request in clear."""
    _, stream = await scene.net.connect("127.0.0.1", port)
    assert stream is not None
    seen = await scene.net.http(stream, f"http://{NAME}:{port}/", watch=watch)
    assert seen.ok
    assert seen.observation.http is not None
    return seen.observation.http


async def test_page_in_clear_keeps_its_words(scene: Scene) -> None:
    page = await ask(scene, scene.clear)
    assert (page.version, page.title, page.text) == ("1.1", "It works here", "ok")
    assert "server" in page.header_names
    assert page.arrivals == ()


async def test_page_over_tls_keeps_none(scene: Scene) -> None:
    await visit(scene, NAME, scene.web)
    page = scene.trace.observations[-1].http
    assert page is not None
    assert (page.version, page.text) == ("1.1", "")


async def test_page_that_is_watched(scene: Scene) -> None:
    page = await ask(scene, scene.clear, watch=True)
    assert page.arrivals[-1].bytes == page.body_bytes
    assert page.arrivals[0].at_us > 0


async def test_another_protocol_has_no_body(scene: Scene) -> None:
    page = await ask(scene, scene.switching)
    assert (page.status, page.header_names) == (101, ("upgrade",))
    assert scene.trace.observations[-1].operation is Operation.HTTP_ROUND_TRIP


async def look_up(scene: Scene, *, linger_s: float = 0.0, coarse: bool = False) -> Dns:
    seen = await scene.net.resolve(
        NAME, engine="udp", resolver=scene.resolver, linger_s=linger_s, coarse=coarse
    )
    assert seen.observation.dns is not None
    return seen.observation.dns


async def test_coarse_answers(scene: Scene) -> None:
    assert (await look_up(scene, coarse=True)).addresses == ("127.0.0.0/24",)


async def test_nothing_more_came(scene: Scene) -> None:
    heard = await look_up(scene, linger_s=0.05)
    assert (heard.addresses, heard.later) == (("127.0.0.1",), ())
