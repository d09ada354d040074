"""Pages of services, networks, regions; archive and search; each has one address."""

import re
from urllib.parse import urlencode

import pytest

from heliograph_collector.http.i18n import LANGS
from heliograph_collector.model.records import VerdictState
from support.fake_feed import NOW_US, NoNames, World, crowd
from support.incident_book import (
    ALMATY,
    KEY,
    MOBILE,
    TELEGRAM,
    ago,
    blocking,
    book,
    closed,
    silence,
)
from support.kazakhstan_votes import feed, long_evening
from support.read_page import Read
from support.site import Serve

PAGES = ("/services/telegram", "/networks/AS9198", "/countries/KZ/KZ-75", "/incidents", "/search")


def links(page: Read) -> set[str]:
    return {a.get("href") or "" for tag, a in page.elements if tag == "a"}


@pytest.mark.parametrize(
    ("path", "headline", "row", "state"),
    [
        ("/services/telegram", "Kazakhstan", "cell-KZ-9198-fixed-telegram-now", "blocked"),
        ("/services/whatsapp", "WhatsApp", "cell-KZ-9198-fixed-whatsapp-now", "reachable"),
        ("/networks/AS9198", "Telegram", "cell-KZ-9198-fixed-telegram-now", "blocked"),
        ("/countries/KZ/KZ-71", "", "cell-KZ-9198-fixed-telegram-now", "blocked"),
    ],
)
async def test_a_subject_says_what_the_status_says(
    serve: Serve, path: str, headline: str, row: str, state: str
) -> None:
    client = await serve(feed(long_evening()))
    page = await client.page(path)
    assert headline in page.text["headline"]
    classes = {a.get("id"): a.get("class") for _, a in page.elements}
    assert classes[row] == state
    groups = (await client.json("/api/v1/status?country=KZ"))["groups"]
    (group,) = [g for g in groups if g["asn"] == 9198]
    states = {s["service"]: s["state"] for s in group["services"]}
    for id_, shown in classes.items():
        if match := re.fullmatch("cell-KZ-9198-fixed-([a-z]+)-now", id_ or ""):
            assert shown in (states[match.group(1)], "nothing")


async def test_a_network_alone_is_told_as_on_the_front_page(serve: Serve) -> None:
    """A network's page has the front page's line, not "blocked in 1 of 1 networks"."""
    site = await serve(feed(long_evening()))
    line = (await site.page("/")).text["line-KZ-9198-fixed"]
    page = await site.page("/networks/AS9198")
    assert "Telegram blocked" in line
    assert line in page.text["headline"] + page.text["below"]
    assert "of 1 networks" not in page.html


async def test_an_incident_leads_the_page_of_its_service_network_and_region(serve: Serve) -> None:
    client = await serve(feed(long_evening()))
    service = await client.page("/services/telegram")
    assert f"/incidents/{TELEGRAM}" in links(service)
    assert f"/incidents/{MOBILE}" not in links(service)
    assert f"/incidents/{ALMATY}" in links(await client.page("/countries/KZ/KZ-75"))
    for path, query in (
        ("/services/telegram", "service=telegram"),
        ("/networks/AS9198", "asn=AS9198"),
    ):
        found = links(await client.page(path))
        assert {f"/feeds/incidents.atom?{query}", f"/incidents?{query}"} <= found
        assert (await client.get(f"/feeds/incidents.json?{query}")).status == 200


async def test_whole_country_dark_is_on_the_page_of_each_of_its_networks(serve: Serve) -> None:
    world = long_evening()
    world.links = []  # connected agents would count as spared
    client = await serve(world.feed(book=book(silence()), public_key=KEY.public))
    for path in ("/networks/AS9198", "/countries/KZ/KZ-71"):
        page = await client.page(path)
        assert "Kazakhstan went offline" in page.text["headline"], path
        states = {a.get("class") for _, a in page.elements if (a.get("id") or "").endswith("-now")}
        assert "reachable" not in states, path


