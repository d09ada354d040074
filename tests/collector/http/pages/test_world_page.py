"""The page: plain words, true to the data, nothing from elsewhere, nothing inline."""

import re
from typing import Any

import pytest

from heliograph.observation import Link
from heliograph_collector.http.backend import AgentCounts, LinkCount
from heliograph_collector.model.records import VerdictState
from heliograph_collector.store.clickhouse import StoreError
from support.fake_feed import BIN_US, NOW_US, World, crowd
from support.incident_book import ALMATY, DOUBT, GONE, MOBILE, TELEGRAM
from support.kazakhstan_votes import evening
from support.read_page import Read
from support.site import Serve, open_page, raising


async def read(serve: Serve, world: World, path: str = "/", **changes: Any) -> Read:
    return await (await serve(world.feed(**changes))).page(path)


async def test_one_network_is_told_in_one_sentence(serve: Serve) -> None:
    world = World()
    where: dict[str, Any] = {"asn": 9198, "access": "fixed"}
    how = ("tls", "reset_after_hello")
    change = NOW_US // BIN_US * BIN_US - 6 * BIN_US
    world.votes += crowd(9, VerdictState.REACHABLE, change - BIN_US * 9, change, **where)
    world.votes += crowd(9, VerdictState.BLOCKED, change, NOW_US, how=how, **where)
    world.links = [LinkCount(country="KZ", **where, link=Link.ONLINE, vantages=9)]
    page = await read(serve, world)
    assert page.text["headline"] == (
        "Kazakhstan, AS9198 fixed: online; Telegram blocked (TLS) since 13:05\u201313:15."
    )
    cell = page.text["cell-KZ-9198-fixed-telegram"]
    assert "blocked" in cell
    assert "TLS: reset after ClientHello" in cell
    assert " 5\u20139 vantages" in cell
    assert "all" not in cell


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("en", "messages get through; calls are blocked, the web version is blocked"),
        ("ru", "сообщения доходят; заблокированы звонки, заблокирована веб-версия"),
        ("kk", "хабарламалар жетеді; қоңыраулар бұғатталған, веб-нұсқа бұғатталған"),
        ("fa", "پیام‌ها می‌رسند؛ تماس‌ها مسدودند، نسخهٔ وب مسدود است"),  # noqa: RUF001
    ],
)
async def test_partly_blocked_service_says_what_works(serve: Serve, lang: str, words: str) -> None:
    world = World()
    world.votes += crowd(9, VerdictState.REACHABLE, NOW_US - 9 * BIN_US, NOW_US, asn=9198,
                         functions="calls,web")  # fmt: skip
    page = await read(serve, world, f"/?lang={lang}")
    assert words in page.text["headline"]
    assert words in page.text["cell-KZ-9198-fixed-telegram"]
    lands = {a["id"]: a["class"] for _, a in page.elements if (a.get("id") or "") == "land-KZ"}
    assert lands == {"land-KZ": "land partial"}


async def test_several_networks_are_summed_up_and_each_has_its_line(serve: Serve) -> None:
    text = (await read(serve, evening())).text
    assert text["headline"].startswith("Kazakhstan: Telegram is blocked in 1 of 3")
    assert text["line-KZ-206026-mobile"] == "AS206026 mobile: offline \u2014 nothing is judged."
    assert "offline: nothing is judged" in text["cell-KZ-206026-mobile-telegram"]
    assert text["land-KZ"].startswith("Kazakhstan")
    assert "down for everybody" in text["line-DE-3320-fixed"]
    assert "cut off from abroad" in text["headline"]
    assert "5\u20139 fell silent" in text["head-KZ-29355-mobile"]


