"""`/api/v1/incidents`: what was cut where and when, with confidence and evidence."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_collector.http.i18n import ENGLISH
from heliograph_collector.http.incident_document import build_document
from heliograph_collector.http.pages import incident_text, place_text
from heliograph_collector.incidents.incident import PhaseDirection
from heliograph_collector.incidents.published.incident import (
    BracketDocument,
    CellScope,
    PartDocument,
)
from heliograph_collector.model.scope import Scope
from support import incident_book
from support.fake_feed import World
from support.incident_book import (
    ALMATY,
    DOUBT,
    GONE,
    MOBILE,
    TELEGRAM,
    blocking,
    book,
    closed,
    evening_book,
    opening,
    part,
    silence,
)
from support.site import Serve
from support.values import present


async def ids(client: Any, query: str = "") -> list[str]:
    body = await client.json(f"/api/v1/incidents{query}")
    return [incident["id"] for incident in body["incidents"]]


async def one(serve: Serve, *incidents: Any, k: int = 5, id_: str = "") -> dict[str, Any]:
    client = await serve(World().feed(book=book(*incidents), k_anonymity=k))
    document: dict[str, Any] = await client.json(f"/api/v1/incidents/{id_ or incidents[0].id}")
    return document


async def test_newest_start_first_and_by_what_is_asked(serve: Serve) -> None:
    client = await serve(World().feed(book=evening_book()))
    assert await ids(client) == [DOUBT, TELEGRAM, MOBILE, ALMATY, GONE]
    assert await ids(client, "?country=KZ") == [TELEGRAM, MOBILE, ALMATY]
    assert await ids(client, "?service=telegram") == [TELEGRAM]
    assert await ids(client, "?service=TELEGRAM") == [TELEGRAM]
    assert await ids(client, "?service=whatsapp") == []
    for path in ("/api/v1/incidents", "/feeds/incidents.atom", "/feeds/incidents.json"):
        problem = await client.problem(f"{path}?service=telegrm", 404)
        assert "telegram, whatsapp, signal" in problem["allowed"]
    assert await ids(client, "?state=suspected") == [DOUBT]
    assert await ids(client, "?kind=network_silence&country=KZ") == [MOBILE, ALMATY]
    assert (await ids(client, "?kind=recovery"), await ids(client, "?country=UZ")) == ([], [])


async def test_a_time_asks_for_what_was_under_way_in_it(serve: Serve) -> None:
    client = await serve(World().feed(book=evening_book()))
    assert await ids(client, "?since=2022-01-05T12:00:00Z") == [DOUBT, TELEGRAM, MOBILE]
    assert await ids(client, "?until=2022-01-05T12:00:00Z") == [ALMATY, GONE]
    hour = "?since=2022-01-05T10:00:00Z&until=2022-01-05T11:00:00Z"
    assert await ids(client, hour) == [ALMATY]


async def test_pages_add_up_also_while_new_ones_come_in(serve: Serve) -> None:
    everything = [silence(f"{n:016x}", 10 + n) for n in range(7)]
    kept = book(*everything)
    client = await serve(World().feed(book=kept))
    seen: list[str] = []
    cursor = ""
    async with asyncio.timeout(60):
        while cursor is not None:
            path = "/api/v1/incidents?limit=3" + (cursor and f"&cursor={cursor}")
            body = await client.json(path)
            seen += [incident["id"] for incident in body["incidents"]]
            cursor = body["next"]
            for entry in book(*everything, silence("f" * 16, 5)).entries[len(kept.entries) :]:
                kept.append(entry)
    assert seen == [f"{n:016x}" for n in range(7)]
    assert await ids(client, "?limit=1") == ["f" * 16]


@given(st.integers(0, 7_200), st.integers(0, 7_200))
def test_a_bracket_in_words_is_never_narrower_than_it_is(after: int, seconds: int) -> None:
    """A bracket in words is never narrower than in the API, and holds the true moment."""
    low = datetime(2022, 1, 4, 23, tzinfo=UTC) + timedelta(seconds=after)
    high = low + timedelta(seconds=seconds)
    bracket = BracketDocument(low.isoformat(), high.isoformat())
    text = incident_text.describe_bracket(bracket, ENGLISH)
    told = re.findall(r"\d\d:\d\d(?::\d\d)?", text)
    days = re.findall(r"on (\d) January", text)
    days, told = days * 2 if len(days) == 1 else days, told * 2 if len(told) == 1 else told
    first, last = (
        datetime.fromisoformat(f"2022-01-0{day}T{clock}+00:00")
        for day, clock in zip(days, told, strict=True)
    )
    assert first <= low <= high <= last


def test_no_region_seems_to_be_that_of_a_part_that_names_none() -> None:
    rest: dict[str, Any] = {"country": "KZ", "share": 1.0, "networks": 1, "spared": ()}
    parts = [
        PartDocument(region="", asn=9198, access="fixed", votes="20-49", **rest),
        PartDocument(region="KZ-75", asn=29355, access="mobile", votes="10-19", **rest),
    ]
    country = CellScope(country="KZ", region="", asn=0, access="")
    text = place_text.describe_place(parts, country, ENGLISH)
    assert text == "AS29355 mobile in Almaty and AS9198 fixed in Kazakhstan"


@pytest.mark.parametrize(
    ("access", "share", "told"),
    [
        ("", 1.0, "kazakhstan"),
        ("", 0.9, "kazakhstan"),
        ("", 0.8, "most of Kazakhstan"),
        ("", 0.5, "part of Kazakhstan"),
        ("mobile", 0.8, "most of the mobile networks in Kazakhstan"),
    ],
)
def test_a_place_where_some_still_report_is_not_told_as_silent(
    access: str, share: float, told: str
) -> None:
    """Reports "from Venezuela stopped; none since", while half of its people reported."""
    record = silence("e" * 16, parts=(part(24.0, "KZ", "", 0, access, share=share),))
    document = present(build_document(book(record).entries_of("e" * 16), {}, 1))
    sentence = incident_text.describe_lead(document, ENGLISH)
    assert f"{sentence[0].lower()}{sentence[1:]}".startswith(f"{told} went offline")


async def test_one_says_all_of_it(serve: Serve) -> None:
    client = await serve(World().feed(book=evening_book()))
    told = await client.json(f"/api/v1/incidents/{TELEGRAM}")
    place = {"country": "KZ", "region": "", "asn": 9198, "access": "fixed"}
    assert told["scope"] == place | {"service": "telegram"}
    states = (told["kind"], told["state"], told["label"])
    assert states == ("service_blocking", "confirmed", "one-operator")
    assert (told["layer"], told["method"]) == ("tls", "reset_after_hello")
    assert told["started"] == {"earliest": "2022-01-05T13:03:20Z", "latest": "2022-01-05T13:05:20Z"}
    assert told["ended"] is None
    alerts = [(alert["change"], alert["called"]) for alert in told["alerts"]]
    assert alerts == [("suspected", False), ("confirmed", True)]
    evidence = told["evidence"][-1]
    assert evidence["entry"] == told["alerts"][-1]["entry"]
    assert "rows" not in evidence  # the count of rows between two entries is private
    assert evidence["versions"]["heliograph"] == "0.3.0"
    assert evidence["window"].keys() == {"since", "until"}
    log = await client.json(told["links"]["log"])
    assert log["entries"][0]["body"]["incident"]["id"] == TELEGRAM


DAY = "UTC on 5 January 2022"
SILENCE_AT = "went offline about 13:13"
_FIXED = part(24.0, "KZ", "", 0, "fixed")
_STEPS = (opening(20, _FIXED, way=PhaseDirection.CUT), opening(10, _FIXED))
_ALA, _AST = (part(24.0, "KZ", region) for region in ("KZ-ALA", "KZ-AST"))
_GROWN = (opening(30, _ALA, way=PhaseDirection.CUT), opening(20, _AST, way=PhaseDirection.CUT))
_CUT_AGAIN = opening(5, _ALA, way=PhaseDirection.CUT)
SENTENCES = [
    (  # the whole country was not offline when its first city was
        silence(turns=_GROWN),
        (f"Kazakhstan went offline between 13:12 and 13:24 {DAY}; still offline. "
         "KZ-ALA went offline about 13:13 UTC. KZ-AST went offline about 13:23 UTC."),
    ),
    (
        silence(parts=(_ALA,), turns=(*_GROWN[:1], opening(25, _ALA), _CUT_AGAIN)),
        (f"KZ-ALA, Kazakhstan {SILENCE_AT} {DAY}; still offline. "
         "KZ-ALA went offline about 13:38 UTC."),
    ),
    (silence(), f"Kazakhstan {SILENCE_AT} {DAY}; still offline."),
    (
        blocking(),
        ("Blocking of Telegram began on AS9198 fixed in "
         f"Kazakhstan about 13:04 {DAY} and is ongoing."),
    ),
    (
        blocking(turns=_STEPS[:1]),
        ("Blocking of Telegram began on AS9198 fixed in "
         f"Kazakhstan about 13:04 {DAY} and is ongoing. "
         "Blocking of Telegram began on fixed lines about 13:23 UTC."),
    ),
    (
        blocking(turns=_STEPS),
        ("Blocking of Telegram began on AS9198 fixed in "
         f"Kazakhstan about 13:04 {DAY} and is ongoing. "
         f"Blocking of Telegram began on fixed lines about 13:23 {DAY} and ended about 13:33 UTC."),
    ),
    (
        closed(silence(minutes=30, started=incident_book.bracket(30, 600)), 10),
        (f"Kazakhstan went offline between 13:03 and 13:14 {DAY} and came back about "
         "13:33 UTC."),
    ),
    (
        silence(parts=(part(9.0, "KZ", "KZ-ALA", beyond=[Scope("KZ", "KZ-ALA", 7)]),)),
        f"KZ-ALA, Kazakhstan except AS7 went offline between 13:10 and 13:15 {DAY}; still offline.",
    ),
    (
        silence(parts=(part(24.0, "KZ", "", 0, "mobile"),), turns=_STEPS[:1]),
        (f"Mobile networks in Kazakhstan {SILENCE_AT} {DAY}; still offline. "
        "Fixed lines went offline about 13:23 UTC."),
    ),
    (
        silence(parts=(part(24.0, "KZ", "", 0, "mobile"),), turns=_STEPS),
        (f"Mobile networks in Kazakhstan {SILENCE_AT} {DAY}; still offline. "
        "Fixed lines came back online about 13:33 UTC."),
    ),
    (
        silence(turns=(opening(20, _FIXED), opening(10, part(24.0, "KZ"), way=PhaseDirection.CUT))),
        (f"Kazakhstan {SILENCE_AT} {DAY}; still offline. "
        "Kazakhstan went offline about 13:33 UTC."),
    ),
    (
        silence(turns=_STEPS[1:]),
        (f"Kazakhstan {SILENCE_AT} {DAY}; partly back. "
        "Fixed lines came back online about 13:33 UTC."),
    ),
    (
        silence(hints=("one_way",), turns=_STEPS[1:]),
        (f"Reports from Kazakhstan stopped about 13:13 {DAY}; some are back. "
         "Fixed lines reported again about 13:33 UTC."),
    ),
    (
        closed(silence(minutes=30, hints=("one_way",)), 10),
        f"Reports from Kazakhstan stopped about 13:13 {DAY} and came back about 13:33 UTC.",
    ),
    (
        silence(minutes=823, parts=tuple(part(9.0, "KZ", "", n) for n in range(1, 5)),
                confirmed_us=None),
        ("Not confirmed: AS1, AS2, AS3 and 1 more in Kazakhstan may be offline; reports "
         f"stopped about 00:00 {DAY}."),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("incident", "sentence"), SENTENCES)
async def test_one_plain_sentence_with_its_uncertainty(
    serve: Serve, incident: Any, sentence: str
) -> None:
    assert (await one(serve, incident))["sentence"] == sentence


async def test_numbers_are_bands_and_times_are_whole_seconds(serve: Serve) -> None:
    odd = incident_book.bracket(30.00012, 41.5)
    incident = silence(
        parts=(part(23.0, "KZ", share=0.957),), started=odd, turns=(opening(20, part(7.0, "KZ")),)
    )
    told = await one(serve, incident)
    assert (told["parts"][0]["votes"], told["parts"][0]["share"]) == ("20-49", 0.9)
    assert (told["confidence"], told["turns"][0]["parts"][0]["votes"]) == (0.9, "5-9")
    assert told["started"] == {"earliest": "2022-01-05T13:12:38Z", "latest": "2022-01-05T13:13:20Z"}
    exact = await one(serve, incident, k=1)
    assert (exact["parts"][0]["votes"], exact["parts"][0]["share"]) == ("23", 0.957)


async def test_parts_of_few_are_not_told_nor_incidents_of_few(serve: Serve) -> None:
    grown = silence(parts=(part(20.0, "KZ", "KZ-ALA"), part(4.0, "KZ", "KZ-AST")))
    small = silence("5" * 16, parts=(part(4.0, "UZ"),))
    turned = silence("6" * 16, turns=(opening(20, part(3.0, "KZ", "", 77)),))
    client = await serve(World().feed(book=book(grown, small, turned)))
    text = await (await client.get("/api/v1/incidents")).text()
    assert "KZ-ALA" in text
    assert "KZ-AST" not in text
    assert "UZ" not in text
    assert '"asn":77' not in text
    assert (await client.get(f"/api/v1/incidents/{small.id}")).status == 404
    assert (await client.get(f"/incidents/{small.id}")).status == 404


async def test_it_may_be_kept_and_asked_for_again(serve: Serve) -> None:
    kept = book(silence(), blocking())
    client = await serve(World().feed(book=kept))
    for path in ("/api/v1/incidents", f"/api/v1/incidents/{silence().id}"):
        first = await client.get(path)
        assert first.headers["Access-Control-Allow-Origin"] == "*"
        assert first.headers["Cache-Control"] == "public, max-age=5"
        again = await client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status, await again.read()) == (304, b"")
    tag = first.headers["ETag"]
    for entry in book(silence(), blocking(), closed(silence(), 5)).entries[4:]:
        kept.append(entry)
    news = await client.get(f"/api/v1/incidents/{silence().id}", headers={"If-None-Match": tag})
    assert (news.status, (await news.json())["state"]) == (200, "closed")
