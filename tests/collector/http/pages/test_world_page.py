"""The page: plain words, true to the data, nothing from elsewhere, nothing inline."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from heliograph.observation import Link
from heliograph_collector.http.backend import AgentCounts, Feed, LinkCount
from heliograph_collector.model.records import State
from heliograph_collector.store.clickhouse import StoreError
from support.evening import evening
from support.fake_feed import BIN_US, NOW_US, World, crowd
from support.read_page import Read

Serve = Callable[[Feed], Awaitable[Any]]


async def read(serve: Serve, world: World, query: str = "", **changes: Any) -> tuple[str, Read]:
    client = await serve(world.feed(**changes))
    answer = await client.get(f"/{query}")
    assert answer.status == 200
    assert answer.content_type == "text/html"
    html = await answer.text()
    return html, Read(html)


async def test_one_network_is_told_in_one_sentence(serve: Serve) -> None:
    world = World()
    where: dict[str, Any] = {"asn": 9198, "access": "fixed"}
    how = ("tls", "reset_after_hello")
    change = NOW_US // BIN_US * BIN_US - 6 * BIN_US
    world.votes += crowd(9, State.REACHABLE, change - BIN_US * 9, change, **where)
    world.votes += crowd(9, State.BLOCKED, change, NOW_US, how=how, **where)
    world.links = [LinkCount(country="KZ", **where, link=Link.ONLINE, vantages=9)]
    _, page = await read(serve, world)
    assert page.text["headline"] == (
        "Kazakhstan, AS9198 fixed: online; Telegram blocked (TLS) since 13:05\u201313:15."
    )
    cell = page.text["cell-KZ-9198-fixed-telegram"]
    assert "blocked" in cell
    assert "TLS: reset after ClientHello" in cell
    assert " 5\u20139 vantages" in cell
    assert "all" not in cell


async def test_several_networks_are_summed_up_and_each_has_its_line(serve: Serve) -> None:
    _, page = await read(serve, evening())
    assert page.text["headline"].startswith("Telegram is blocked in 1 of 4 networks")
    offline = page.text["line-KZ-206026-mobile"]
    assert offline == "AS206026 mobile: offline \u2014 nothing is judged."
    assert page.text["land-KZ"].startswith("Kazakhstan")
    assert "down for everybody" in page.text["line-DE-3320-fixed"]
    assert "cut off from abroad" in page.text["headline"]
    assert "5\u20139 fell silent" in page.text["head-KZ-29355-mobile"]


async def test_unknown_is_hatched_and_never_green(serve: Serve) -> None:
    html, page = await read(serve, evening())
    unknown = {a["id"] for tag, a in page.elements if tag == "td" and a["class"] == "unknown"}
    assert "cell-KZ-206026-mobile-telegram" in unknown
    bars = re.findall(r'<rect class="bar (\w+)"( fill="url\(#hatch\)")?', html)
    assert {(state, bool(hatched)) for state, hatched in bars} == {
        ("reachable", False),
        ("blocked", False),
        ("down", False),
        ("unknown", True),
    }


async def test_the_table_can_be_heard(serve: Serve) -> None:
    _, page = await read(serve, evening())
    scopes = [a.get("scope") for tag, a in page.elements if tag == "th"]
    assert scopes.count("col") == 5
    assert scopes.count("row") == 4
    labels = [a["aria-label"] for tag, a in page.elements if a.get("class") == "strip"]
    assert len(labels) == 16
    assert any("blocked 13:10 to 13:45" in (label or "") for label in labels)
    assert any(a.get("aria-live") == "polite" for _, a in page.elements)
    html = next(a for tag, a in page.elements if tag == "html")
    assert html["lang"] == "en"


async def test_nothing_inline_and_nothing_from_elsewhere(serve: Serve) -> None:
    html, page = await read(serve, evening())
    for tag, attributes in page.elements:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert tag != "style"
        if tag == "script":
            assert (attributes["src"] or "").startswith("/static/")
        for name in ("src", "href", "action", "srcset", "xlink:href"):
            address = attributes.get(name) or "/"
            assert address[0] in "/#"
            assert not address.startswith("//")
    assert "</script>" in html
    assert re.search(r"<script[^>]*></script>", html)


async def test_the_policy_allows_only_our_own(serve: Serve) -> None:
    client = await serve(evening().feed())
    policy = (await client.get("/")).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


async def test_static_files_are_there_and_name_no_other_host(serve: Serve) -> None:
    html, _ = await read(serve, evening())
    client = await serve(evening().feed())
    addresses = set(re.findall(r'"(/static/[^"#]+)', html))
    assert len(addresses) == 4
    for address in addresses:
        answer = await client.get(address)
        assert answer.status == 200
        assert "immutable" in answer.headers["Cache-Control"]
        text = (await answer.text()).replace("http://www.w3.org/2000/svg", "")
        assert "//" not in re.sub(r"(?m)^\s*//.*$|\s// .*$", "", text)
    assert (await client.get("/static/..%2fapp.py")).status == 404


async def test_hostile_names_stay_text(serve: Serve) -> None:
    world = World()
    target = 'https://x.example/"><script>alert(1)</script>'
    world.votes += crowd(6, State.BLOCKED, NOW_US, NOW_US + 1, service=target, how=("<b>", "<i>"))
    html, page = await read(serve, world)
    assert "<script>alert" not in html
    assert "x.example" in page.text["headline"]
    ids = [a["id"] for _, a in page.elements if a.get("id")]
    assert len(ids) == len(set(ids))


async def test_a_country_has_its_own_page(serve: Serve) -> None:
    html, page = await read(serve, evening(), "?country=DE")
    assert "AS3320" in html
    assert "AS9198" not in html
    assert page.text["headline"].startswith("Germany, AS3320 fixed")


async def test_before_the_first_report_it_says_what_to_do(serve: Serve) -> None:
    html, _ = await read(serve, World())
    assert "Nobody has reported yet" in html
    assert "heliograph-agent join" in html
    assert "Nobody has measured since" in html


async def test_too_few_to_show_says_why(serve: Serve) -> None:
    world = World(agents=AgentCounts(volunteers=1))
    world.votes += crowd(1, State.REACHABLE, NOW_US, NOW_US + 1)
    html, _ = await read(serve, world)
    assert "none can be shown" in html
    assert "feed.k_anonymity" in html
    _, page = await read(serve, world, k_anonymity=1)
    assert "1 vantage" in page.text["cell-KZ-9198-fixed-telegram"]


async def test_while_the_store_is_away_the_page_says_so_and_tries_again(serve: Serve) -> None:
    async def votes(*_: Any, **__: Any) -> Any:
        raise StoreError("The store is <starting>.")

    client = await serve(World().feed(votes=votes))
    answer = await client.get("/")
    html = await answer.text()
    assert (answer.status, answer.content_type) == (503, "text/html")
    assert "The store is &lt;starting&gt;." in html
    assert 'http-equiv="refresh"' in html
    assert "Content-Security-Policy" in answer.headers


@pytest.mark.parametrize("query", ["?country=kz", "?lang=xx"])
async def test_a_bad_question_is_no_page(serve: Serve, query: str) -> None:
    client = await serve(World().feed())
    assert (await client.get(f"/{query}")).status == 400
