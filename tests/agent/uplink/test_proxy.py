"""The user's proxy: what is asked of it, what it may say, and that nothing goes past it."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from heliograph.clock import SystemClock
from heliograph.failure import Failure
from heliograph.plan import Carrier, Entrance
from heliograph_agent.enrolment.online import enrol
from heliograph_agent.net.config import NetConfig
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.tcp import open_wire
from heliograph_agent.spool import Spool
from heliograph_agent.state import State
from heliograph_agent.uplink.dial_context import Ways
from heliograph_agent.uplink.invite import parse_invite
from heliograph_agent.uplink.proxy import Proxy, ask, parse_proxy
from heliograph_agent.uplink.transports import Use
from support.dns_server import dns_server
from support.ports import HOST, free_port
from support.post_door import post_door
from support.proxy_server import Proxying, proxying
from support.scripted_intake import Collector, Identity, identity, intake, plan_of, serving
from support.tcp_server import reply, tcp_server
from support.uplink_agent import SIGNER, Agent, running

NAME = "collector.invalid"  # no resolver knows it: only a proxy can lead there
EXIT = "127.0.0.9"  # where the proxy dials from
SCHEMES = pytest.mark.parametrize("scheme", ["socks5", "http"])


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("socks5://127.0.0.1:9050", Proxy("socks5", "127.0.0.1", 9_050)),
        ("socks5://localhost", Proxy("socks5", "127.0.0.1", 1_080)),
        ("http://[::1]:3128/", Proxy("http", "::1", 3_128)),
        ("http://a%40b:c%3Ad@192.0.2.1", Proxy("http", "192.0.2.1", 8_080, "a@b", "c:d")),
    ],
)
def test_a_proxy_is_an_address(text: str, proxy: Proxy) -> None:
    assert parse_proxy(text) == proxy


@pytest.mark.parametrize(
    "text",
    [
        "", "127.0.0.1:9050", "socks4://127.0.0.1:1", "socks5://proxy.example:1080",
        "http://127.0.0.1:1/path", "http://127.0.0.1:x", f"socks5://{'u' * 256}@127.0.0.1:1",
    ],
)  # fmt: skip
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no proxy's address|255 bytes|[Pp]ort"):
        parse_proxy(text)


def test_its_password_is_in_no_log() -> None:
    assert "secret" not in repr(parse_proxy("socks5://me:secret@127.0.0.1:1"))


@SCHEMES
@pytest.mark.parametrize("host", [NAME, "127.0.0.1", "::1"])
async def test_it_leads_on_by_name_and_by_address(scheme: str, host: str) -> None:
    with tcp_server(reply(b"there")) as port:
        places = {(host, 443): (HOST, port)}
        async with proxying(scheme, places, user="me", password="p:w") as server:
            proxy = parse_proxy(server.url)
            wire = await open_wire(proxy.address, proxy.port, lambda _: None)
            await ask(proxy, wire, host, 443)
            wire.write(b"x")
            assert await wire.inbox.readexactly(5) == b"there"
            wire.transport.abort()
    assert server.asked == [(host, 443)]


async def failure(proxy: Proxy) -> Failure | type[Exception]:
    wire = await open_wire(proxy.address, proxy.port, lambda _: None)
    try:
        async with asyncio.timeout(10):
            await ask(proxy, wire, NAME, 443)
    except StepError as error:
        return error.failure
    except (OSError, EOFError) as error:
        return type(error)
    finally:
        wire.transport.abort()
    raise AssertionError("it led on")


async def test_its_refusals_are_told_apart() -> None:
    async with proxying("socks5", refuse=True) as server:
        assert await failure(parse_proxy(server.url)) is Failure.CONNECTION_REFUSED
    async with proxying("http", refuse=True) as server:
        assert await failure(parse_proxy(server.url)) is Failure.CONNECTION_ABORTED
    for scheme in ("socks5", "http"):
        async with proxying(scheme, user="me", password="right") as server:
            wrong = parse_proxy(server.url.replace("right", "wrong"))
            assert await failure(wrong) is Failure.PERMISSION_DENIED
    async with proxying("socks5", user="me") as server:
        nobody = Proxy("socks5", HOST, server.port)
        assert await failure(nobody) is Failure.PERMISSION_DENIED


@pytest.mark.parametrize("scheme", ["socks5", "http"])
@pytest.mark.parametrize(
    "said", [b"HTTP/1.0 400 Bad\r\n\r\n", b"\x04\x5b\0\0\0\0\0\0", b"x" * 9_000, b"\r\n\r\n"]
)
async def test_what_is_no_proxy_leads_nowhere(scheme: str, said: bytes) -> None:
    with tcp_server(reply(said)) as port:
        found = await failure(Proxy(scheme, HOST, port))
    assert found in (Failure.UNEXPECTED_REPLY, Failure.CONNECTION_ABORTED, EOFError)


@pytest.fixture(scope="module")
def who() -> Identity:
    return identity()


class Exits:
    """An agent behind a proxy, and a resolver that counts who asks past it."""

    def __init__(self, folder: Path, who: Identity) -> None:
        self.folder, self.who = folder, who
        self.spool = Spool(folder / "spool.db", clock=SystemClock())

    def agent(self, server: Proxying, use: Use, resolver: str) -> Agent:
        proxy = parse_proxy(server.url)
        ways = Ways(
            SystemClock(), random.Random(1), NetConfig(resolver=resolver, doh=()), proxy, use
        )
        return Agent(State(self.folder), self.spool, self.who, ways=ways)


@pytest_asyncio.fixture
async def exits(tmp_path: Path, who: Identity) -> AsyncIterator[Exits]:
    made = Exits(tmp_path, who)
    yield made
    await made.spool.close()


@SCHEMES
async def test_always_means_that_nothing_goes_past_it(
    exits: Exits, who: Identity, scheme: str
) -> None:
    """Neither a look-up nor a connection: the collector is met by the proxy's address alone."""
    peers: list[str] = []
    async with intake(who=who) as collector, post_door(collector, exits.folder, peers) as door:
        entrance = Entrance(carrier=Carrier.POST, host=NAME, port=7_444)
        places = {(NAME, 7_443): (HOST, collector.port), (NAME, 7_444): (HOST, door.port)}
        with dns_server(lambda query: []) as resolver:
            async with proxying(scheme, places, source=EXIT) as server:
                agent = exits.agent(server, Use.ALWAYS, resolver.address)
                agent.entrances = [entrance]
                collector.said_endpoint = f"{NAME}:7443"
                async with running(agent, collector):
                    await agent.put(3)
                    await agent.empty()
                    assert agent.uplink.reached.way == f"stream://{NAME}:7443 by proxy"
        assert resolver.queries == []
        assert collector.stored == {1, 2, 3}
        assert {peer.rpartition(":")[0] for peer in collector.peers} == {f"ipv4:{EXIT}"}
        assert set(collector.places) == {"elsewhere"}, "where it stands is nobody's vantage"