@pytest.mark.parametrize(
    ("path", "status", "leads_to"),
    [
        ("/country/kz", 308, "/countries/kz"),
        ("/country/KZ/?lang=ru", 308, "/countries/KZ?lang=ru"),
        ("/dumps", 308, "/dumps/"),
        ("/networks/9198", 308, "/networks/AS9198"),
        ("/asn/9198", 308, "/networks/AS9198"),
        ("/service/Telegram/", 308, "/services/Telegram"),
        ("/regions/KZ-75", 308, "/countries/KZ/KZ-75"),
        (f"/incident/{TELEGRAM}", 308, f"/incidents/{TELEGRAM}"),
        ("/services/TELEGRAM", 200, ""),
        ("/networks/as9198", 200, ""),
        ("/countries/kz/75", 200, ""),
        ("/countries/kz/kz-ala", 200, ""),
        ("/services/nothing", 404, ""),
        ("/networks/AS65000", 404, ""),
        ("/networks/AS4294967296", 404, ""),
        ("/networks/AS0", 404, ""),
        ("/networks/x", 404, ""),
        ("/countries/QQ/QQ-1", 404, ""),
        ("/countries/KZ/KZ-99", 404, ""),
        ("/incidents?service=nothing", 404, ""),
        ("/incidents?country=QQ", 404, ""),
        ("/incidents?since=yesterday", 400, ""),
        ("/incidents?since=2022-01-05&until=2022-01-04", 400, ""),
        ("/incidents?cursor=%25", 400, ""),
    ],
)
async def test_each_thing_has_one_address_and_what_is_unknown_a_hint(
    serve: Serve, path: str, status: int, leads_to: str
) -> None:
    client = await serve(feed(long_evening()))
    answer = await client.get(path, allow_redirects=False)
    assert (answer.status, answer.headers.get("Location", "")) == (status, leads_to)
    if status >= 400:
        assert (await answer.json(content_type=None))["allowed"]


@pytest.mark.parametrize("path", PAGES)
async def test_in_each_language_the_page_says_nothing_in_english(serve: Serve, path: str) -> None:
    client = await serve(feed(long_evening()))
    for lang in LANGS:
        page = await client.page(f"{path}?lang={lang}")
        html = next(a for tag, a in page.elements if tag == "html")
        assert html["dir"] == ("rtl" if lang == "fa" else "ltr")
        other = {h for h in links(page) if not h.startswith(path)}
        own = {h for h in other if h.startswith(("/services/", "/networks/", "/countries/"))}
        assert all(h.endswith(f"lang={lang}") for h in own), own
        if lang != "en":
            told = page.text["world"]
            for word in ("blocked", "silent", "Incident", "network", "reachable", "Search"):
                assert word not in told, (lang, word)


async def test_archive_finds_by_country_service_state_kind_and_any_days(serve: Serve) -> None:
    past = closed(silence("0" * 16, 60 * 24 * 40), 60 * 24 * 39)
    log = book(past, silence(), blocking(minutes=20))
    client = await serve(long_evening().feed(book=log, public_key=KEY.public))

    async def found(query: str) -> set[str]:
        page = await client.page(f"/incidents{query}")
        return {
            h.rpartition("/")[2] for h in links(page) if re.fullmatch("/incidents/[0-9a-f]+", h)
        }

    everything = {"0" * 16, silence().id, TELEGRAM}
    assert await found("") == everything
    assert await found("?country=&service=&state=&kind=&since=&until=") == everything, "a bare form"
    assert await found("?service=telegram") == {TELEGRAM}
    assert await found("?kind=network_silence&state=confirmed") == {silence().id}
    assert await found("?until=2021-12-31") == {"0" * 16}
    assert await found("?since=2022-01-05&until=2022-01-05") == {silence().id, TELEGRAM}
    assert await found("?since=2022-01-06") == {silence().id, TELEGRAM}, "which are still open"
    assert await found("?country=de") == set()