async def test_unknown_is_hatched_and_never_green(serve: Serve) -> None:
    page = await read(serve, evening())
    unknown = {a["id"] for tag, a in page.elements if tag == "td" and a["class"] == "unknown"}
    assert "cell-KZ-206026-mobile-telegram" in unknown
    bars = re.findall(r'<rect class="bar (\w+)"( fill="url\(#hatch\)")?', page.html)
    plain = {(state, False) for state in ("reachable", "blocked", "down")}
    assert {(state, bool(hatched)) for state, hatched in bars} == {*plain, ("unknown", True)}


async def test_the_table_can_be_heard(serve: Serve) -> None:
    page = await read(serve, evening())
    scopes = [a.get("scope") for tag, a in page.elements if tag == "th"]
    assert (scopes.count("col"), scopes.count("row")) == (5, 4)
    labels = [a["aria-label"] for tag, a in page.elements if a.get("class") == "strip"]
    assert len(labels) == 16
    assert any("blocked 13:10 to 13:40" in (label or "") for label in labels)
    assert any(a.get("aria-live") == "polite" for _, a in page.elements)
    assert next(a for tag, a in page.elements if tag == "html")["lang"] == "en"


@pytest.mark.parametrize(
    "path", ["/", *(f"/incidents/{id_}" for id_ in (ALMATY, MOBILE, TELEGRAM, DOUBT, GONE))]
)
async def test_nothing_is_inline_and_nothing_from_elsewhere(serve: Serve, path: str) -> None:
    page = await open_page(serve, path)
    ids = [a["id"] for _, a in page.elements if a.get("id")]
    assert not [i for i in ids if ids.count(i) > 1]
    for tag, attributes in page.elements:
        assert "style" not in {tag, *attributes}
        assert not [name for name in attributes if name.startswith("on")]
        if tag == "script" and attributes.get("type") != "application/ld+json":  # data
            assert (attributes["src"] or "").startswith("/static/")
        for name in ("src", "href", "action", "srcset", "xlink:href"):
            address = attributes.get(name) or "/"
            assert address[0] in "/#"
            assert not address.startswith("//")
    assert re.search(r"<script[^>]*></script>", page.html)


async def test_the_policy_allows_only_our_own(serve: Serve) -> None:
    client = await serve(evening().feed())
    policy = (await client.get("/")).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


async def test_static_files_are_there_and_name_no_other_host(serve: Serve) -> None:
    client = await serve(evening().feed())
    addresses = set(re.findall(r'"(/static/[^"#]+)', await client.html()))
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
    world.votes += crowd(
        6, VerdictState.BLOCKED, NOW_US, NOW_US + 1, service=target, how=("<b>", "<i>")
    )
    page = await read(serve, world)
    assert "<script>alert" not in page.html
    assert "x.example" not in page.html, "the plan does not list it"
    ids = [a["id"] for _, a in page.elements if a.get("id")]
    assert not [i for i in ids if ids.count(i) > 1]


async def test_before_the_first_report_it_says_what_to_do(serve: Serve) -> None:
    html = (await read(serve, World())).html
    for sentence in (
        "No country can be shown yet: too few volunteers measure.",
        "heliograph-agent join",
        "No measurements since",
    ):
        assert sentence in html


async def test_too_few_to_show_look_like_nobody(serve: Serve) -> None:
    empty = (await read(serve, World())).html
    world = World(agents=AgentCounts(volunteers=1))
    world.votes += crowd(1, VerdictState.REACHABLE, NOW_US, NOW_US + 1)
    html = (await read(serve, world)).html
    assert html.split("<main")[1] == empty.split("<main")[1]
    assert "feed.k_anonymity" in html
    page = await read(serve, world, k_anonymity=1)
    assert "1 vantage" in page.text["cell-KZ-9198-fixed-telegram"]


async def test_while_the_store_is_away_the_page_says_so_and_tries_again(serve: Serve) -> None:
    away = raising(StoreError("The store is <starting>."))
    client = await serve(World().feed(votes=away))
    html = await client.html(status=503)
    assert "The store is &lt;starting&gt;." in html
    assert 'http-equiv="refresh"' in html
    assert "Content-Security-Policy" in (await client.get("/")).headers