@SCHEMES
async def test_envelopes_go_by_it_one_by_one_where_no_session_lives(
    exits: Exits, who: Identity, scheme: str
) -> None:
    away = Collector(who, plan_of())
    away.port = free_port()
    peers: list[str] = []
    async with post_door(away, exits.folder, peers) as door:
        places = {(NAME, 7_444): (HOST, door.port), (HOST, away.port): (HOST, away.port)}
        async with proxying(scheme, places, source=EXIT) as server:
            agent = exits.agent(server, Use.LAST, f"{HOST}:{free_port()}")
            agent.entrances = [Entrance(carrier=Carrier.POST, host=NAME, port=7_444)]
            async with running(agent, away):
                await agent.put(3)
                await agent.empty()
    assert sorted(batch.sequence for batch in away.batches) == [1, 2, 3]
    assert peers == [""] * 3, "where a proxy stands says nothing of who is behind it"
    assert agent.way(f"post://{NAME}:7444 by proxy") == [
        ("connect", ""), ("exchange", ""), ("tls_handshake", ""), ("http_round_trip", ""),
    ]  # fmt: skip
    told = [x for a in agent.attempts for x in a.observations if x.endpoint == "proxy"]
    assert told
    assert all(x.tcp is None for x in told), "where a volunteer's proxy is, nobody is told"


async def test_a_proxy_that_comes_last_is_left_for_a_way_without_it(
    exits: Exits, who: Identity
) -> None:
    async with intake(who=who) as collector, proxying("socks5") as server:
        agent = exits.agent(server, Use.LAST, f"{HOST}:{free_port()}")
        async with running(agent, collector):
            await agent.put(2)
            await agent.empty()
    assert server.asked == []


async def test_a_proxy_that_is_not_there_is_waited_for(exits: Exits, who: Identity) -> None:
    away = Collector(who, plan_of())
    async with serving(away), proxying("socks5") as server:
        pass
    agent = exits.agent(server, Use.ALWAYS, f"{HOST}:{free_port()}")
    async with serving(away, away.port), running(agent, away):
        await agent.put()
        await agent.until(lambda: agent.uplink.reached.last_failure == "unreachable")
        assert away.hellos == [], "though the collector is there"


@SCHEMES
async def test_joining_goes_by_it_too(who: Identity, scheme: str) -> None:
    async with intake(who=who) as collector:
        places = {(NAME, 7_443): (HOST, collector.port)}
        with dns_server(lambda query: []) as resolver:
            async with proxying(scheme, places, source=EXIT) as server:
                config = NetConfig(resolver=resolver.address, doh=())
                proxy = parse_proxy(server.url)
                ways = Ways(SystemClock(), random.Random(1), config, proxy, Use.ALWAYS)
                collector.said_endpoint = f"{NAME}:7443"
                known, plan = await enrol(parse_invite(collector.invite()), ways, SIGNER)
    assert resolver.queries == []
    assert (known.endpoint, known.pin) == (f"{NAME}:7443", who.pin)
    assert plan == collector.plan
    assert set(server.asked) == {(NAME, 7_443)}