async def test_archive_has_pages_that_lead_to_each_incident_once(serve: Serve) -> None:
    many = [silence(f"{n:016x}", 10 + n) for n in range(120)]
    client = await serve(World().feed(book=book(*many), public_key=KEY.public))
    path, seen = "/incidents?country=KZ", list[str]()
    while path:
        page = await client.page(path)
        hrefs = [a.get("href") or "" for tag, a in page.elements if tag == "a"]
        seen += [h for h in hrefs if re.fullmatch("/incidents/[0-9a-f]{16}", h)]
        path = next((a["href"] or "" for _, a in page.elements if a.get("rel") == "next"), "")
    assert sorted(seen) == sorted(f"/incidents/{n:016x}" for n in range(120))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("telegram", "/services/telegram"),
        ("Казахстан", "/countries/KZ"),
        ("қазақстан", "/countries/KZ"),
        ("قزاقستان", "/countries/KZ"),
        ("kz", "/countries/KZ"),
        ("almaty", "/countries/KZ/KZ-75"),
        ("KZ-75", "/countries/KZ/KZ-75"),
        ("AS9198", "/networks/AS9198"),
        ("9198", "/networks/AS9198"),
        (TELEGRAM, f"/incidents/{TELEGRAM}"),
    ],
)
async def test_search_finds_names_and_codes_in_all_languages(
    serve: Serve, text: str, path: str
) -> None:
    client = await serve(feed(long_evening()))
    page = await client.page(f"/search?q={text}")
    assert path in links(page)
    nothing = await client.page("/search?q=%3Cscript%3Ezzz")
    assert "&lt;script&gt;zzz" in nothing.html


async def test_too_few_are_found_nowhere(serve: Serve) -> None:
    """A network, region or service of few looks like one without measurements."""
    world = World()
    world.votes += crowd(9, VerdictState.REACHABLE, ago(60), NOW_US)
    few = crowd(3, VerdictState.BLOCKED, ago(60), NOW_US, asn=65001, country="UZ")
    paths = ("/services/telegram", "/search?q=65001", "/sitemap.xml")
    answers = []
    for votes in ([], few):
        world.votes += votes
        client = await serve(world.feed(public_url="https://sun.example"))
        answers.append([await (await client.get(path)).text() for path in paths])
    assert answers[0] == answers[1]
    await client.problem("/networks/AS65001", 404)


async def test_pages_lead_to_each_other(serve: Serve) -> None:
    client = await serve(feed(long_evening()))
    country = links(await client.page("/countries/KZ"))
    assert {"/services/telegram", "/networks/AS9198", "/countries/KZ/KZ-75"} <= country
    assert "/services/telegram" in links(await client.page(f"/incidents/{TELEGRAM}"))
    front = links(await client.page("/"))
    assert {"/incidents", "/search", "/about", "/services/telegram"} <= front
    assert "/incidents?country=KZ" in country


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("Kazakhstan January 2022", "2022-01-01", "2022-01-31"),
        ("kazakhstan, in Feb 2024", "2024-02-01", "2024-02-29"),
        ("Казахстан в январе 2022", "2022-01-01", "2022-01-31"),
        ("Қазақстан қаңтар 2022", "2022-01-01", "2022-01-31"),
        ("قزاقستان ژانویهٔ ۲۰۲۲", "2022-01-01", "2022-01-31"),
        ("December 2021 Kazakhstan", "2021-12-01", "2021-12-31"),
        ("kz 2022-01", "2022-01-01", "2022-01-31"),
        ("KZ 2021", "2021-01-01", "2021-12-31"),
    ],
)
async def test_a_month_in_the_text_leads_to_its_days(
    serve: Serve, text: str, since: str, until: str
) -> None:
    client = await serve(feed(long_evening()))
    page = await client.page(f"/search?{urlencode({'q': text})}")
    assert f"/countries/KZ?since={since}&until={until}" in links(page)


