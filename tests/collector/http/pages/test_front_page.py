"""The front page: one true sentence, map and list agree, in four languages."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from heliograph.observation import Link
from heliograph_collector.detect import DETECT_VERSION
from heliograph_collector.http.backend import Feed, LinkCount, build_method
from heliograph_collector.http.i18n import LANGS, translate
from heliograph_collector.http.pages import world_map
from heliograph_collector.incidents.incident import IncidentState as How
from heliograph_collector.judge import RULES, RULES_VERSION
from heliograph_collector.judge.comparisons import list_comparison_rules
from heliograph_collector.judge.comparisons.throttling import GOODPUT_THRESHOLDS
from heliograph_collector.judge.confidence import CONTROL_FRESHNESS
from heliograph_collector.model.records import BlindTime, VerdictState
from heliograph_collector.model.thresholds import THRESHOLDS
from support import incident_book
from support.fake_feed import BIN_US, NOW_US, World, crowd
from support.kazakhstan_votes import evening, long_evening
from support.kazakhstan_votes import feed as long_evening_feed
from support.read_page import Read
from support.site import Headers, Serve

KEY = b"k" * 32
METHOD = build_method(
    RULES,
    list_comparison_rules(),
    RULES_VERSION,
    CONTROL_FRESHNESS,
    GOODPUT_THRESHOLDS.ratio,
)


async def read(serve: Serve, feed: Feed, path: str = "/", headers: Headers = None) -> Read:
    return await (await serve(feed)).page(path, headers=headers)


def on_map(page: Read) -> dict[str, str]:
    """The state of each country on the map."""
    drawn = [a for tag, a in page.elements if tag == "a" and (a.get("id") or "").startswith("map-")]
    return {(a["id"] or "")[4:]: a["class"] or "" for a in drawn}


def all_unknown() -> World:
    """Build a world full of agents without a verdict, as in a blackout."""
    world = World()
    for asn in (9198, 29355):
        where: dict[str, Any] = {"country": "KZ", "asn": asn, "access": "fixed"}
        world.votes += crowd(9, VerdictState.UNKNOWN, NOW_US - 600_000_000, NOW_US, **where)
        world.links.append(LinkCount(**where, link=Link.NO_RESOLVER, vantages=9))
    return world


async def test_a_confirmed_incident_is_the_headline_whatever_can_be_judged(serve: Serve) -> None:
    book = incident_book.book(incident_book.silence())
    page = await read(serve, all_unknown().feed(book=book, public_key=KEY))
    assert page.text["headline"].startswith("Kazakhstan went offline about")
    assert page.text["since"].startswith("Start: between 13:12:40 and 13:13:20 UTC")
    assert "judged" not in page.text["headline"] + page.text.get("below", "")
    page = await read(serve, evening().feed(book=incident_book.evening_book(), public_key=KEY))
    assert page.text["headline"].startswith("Mobile networks in Kazakhstan went offline about")
    assert page.text["below"].startswith("2 confirmed incidents are ongoing in Kazakhstan.")
    assert "Blocking of Telegram began on AS9198 fixed" in page.text["below"]


async def test_what_is_only_suspected_is_not_told_as_if_it_were_sure(serve: Serve) -> None:
    doubt = replace(incident_book.silence(), state=How.SUSPECTED, confirmed_us=None)
    feed = evening().feed(book=incident_book.book(doubt), public_key=KEY)
    page = await read(serve, feed)
    assert page.text["headline"] == (
        "Not confirmed: Kazakhstan may be offline; reports stopped about 13:13 UTC on 5 January "
        "2022."
    )
    assert page.text["below"].startswith("No confirmed incident; 1 suspected incident in Kazakh")


async def test_calm_is_said_only_of_where_enough_look(serve: Serve) -> None:
    """A calm headline needs enough vantages, and never precedes a block on the map."""
    page = await read(serve, evening().feed(public_key=KEY))
    assert page.text["headline"].startswith(
        "Kazakhstan: Telegram is blocked in 1 of 3 networks since 13:05\u201313:15 (UTC)"
    )
    assert page.text["below"] == (
        "No incident is open where enough volunteers measure: 4 networks in 2 countries."
    )
    page = await read(serve, World().feed(public_key=KEY))
    assert page.text["headline"] == "No country can be shown yet: too few volunteers measure."
    assert page.html.index('id="lookup-title"') < page.html.index('id="nothing-title"'), "past days"


async def test_the_map_says_what_the_list_says_and_nothing_of_few(serve: Serve) -> None:
    feed = evening().feed(book=incident_book.evening_book(), public_key=KEY)
    page = await read(serve, feed)
    drawn = on_map(page)
    assert set(drawn) == set(world_map.list_outlines())
    assert len(drawn) > 230
    assert (drawn["KZ"], drawn["DE"]) == ("partly_silent", "suspected")
    elements = ((a.get("id") or "", a.get("class")) for _, a in page.elements)
    listed = {id_[5:]: class_ for id_, class_ in elements if id_.startswith("land-")}
    assert {code: f"land {drawn[code]}" for code in listed} == listed
    # Two vantages in Uzbekistan, none in Fiji: the same.
    assert drawn["UZ"] == drawn["FJ"] == "nothing"
    assert "land-UZ" not in page.text
    links = {a["href"] for tag, a in page.elements if tag == "a"}
    assert {"/countries/KZ", "/countries/UZ", "/countries/FJ"} <= links


async def test_doubt_is_hatched_on_the_map_and_never_green(serve: Serve) -> None:
    page = await read(serve, all_unknown().feed(public_key=KEY))
    country = page.html[page.html.index('id="map-KZ"') :].partition("</a>")[0]
    assert 'class="unknown"' in country
    assert 'fill="url(#hatch-land)"' in country
    assert on_map(page)["KZ"] == "unknown"


@pytest.mark.parametrize(
    ("lang", "direction", "place"),
    [("ru", "ltr", "Казахстан"), ("kk", "ltr", "Қазақстан"), ("fa", "rtl", "قزاقستان")],
)
async def test_each_language_is_told_in_its_own_words_and_kept(
    serve: Serve, lang: str, direction: str, place: str
) -> None:
    feed = evening().feed(book=incident_book.evening_book(), public_key=KEY)
    by_browser = await read(serve, feed, headers={"Accept-Language": f"{lang}-XX,en;q=0.5"})
    page = await read(serve, feed, f"/?lang={lang}")
    html = next(a for tag, a in page.elements if tag == "html")
    assert (html["lang"], html["dir"]) == (lang, direction)
    assert place in page.text["headline"]
    assert by_browser.text["headline"] == page.text["headline"]
    for english in ("incident", "blocked", "network", "vantage", "silent"):
        assert english not in page.text["main"].lower(), english
    links = {a["href"] or "" for tag, a in page.elements if tag == "a"}
    assert f"/countries/KZ?lang={lang}" in links
    assert {f"/?lang={other}" for other in LANGS} <= links
    own = {href for href in links if href.startswith(("/countries/", "/incidents/"))}
    assert all(href.endswith(f"lang={lang}") for href in own)


@pytest.mark.parametrize("lang", LANGS)
async def test_the_page_of_methods_names_every_rule_and_number_at_work(
    serve: Serve, lang: str
) -> None:
    feed = World().feed(method=METHOD, public_key=KEY, k_anonymity=7)
    page = await read(serve, feed, f"/methodology?lang={lang}")
    html = page.html
    assert {f"rule-{rule.id}" for rule in RULES} <= set(page.text)
    for name in asdict(THRESHOLDS):
        assert f"<code>detect.{name}</code>" in html
    versions = page.text["rules"]
    if lang == "en":
        assert f"Rules: version {RULES_VERSION}. Detector: version {DETECT_VERSION}." in versions
        assert "fewer than 7 devices" in html
        assert f"Throttling is a speed below {GOODPUT_THRESHOLDS.ratio:.0%} of" in html
        assert f"when {THRESHOLDS.confirm_share:.0%} are still silent" in html
    assert KEY.hex() in html


async def test_the_page_of_methods_follows_the_thresholds(serve: Serve) -> None:
    changed = {"confirm_share": 0.77, "new_days": 3.0, "established_days": 44.0}
    other = replace(METHOD, detect={**asdict(THRESHOLDS), **changed})
    page = await read(serve, World().feed(method=other), "/methodology")
    assert "when 77% are still silent" in page.html
    assert "joined less than 72 hours ago have no vote" in page.html
    assert "joined less than 44 days ago confirm nothing" in page.html


async def test_what_ended_stands_where_there_is_room(serve: Serve) -> None:
    """Closed incidents are placed where there is room.

    Under a long list of open ones half a page beside it would be empty.
    """
    for many, after in ((1, "incidents"), (4, "map-title")):
        openings = [incident_book.silence(f"{n}" * 16, 10 + n) for n in range(many)]
        over = incident_book.closed(incident_book.blocking(minutes=90), 60)
        book = incident_book.book(*openings, over)
        page = await read(serve, evening().feed(book=book, public_key=KEY))
        order = [
            a["id"] for _, a in page.elements if a.get("id") in ("incidents", "map-title", "ended")
        ]
        assert order[order.index("ended") - 1] == after


async def test_a_networks_line_names_its_silence(serve: Serve) -> None:
    world = long_evening()
    world.links = []  # connected agents would count as spared
    page = await read(serve, long_evening_feed(world))
    (line,) = [
        (a["class"], page.text[a["id"] or ""])
        for _, a in page.elements
        if (a.get("id") or "").startswith("line-KZ-29355")
    ]
    assert line[0] == "offline"
    assert line[1] == "AS29355 mobile: offline: nothing is judged; 10\u201319 fell silent."


@pytest.mark.parametrize("path", ["/", "/countries/FJ", "/?country=FJ"])
async def test_where_nobody_looks_nothing_is_said_not_to_be(serve: Serve, path: str) -> None:
    page = await read(serve, World().feed(public_key=KEY), path)
    assert "an incident could go unnoticed" in page.text["incidents"]
    assert "No incident is open" not in page.text["incidents"]


@pytest.mark.parametrize("lang", LANGS)
async def test_a_first_day_speaks_to_readers_before_operators(serve: Serve, lang: str) -> None:
    html = (await read(serve, World().feed(), f"/?lang={lang}")).html
    heard = html.index(translate(lang, "nothing.reader"))
    folded = html.index("<details>", heard)
    assert folded < html.index("heliograph-collector invite") < html.index("</details>", folded)


@pytest.mark.parametrize(("state", "is_said"), [(How.CONFIRMED, False), (How.SUSPECTED, True)])
async def test_no_line_says_confirmed_and_low_confidence(
    serve: Serve, state: How, is_said: bool
) -> None:
    doubt: dict[str, Any] = {"confirmed_us": None} if state is How.SUSPECTED else {}
    incident = incident_book.silence(state=state, confidence=0.45, **doubt)
    page = await read(serve, evening().feed(book=incident_book.book(incident)))
    assert ("low confidence" in page.text["incidents"]) == is_said


@pytest.mark.parametrize(
    ("began_s", "since"),
    [(130, "13:37"), (-50, "13:34"), (-400, "13:35"), (None, "13:35")],
)
async def test_coverage_begins_when_the_collector_did(
    serve: Serve, began_s: int | None, since: str
) -> None:
    """Coverage begins when the collector did.

    It is exact to the minute, where the first bin of five minutes would round it.
    """
    first_us = NOW_US // BIN_US * BIN_US - BIN_US
    world = World()
    world.votes += crowd(9, VerdictState.REACHABLE, first_us, NOW_US)
    gap = BlindTime(
        since_us=0, until_us=first_us + 1_000_000 * (began_s or 0), reason="before_start"
    )
    gaps = [] if began_s is None else [gap]
    page = await read(serve, world.feed(list_gaps=lambda since_us, until_us: gaps))
    assert f"No coverage gap since {since}" in page.text["coverage"]


async def test_before_the_first_measurement_it_is_missed_since_the_collector_began(
    serve: Serve,
) -> None:
    """No hours of before its birth are claimed."""
    gap = BlindTime(since_us=0, until_us=NOW_US - 200_000_000, reason="before_start")
    page = await read(serve, World().feed(list_gaps=lambda since_us, until_us: [gap]))
    assert "No measurements since 13:40" in page.text["coverage"]
