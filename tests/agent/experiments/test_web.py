"""web: all resolvers' answers are tried, one page is read, redirects have chains."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from heliograph.experiments.web import WebConfig
from heliograph.failure import Failure, Operation
from heliograph.observation import Observation
from heliograph_agent.experiments.experiment import Target
from heliograph_agent.experiments.page_url import parse_page, resolve_location
from heliograph_agent.experiments.web import web
from heliograph_agent.net import ByteStream, StepResult, StepTrace
from support.dns_server import answer, dns_server
from support.doh_server import doh_server
from support.experiment_run import observed
from support.fake_net import FakeNet, Page, World
from support.loopback_ca import LoopbackCA
from support.nginx import nginx
from support.probe_command import Command
from support.values import present
from support.virtual_time import VirtualClock, run_virtually

GOOD, FORGED = "192.0.2.1", "10.10.34.35"
KNOWN = {"www.test": (GOOD,)}


def site(
    pages: Mapping[str, Page | Failure],
    *open_at: str,
    port: int = 80,
    names: Mapping[str, tuple[str, ...] | Failure] = KNOWN,
) -> World:
    """A world of these pages, with one port open at these addresses."""
    ports: dict[tuple[str, int], Failure | None] = {(at, port): None for at in open_at or (GOOD,)}
    return World(names=dict(names), ports=ports, pages=dict(pages))


def steps(seen: list[Observation]) -> list[tuple[str, str]]:
    return [(o.endpoint, o.operation.value) for o in seen if o.operation is not Operation.RESOLVE]


def in_clear(seen: list[Observation]) -> list[str]:
    """The addresses whose port 80 was tried, in order."""
    return [o.tcp.address for o in seen if o.tcp and o.tcp.port == 80]


async def test_a_page_is_looked_up_connected_to_secured_and_read() -> None:
    world = site({"https://www.test/a?b=c": Page(title="Hello")}, port=443)
    seen = await observed("web", "https://www.test/a?b=c#part", world)
    assert [step for _, step in steps(seen)] == [
        "connect", "tls_handshake", "http_round_trip", "read_body",
    ]  # fmt: skip
    assert present(seen[-1].http).title == "Hello"
    assert {(o.dns.engine, o.dns.query_type) for o in seen if o.dns} == {
        (engine, query_type) for engine in ("system", "udp", "doh") for query_type in ("A", "AAAA")
    }


async def test_addresses_that_resolvers_disagree_about_are_all_tried_and_one_page_is_read() -> None:
    pages = {"http://www.test/": Page(title="This page is blocked")}
    world = site(pages, GOOD, FORGED, names=KNOWN | {"system:www.test": (FORGED,)})
    seen = await observed("web", "http://www.test/", world)
    assert in_clear(seen) == [FORGED, GOOD]
    assert len(world.requests) == 1
    (body,) = (o for o in seen if o.operation is Operation.READ_BODY)
    chain = [seen[body.parent or 0], seen[seen[body.parent or 0].parent or 0]]
    assert present(chain[1].tcp).address == FORGED  # what a browser here would have shown


async def test_the_next_address_is_asked_when_the_first_refuses() -> None:
    world = site({"http://www.test/": Page()}, names={"www.test": ("192.0.2.9", GOOD)})
    seen = await observed("web", "http://www.test/", world)
    failures = [o.failure for o in seen if o.tcp and o.tcp.port == 80]
    assert failures == [Failure.CONNECTION_REFUSED, None]
    assert len(world.requests) == 1


async def test_a_redirect_has_a_chain_of_its_own_under_its_own_label() -> None:
    pages: dict[str, Page | Failure] = {
        "http://www.test/": Page(status=301, location="https://login.test:8443/in"),
        "https://login.test:8443/in": Page(status=303, location="/there"),
        "https://login.test:8443/there": Failure.CONNECTION_RESET,
    }
    world = site(pages, names=KNOWN | {"login.test": (GOOD,)})
    world.ports[GOOD, 8443] = None
    seen = await observed("web", "http://www.test/", world)
    assert [step for step in steps(seen) if step[1].startswith("http")] == [
        ("", "http_round_trip"),
        ("redirect-1", "http_round_trip"),
        ("redirect-2", "http_round_trip"),
    ]
    assert seen[-1].failure is Failure.CONNECTION_RESET
    assert {o.dns.name for o in seen if o.dns and o.endpoint} == {"login.test"}


@pytest.mark.parametrize(
    ("location", "requests"),
    [
        ("/", 1),  # to itself
        ("/other", 2),  # and back again
        ("ftp://www.test/", 1),
        ("http://[bad/", 1),
        ("https://", 1),
        ("http://a..b/", 1),
        ("", 1),
    ],
)
async def test_redirects_that_lead_nowhere_or_in_a_ring_end(location: str, requests: int) -> None:
    here, other = "http://www.test/", "http://www.test/other"
    turns = {here: Page(status=302, location=location), other: Page(status=302, location=here)}
    world = site(turns)
    await observed("web", "http://www.test/", world)
    assert len(world.requests) == requests


@pytest.mark.parametrize("inside", ["192.168.1.1", "127.0.0.1", "[fe80::1]", "router.test"])
async def test_a_page_of_the_internet_cannot_send_us_into_the_local_network(inside: str) -> None:
    pages = {"http://www.test/": Page(status=302, location=f"http://{inside}/reboot")}
    names = {"www.test": ("8.8.8.8",), "router.test": ("192.168.1.1",)}
    world = site(pages, "8.8.8.8", "192.168.1.1", "127.0.0.1", names=names)
    seen = await observed("web", "http://www.test/", world)
    assert {o.tcp.address for o in seen if o.tcp} == {"8.8.8.8"}
    assert [url for _, url, _ in world.requests] == ["http://www.test/"]


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("http://қазақстан.қаз/жаңалық", "http://xn--80aaa0a6awh12ed.xn--80ao21a/%D0%B6%D0%B0%D2%A3%D0%B0%D0%BB%D1%8B%D2%9B"),
        ("http://%D2%9B.test/", "http://xn--b4a.test/"),
        ("/новости?тема=мир", "http://www.test/%D0%BD%D0%BE%D0%B2%D0%BE%D1%81%D1%82%D0%B8?%D1%82%D0%B5%D0%BC%D0%B0=%D0%BC%D0%B8%D1%80"),
        ("  https:\\\\faß.test\\a\tb ", "https://xn--fa-hia.test/ab"),
        ("///other.test/a", "http://other.test/a"),
        ("https:/other.test/a", "https://other.test/a"),
        ("http:a?b=c", "http://www.test/dir/a?b=c"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
    ],
)  # fmt: skip
def test_a_redirect_leads_where_a_browser_goes(location: str, url: str) -> None:
    """Expected: what Chromium's and node's URL parser make of the same text."""
    assert present(parse_page(resolve_location("http://www.test/dir/here", location))).url == url


@pytest.mark.parametrize("limit", [0, 3, 10])
async def test_no_more_redirects_are_followed_than_allowed(limit: int) -> None:
    endless = {f"http://192.0.2.1/{n}": Page(status=307, location=f"/{n + 1}") for n in range(20)}
    world = site(endless)
    await observed("web", "http://192.0.2.1/0", world, {"redirects": str(limit)})
    assert len(world.requests) == limit + 1


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("http://www.test", "http://www.test/"),
        ("http://user:secret@www.test/x#y", "http://www.test/x"),
        ("http://WWW.test:80/a b?c=d e", "http://www.test/a%20b?c=d%20e"),
        ("http://www.test/%D0%90?x=%2F", "http://www.test/%D0%90?x=%2F"),
        ("https://пример.test/ж", "https://xn--e1afmkfd.test/%D0%B6"),
        ("http://faß。test/", "http://xn--fa-hia.test/"),
        ("http://%D0%B6.test/", "http://xn--f1a.test/"),
        ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443/"),
    ],
)
def test_a_url_is_sent_as_a_browser_would(written: str, sent: str) -> None:
    page = present(parse_page(written))
    assert page.url == sent


async def test_the_system_s_addresses_are_asked_before_those_of_others() -> None:
    known = ("192.0.2.2", "192.0.2.3")
    names = {"www.test": known, "system:www.test": (GOOD, "192.0.2.3")}
    world = site({"http://www.test/": Page()}, GOOD, *known, names=names)
    seen = await observed("web", "http://www.test/", world)
    assert in_clear(seen) == [GOOD, "192.0.2.3", "192.0.2.2"]
    lookups = [seen[o.parent or 0].dns for o in seen if o.tcp and o.tcp.port == 80]
    assert [dns.engine for dns in lookups if dns] == ["system", "system", "udp"]


async def test_port_443_is_asked_whose_address_a_page_in_clear_has() -> None:
    names = KNOWN | {"system:www.test": (FORGED,)}
    world = site({"http://www.test/": Page()}, GOOD, FORGED, names=names)
    world.ports[GOOD, 443] = None
    seen = await observed("web", "http://www.test/", world)
    (shown,) = (o for o in seen if o.tls)
    assert (present(shown.tls).server_name, shown.endpoint) == ("www.test", "")
    assert [url for _, url, _ in world.requests] == ["http://www.test/"]  # nothing asked on 443
    seen = await observed("web", "http://www.test/", world, {"validate": "false"})
    assert not any(o.tls for o in seen)


@pytest.mark.parametrize("url", ["http://192.0.2.1/", "http://www.test:8080/", "https://www.test/"])
async def test_an_address_is_not_asked_whose_it_is_where_nothing_could_tell(url: str) -> None:
    ports = dict.fromkeys([(GOOD, 80), (GOOD, 443), (GOOD, 8080)])
    seen = await observed("web", url, World(names={"www.test": (GOOD,)}, ports={**ports}))
    assert sum(o.tcp is not None for o in seen) == 1


async def test_a_site_that_wants_its_cookie_back_gets_it_and_is_no_ring() -> None:
    page = Page(status=302, location="/", cookies=("sid=1; Path=/; Secure; HttpOnly",))
    world = site({"https://www.test/": page}, port=443)
    await observed("web", "https://www.test/", world)
    assert [headers for _, _, headers in world.requests] == [{}, {"Cookie": "sid=1"}]


def test_connections_to_all_addresses_are_under_way_at_once() -> None:
    known = tuple(f"192.0.2.{n}" for n in range(1, 10))
    world = World(names={"www.test": known}, hangs=frozenset({Operation.CONNECT}))

    async def story(clock: VirtualClock) -> list[Observation]:
        trace = StepTrace(clock)
        target, net = Target(value="https://www.test/"), FakeNet(world, clock, trace)
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await web(target, WebConfig(), net)
        return trace.observations

    cut = [o for o in run_virtually(story) if o.failure is Failure.INTERRUPTED]
    assert len(cut) == WebConfig().addresses == len({o.tcp.address for o in cut if o.tcp})


class Slow(FakeNet):
    """A world whose first address takes ten seconds to refuse."""

    async def connect(
        self, address: str, port: int, *, on: StepResult | None = None, endpoint: str = ""
    ) -> tuple[StepResult, ByteStream | None]:
        if address == FORGED:
            await asyncio.sleep(10)
        return await super().connect(address, port, on=on, endpoint=endpoint)


def test_a_connection_that_waited_long_is_reopened_before_use() -> None:
    page = Page(title="Hello")
    world = site({"https://www.test/": page}, port=443, names={"www.test": (FORGED, GOOD)})

    async def story(clock: VirtualClock) -> list[Observation]:
        trace = StepTrace(clock)
        await web(Target(value="https://www.test/"), WebConfig(), Slow(world, clock, trace))
        assert asyncio.get_running_loop().time() < 11
        return trace.observations

    seen = run_virtually(story)
    assert [(o.tcp.address, o.failure) for o in seen if o.tcp] == [
        (GOOD, None),
        (FORGED, Failure.CONNECTION_REFUSED),
        (GOOD, None),
    ]
    assert present(seen[-1].http).title == "Hello"


NAME = "www.example.test"
VISITED = "if ($http_cookie !~ seen=1) { add_header Set-Cookie 'seen=1; Path=/'; return 302 /; }"


def test_real_resolvers_that_disagree_and_a_site_that_wants_its_cookie(tmp_path: Path) -> None:
    ca = LoopbackCA(tmp_path / "ca")

    def saying(address: str, query: bytes) -> bytes:
        is_a = b"\x00\x01\x00\x01" in query[12:]
        return answer(query, f"{NAME}. 60 IN A {address}") if is_a else answer(query)

    with (
        nginx(tmp_path, {NAME: ca.leaf(NAME)}, directives=f"location = / {{ {VISITED} }}") as site,
        dns_server(lambda query: [saying("127.0.0.2", query)]) as liar,
        dns_server(lambda query: [saying("127.0.0.1", query)]) as honest,
        doh_server(ca.leaf("127.0.0.1"), lambda query: saying("127.0.0.1", query)) as sealed,
    ):
        options = {
            "net.resolver": liar.address, "net.ca_file": str(ca.ca_file),
            "resolver": honest.address, "doh": f"https://127.0.0.1:{sealed}/dns-query",
            "linger_ms": "50",
        }  # fmt: skip
        command = Command(state=tmp_path / "state", options=options)
        ran = command.run("web", f"https://{NAME}:{site.https}/", "--json")
    assert ran.code == 0, ran.err
    found = {(o["tcp"]["address"], o["failure"]) for o in ran.observations if o["tcp"]}
    assert found == {("127.0.0.2", "connection_refused"), ("127.0.0.1", None)}
    pages = [(o["endpoint"], o["http"]["status"]) for o in ran.observations if o["http"]]
    assert pages == [("", 302)] * 2 + [("redirect-1", 200)] * 2
    assert "seen=1" not in ran.out
    engines = {o["dns"]["engine"] for o in ran.observations if o["dns"] and o["dns"]["answers"]}
    assert engines == {"system", "udp", "doh"}