WEEK = "?since=2021-12-30&until=2022-01-05"  # the evening is that of 5 January
MONTH = "?since=2021-12-07&until=2022-01-05"
JANUARY = "?since=2022-01-01&until=2022-01-31"


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("Which services were blocked in Kazakhstan in January 2022?", {f"countries/KZ{JANUARY}"}),
        ("Какие сервисы блокировали в Казахстане в январе 2022?", {f"countries/KZ{JANUARY}"}),
        ("Has Telegram been blocked anywhere this week?", {f"services/telegram{WEEK}"}),
        ("Telegram за неделю", {f"services/telegram{WEEK}"}),
        ("تلگرام این هفته Telegram", {f"services/telegram{WEEK}"}),
        ("Iran last month", {f"countries/IR{MONTH}"}),
        ("Give me a picture of Iran's last month for print", {f"countries/IR{MONTH}"}),
        ("Иран за последний месяц", {f"countries/IR{MONTH}"}),
        ("ایران ماه گذشته", {f"countries/IR{MONTH}"}),
        ("Is Telegram blocked in Iran?", {"services/telegram", "countries/IR"}),
        ("Is it blocked?", set()),
    ],
)
async def test_a_question_leads_to_what_it_names(serve: Serve, text: str, paths: set[str]) -> None:
    """A query leads to what it names; "is" and "it" are no country codes in it."""
    client = await serve(feed(long_evening()))
    page = await client.page(f"/search?{urlencode({'q': text})}")
    found = {x for x in links(page) if re.match("/(countries|services)/[^/]+$", x)}
    assert found == {f"/{path}" for path in paths}


async def test_a_year_alone_and_chosen_days_stay_what_they_are(serve: Serve) -> None:
    client = await serve(feed(long_evening()))
    page = await client.page("/search?q=2022&lang=en")
    assert any("“2022”" in text for text in page.text.values())
    chosen = links(await client.page("/search?q=KZ&since=2022-01-03&until=2022-01-04"))
    assert "/countries/KZ?since=2022-01-03&until=2022-01-04" in chosen


async def test_a_search_of_past_days_leads_to_those_days(serve: Serve) -> None:
    """A search of past days leads to those days; an empty field means no date."""
    client = await serve(feed(long_evening()))
    front = await client.html("/")
    assert 'action="/search"' in front
    assert "form-action 'self'" in (await client.get("/")).headers["Content-Security-Policy"]
    found = links(await client.page("/search?q=kazakhstan&since=2022-01-01&until=2022-01-05"))
    assert "/countries/KZ?since=2022-01-01&until=2022-01-05" in found
    found = links(await client.page("/search?q=Telegram&since=2022-01-03&until="))
    assert "/services/telegram?since=2022-01-03&until=2022-01-05" in found
    assert f"/incidents/{TELEGRAM}" in found, "an incident has its own days"
    assert "/services/telegram" in links(await client.page("/search?q=Telegram&since=&until="))
    problem = await client.get("/search?q=Telegram&since=2022-01-05&until=2022-01-01")
    assert problem.status == 400


@pytest.mark.parametrize("path", PAGES)
async def test_no_script_is_needed_and_forms_lead_here_alone(serve: Serve, path: str) -> None:
    client = await serve(feed(long_evening()))
    answer = await client.get(path)
    policy = answer.headers["Content-Security-Policy"]
    page = Read(await answer.text())
    forms = [a for tag, a in page.elements if tag == "form"]
    assert ("form-action 'self'" in policy) == bool(forms)
    assert all(a["method"] == "get" and (a["action"] or "").startswith("/") for a in forms)


class Names(NoNames):
    def name_network(self, asn: int) -> str:
        return {9198: "JSC <Kazakhtelecom>", 65010: "Quiet Ltd"}.get(asn, "")

    def find_networks(self, text: str, limit: int) -> list[int]:
        return [65010, 9198]


async def test_networks_have_their_operators_names(serve: Serve) -> None:
    client = await serve(feed(long_evening(), network_names=Names()))
    assert "JSC &lt;Kazakhtelecom&gt; (AS9198)" in await client.html("/networks/AS9198")
    paths = ("/countries/KZ", "/services/telegram", "/search?q=kazakhtelecom", "/search?q=9198")
    for path in paths:
        assert "JSC &lt;Kazakhtelecom&gt;" in await client.html(path), path
    assert "no data now" in (await client.page("/networks/AS65010")).text["headline"]
    found = [a.get("href") for _, a in (await client.page("/search?q=ltd")).elements]
    assert found.index("/networks/AS9198") < found.index("/networks/AS65010"), "those with data"
