"""The user's proxy: requests to it, its answers, and no traffic past it."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from heliograph.clock import SystemClock
from heliograph.failure import Failure
from heliograph.plan import Carrier, Entrance
from heliograph_agent.enrolment import enrol
from heliograph_agent.net.config import NetConfig
from heliograph_agent.net.failure_mapping import StepError
from heliograph_agent.net.tcp import open_tcp
from heliograph_agent.net.trace import StepTrace
from heliograph_agent.spool import Spool
from heliograph_agent.state import State
from heliograph_agent.uplink.dial_context import DialContext
from heliograph_agent.uplink.invite import parse_invite
from heliograph_agent.uplink.proxy import Proxy, open_tunnel, parse_proxy
from heliograph_agent.uplink.transports import ProxyUse
from support.dns_server import dns_server
from support.ports import HOST, free_port
from support.post_entrance import post_entrance
from support.proxy_server import Proxying, proxying
from support.scripted_intake import Collector, Identity, intake, plan_of, serving
from support.tcp_server import reply, tcp_server
from support.uplink_agent import SIGNER, Agent, UplinkSealer, number_of, running

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
def test_parse_proxy(text: str, proxy: Proxy) -> None:
    assert parse_proxy(text) == proxy


@pytest.mark.parametrize(
    "text",
    [
        "", "127.0.0.1:9050", "socks4://127.0.0.1:1", "socks5://proxy.example:1080",
        "http://127.0.0.1:1/path", "http://127.0.0.1:x", f"socks5://{'u' * 256}@127.0.0.1:1",
    ],
)  # fmt: skip
def test_parse_proxy_refuses_invalid_url(text: str) -> None:
    with pytest.raises(ValueError, match=r"no proxy's address|255 bytes|[Pp]ort"):
        parse_proxy(text)


def test_password_is_not_in_repr() -> None:
    assert "secret" not in repr(parse_proxy("socks5://me:secret@127.0.0.1:1"))


@SCHEMES
@pytest.mark.parametrize("host", [NAME, "127.0.0.1", "::1"])
async def test_tunnel_by_name_and_address(scheme: str, host: str) -> None:
    with tcp_server(reply(b"there")) as port:
        places = {(host, 443): (HOST, port)}
        async with proxying(scheme, places, user="me", password="p:w") as server:
            proxy = parse_proxy(server.url)
            wire = await open_tcp(proxy.address, proxy.port, StepTrace(SystemClock()))
            await open_tunnel(proxy, wire, host, 443)
            wire.write(b"x")
            assert await wire.receive_buffer.readexactly(5) == b"there"
            wire.transport.abort()
    assert server.asked == [(host, 443)]


async def failure(proxy: Proxy) -> Failure | type[Exception]:
    wire = await open_tcp(proxy.address, proxy.port, StepTrace(SystemClock()))
    try:
        async with asyncio.timeout(60):
            await open_tunnel(proxy, wire, NAME, 443)
    except StepError as error:
        return error.failure
    except (OSError, EOFError) as error:
        return type(error)
    finally:
        wire.transport.abort()
    raise AssertionError("it led on")


async def test_refusals_map_to_failures() -> None:
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
async def test_invalid_reply_opens_no_tunnel(scheme: str, said: bytes) -> None:
    with tcp_server(reply(said)) as port:
        error = await failure(Proxy(scheme, HOST, port))
    assert error in (Failure.UNEXPECTED_REPLY, Failure.CONNECTION_ABORTED, EOFError)


class Exits:
    """An agent behind a proxy, and a resolver that counts who asks past it."""

    def __init__(self, folder: Path, who: Identity) -> None:
        self.folder, self.who = folder, who
        self.spool = Spool(folder / "spool.db", UplinkSealer(who), clock=SystemClock())

    def agent(self, server: Proxying, use: ProxyUse, resolver: str) -> Agent:
        proxy = parse_proxy(server.url)
        dial_context = DialContext(
            SystemClock(), random.Random(1), NetConfig(resolver=resolver, doh=()), proxy, use
        )
        return Agent(State(self.folder), self.spool, self.who, dial_context=dial_context)


@pytest_asyncio.fixture
async def exits(tmp_path: Path, who: Identity) -> AsyncIterator[Exits]:
    proxy_exits = Exits(tmp_path, who)
    yield proxy_exits
    await proxy_exits.spool.close()


@SCHEMES
async def test_always_bypasses_proxy_never(exits: Exits, who: Identity, scheme: str) -> None:
    """`always` bypasses the proxy never, in lookups and connections.

    The proxy's address alone reaches the collector.
    """
    peers: list[str] = []
    async with intake(who=who) as collector, post_entrance(collector, exits.folder, peers) as door:
        entrance = Entrance(carrier=Carrier.POST, host=NAME, port=7_444)
        places = {(NAME, 7_443): (HOST, collector.port), (NAME, 7_444): (HOST, door.port)}
        with dns_server(lambda query: []) as resolver:
            async with proxying(scheme, places, source=EXIT) as server:
                agent = exits.agent(server, ProxyUse.ALWAYS, resolver.address)
                agent.entrances = [entrance]
                collector.said_endpoint = f"{NAME}:7443"
                async with running(agent, collector):
                    await agent.deliver(3)
                    assert agent.uplink.status.transport == f"stream://{NAME}:7443 by proxy"
        assert resolver.queries == []
        assert collector.stored == {1, 2, 3}
        assert {peer.rpartition(":")[0] for peer in collector.peers} == {f"ipv4:{EXIT}"}
        assert set(collector.places) == {"elsewhere"}, "where it stands is nobody's vantage"


@SCHEMES
async def test_envelopes_are_posted_through_proxy(exits: Exits, who: Identity, scheme: str) -> None:
    away = Collector(who, plan_of())
    away.port = free_port()
    peers: list[str] = []
    async with post_entrance(away, exits.folder, peers) as door:
        places = {(NAME, 7_444): (HOST, door.port), (HOST, away.port): (HOST, away.port)}
        async with proxying(scheme, places, source=EXIT) as server:
            agent = exits.agent(server, ProxyUse.LAST, f"{HOST}:{free_port()}")
            agent.entrances = [Entrance(carrier=Carrier.POST, host=NAME, port=7_444)]
            async with running(agent, away):
                await agent.deliver(3)
    assert sorted(batch.sequence for batch in away.batches) == [number_of(n) for n in (1, 2, 3)]
    assert peers == [""] * 3, "where a proxy stands says nothing of who is behind it"
    assert agent.steps_of(f"post://{NAME}:7444 by proxy") == [
        ("connect", ""), ("exchange", ""), ("tls_handshake", ""), ("http_round_trip", ""),
    ]  # fmt: skip
    proxy_steps = [x for a in agent.attempts for x in a.observations if x.endpoint == "proxy"]
    assert proxy_steps
    assert all(x.tcp is None for x in proxy_steps), "where a volunteer's proxy is, nobody is told"


async def test_missing_proxy_is_never_bypassed(exits: Exits, who: Identity) -> None:
    away = Collector(who, plan_of())
    async with serving(away), proxying("socks5") as server:
        pass
    agent = exits.agent(server, ProxyUse.ALWAYS, f"{HOST}:{free_port()}")
    async with serving(away, away.port), running(agent, away):
        await agent.put()
        await agent.until(lambda: agent.uplink.status.last_failure == "unreachable")
        assert away.hellos == [], "though the collector is there"


@SCHEMES
async def test_enroll_through_proxy(who: Identity, scheme: str) -> None:
    async with intake(who=who) as collector:
        places = {(NAME, 7_443): (HOST, collector.port)}
        with dns_server(lambda query: []) as resolver:
            async with proxying(scheme, places, source=EXIT) as server:
                config = NetConfig(resolver=resolver.address, doh=())
                proxy = parse_proxy(server.url)
                ways = DialContext(SystemClock(), random.Random(1), config, proxy, ProxyUse.ALWAYS)
                collector.said_endpoint = f"{NAME}:7443"
                enrolled = await enrol(parse_invite(collector.invite()), ways, SIGNER)
    assert resolver.queries == []
    assert (enrolled.collector.endpoint, enrolled.collector.pin) == (f"{NAME}:7443", who.pin)
    assert enrolled.plan == collector.plan
    assert set(server.asked) == {(NAME, 7_443)}
