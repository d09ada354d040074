"""web: all resolvers' answers are tried, one page is read, redirects have their own chain."""

import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Observation
from heliograph_agent.experiment import CannotRun
from heliograph_agent.experiments.web import page_of
from support.experiment_run import observed
from support.fake_net import Page, World

GOOD, FORGED = "192.0.2.1", "10.10.34.35"


def steps(seen: list[Observation]) -> list[tuple[str, str]]:
    return [(o.endpoint, o.operation.value) for o in seen if o.operation is not Operation.RESOLVE]


async def test_a_page_is_looked_up_connected_to_secured_and_read() -> None:
    world = World(
        names={"www.test": (GOOD,)},
        ports={(GOOD, 443): None},
        pages={"https://www.test/a?b=c": Page(title="Hello")},
    )
    seen = await observed("web", "https://www.test/a?b=c#part", world)
    assert [step for _, step in steps(seen)] == [
        "connect",
        "tls_handshake",
        "http_round_trip",
        "read_body",
    ]
    assert seen[-1].http is not None
    assert seen[-1].http.title == "Hello"
    assert {(o.dns.engine, o.dns.query_type) for o in seen if o.dns} == {
        (engine, query_type) for engine in ("system", "udp") for query_type in ("A", "AAAA")
    }


async def test_addresses_that_resolvers_disagree_about_are_all_tried_and_one_page_is_read() -> None:
    world = World(
        names={"www.test": (GOOD,), "system:www.test": (FORGED,)},
        ports={(GOOD, 80): None, (FORGED, 80): None},
        pages={"http://www.test/": Page(title="This page is blocked")},
    )
    seen = await observed("web", "http://www.test/", world)
    assert [o.tcp.address for o in seen if o.tcp] == [FORGED, GOOD]
    assert len(world.requests) == 1
    (body,) = (o for o in seen if o.operation is Operation.READ_BODY)
    chain = [seen[body.parent or 0], seen[seen[body.parent or 0].parent or 0]]
    assert chain[1].tcp is not None
    assert chain[1].tcp.address == FORGED  # what a browser here would have shown


async def test_the_next_address_is_asked_when_the_first_refuses() -> None:
    world = World(
        names={"www.test": ("192.0.2.9", GOOD)},
        ports={(GOOD, 80): None},
        pages={"http://www.test/": Page()},
    )
    seen = await observed("web", "http://www.test/", world)
    assert [o.failure for o in seen if o.tcp] == [Failure.CONNECTION_REFUSED, None]
    assert len(world.requests) == 1


async def test_a_redirect_has_a_chain_of_its_own_under_its_own_label() -> None:
    world = World(
        names={"www.test": (GOOD,), "login.test": (GOOD,)},
        ports={(GOOD, 80): None, (GOOD, 8443): None},
        pages={
            "http://www.test/": Page(status=301, location="https://login.test:8443/in"),
            "https://login.test:8443/in": Page(status=303, location="/there"),
            "https://login.test:8443/there": Failure.CONNECTION_RESET,
        },
    )
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
    world = World(
        names={"www.test": (GOOD,)},
        ports={(GOOD, 80): None},
        pages={
            "http://www.test/": Page(status=302, location=location),
            "http://www.test/other": Page(status=302, location="http://www.test/"),
        },
    )
    await observed("web", "http://www.test/", world)
    assert len(world.requests) == requests


@pytest.mark.parametrize("inside", ["192.168.1.1", "127.0.0.1", "[fe80::1]", "router.test"])
async def test_a_page_of_the_internet_cannot_send_us_into_the_local_network(inside: str) -> None:
    world = World(
        names={"www.test": ("8.8.8.8",), "router.test": ("192.168.1.1",)},
        ports={("8.8.8.8", 80): None, ("192.168.1.1", 80): None, ("127.0.0.1", 80): None},
        pages={"http://www.test/": Page(status=302, location=f"http://{inside}/reboot")},
    )
    seen = await observed("web", "http://www.test/", world)
    assert [o.tcp.address for o in seen if o.tcp] == ["8.8.8.8"]
    assert [url for _, url, _ in world.requests] == ["http://www.test/"]


@pytest.mark.parametrize("limit", [0, 3, 10])
async def test_no_more_redirects_are_followed_than_allowed(limit: int) -> None:
    endless = {f"http://192.0.2.1/{n}": Page(status=307, location=f"/{n + 1}") for n in range(20)}
    world = World(ports={(GOOD, 80): None}, pages=dict(endless))
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
        ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443/"),
    ],
)
def test_a_url_is_sent_as_a_browser_would(written: str, sent: str) -> None:
    page = page_of(written)
    assert page is not None
    assert page.url == sent


@pytest.mark.parametrize(
    "url",
    [
        "http://a..b/",
        "http://exa mple/",
        "www.test",
        "ftp://www.test/",
        "https:///",
        "http://[::1/",
    ],
)
async def test_a_target_that_is_no_page_is_named(url: str) -> None:
    with pytest.raises(CannotRun, match="no URL of a web page"):
        await observed("web", url, World())
