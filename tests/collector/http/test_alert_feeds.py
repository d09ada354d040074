"""Atom and JSON Feed: one entry an incident, updated, with any text escaped."""

import json
import re
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from heliograph_collector.http.i18n import LANGS, Locale
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.pages.incident_text import describe_incident
from support.fake_feed import World
from support.incident_book import (
    ALMATY,
    DOUBT,
    GONE,
    KEY,
    TELEGRAM,
    blocking,
    book,
    closed,
    evening_book,
    silence,
)
from support.site import Serve

NS = {"a": "http://www.w3.org/2005/Atom"}
HOSTILE = "x\x00\x0b\ufffe]]><script>alert(1)</script>&amp;\u202e\U0001f4a3\"'"


async def atom(client: Any, query: str = "") -> ET.Element:
    answer = await client.get(f"/feeds/incidents.atom{query}")
    assert (answer.status, answer.content_type) == (200, "application/atom+xml")
    return ET.fromstring(await answer.read())


def text(element: ET.Element, path: str) -> str:
    found = element.findtext(path, namespaces=NS)
    assert found, path
    return found


def rules_hold(feed: ET.Element) -> None:
    """Check a feed and its entries by RFC 4287."""
    assert feed.tag == "{http://www.w3.org/2005/Atom}feed"
    assert len(feed.findall("a:author/a:name", NS)) == 1
    assert [e.get("rel") for e in feed.findall("a:link", NS)] == ["self", "alternate"]
    ids = [text(e, "a:id") for e in (feed, *feed.findall("a:entry", NS))]
    assert len(set(ids)) == len(ids)
    assert all(i.startswith("urn:uuid:") for i in ids)
    for element in (feed, *feed.findall("a:entry", NS)):
        for name in ("id", "title", "updated"):
            assert len(element.findall(f"a:{name}", NS)) == 1
        assert datetime.fromisoformat(text(element, "a:updated")).tzinfo
    for entry in feed.findall("a:entry", NS):
        assert len(entry.findall("a:link[@rel='alternate']", NS)) == 1
        assert text(entry, "a:published") <= text(entry, "a:updated")


async def test_an_entry_for_each_in_plain_words(serve: Serve) -> None:
    client = await serve(World().feed(book=evening_book(), public_key=KEY.public))
    feed = await atom(client)
    rules_hold(feed)
    titles = [text(e, "a:title") for e in feed.findall("a:entry", NS)]
    assert len(titles) == 5
    assert titles[0].startswith(
        "Not confirmed: most of the fixed lines in BE, Germany may be offline; reports "
    )
    updated = [text(e, "a:updated") for e in feed.findall("a:entry", NS)]
    assert updated == sorted(updated, reverse=True)
    assert text(feed, "a:updated") == updated[0]
    link = feed.find("a:entry/a:link[@rel='alternate']", NS)
    assert link is not None
    href = link.attrib["href"]
    assert (await client.get(href.partition(str(client.port))[2])).status == 200


async def test_by_country(serve: Serve) -> None:
    client = await serve(World().feed(book=evening_book()))
    feed = await atom(client, "?country=DE")
    rules_hold(feed)
    assert text(feed, "a:title") == "Heliograph: incidents in Germany"
    terms = {c.get("term") for c in feed.findall("a:entry/a:category", NS)}
    assert "DE" in terms
    assert "KZ" not in terms
    items = (await client.json("/feeds/incidents.json?country=KZ"))["items"]
    assert len(items) == 3
    nobody = await atom(client, "?country=UZ")
    rules_hold(nobody)
    assert nobody.findall("a:entry", NS) == []


async def test_an_incident_that_goes_on_is_the_same_entry_updated(serve: Serve) -> None:
    kept = book(silence())
    client = await serve(World().feed(book=kept))
    before = (await atom(client)).findall("a:entry", NS)
    for entry in book(closed(silence(), 10)).entries[2:]:
        kept.append(entry)
    after = (await atom(client)).findall("a:entry", NS)
    assert len(before) == len(after) == 1
    assert text(before[0], "a:id") == text(after[0], "a:id")
    assert text(before[0], "a:updated") < text(after[0], "a:updated")
    assert "still offline" in text(before[0], "a:title")
    assert "came back about" in text(after[0], "a:title")


async def test_hostile_words_stay_words(serve: Serve) -> None:
    nasty = blocking(service=HOSTILE, layer=HOSTILE, method=HOSTILE, hints=(HOSTILE,))
    client = await serve(World().feed(book=book(nasty)))
    feed = await atom(client)
    rules_hold(feed)
    assert "<script>alert(1)</script>" in text(feed, "a:entry/a:title")
    assert not [e for e in feed.iter() if "script" in e.tag]
    page = await (await client.get(f"/incidents/{nasty.id}")).text()
    assert "<script>alert" not in page
    assert (await client.get("/feeds/incidents.json")).status == 200


async def test_a_strange_host_is_not_written_down(serve: Serve) -> None:
    client = await serve(World().feed(book=evening_book()))
    answer = await client.get("/feeds/incidents.json", headers={"Host": 'evil"<x>/'})
    assert "evil" not in await answer.text()
    tls = await client.get("/feeds/incidents.json", headers={"X-Forwarded-Proto": "https"})
    assert (await tls.json())["feed_url"].startswith("https://127.0.0.1")


async def test_json_feed_has_what_1_1_wants(serve: Serve) -> None:
    client = await serve(World().feed(book=evening_book()))
    answer = await client.get("/feeds/incidents.json")
    assert answer.content_type == "application/feed+json"
    feed = await answer.json()
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert feed["title"]
    for item in feed["items"]:
        assert isinstance(item["id"], str)
        assert item["url"].startswith(feed["home_page_url"])
        assert item["content_text"]
        assert datetime.fromisoformat(item["date_published"]).tzinfo
        assert isinstance(item["tags"], list)
    again = await client.get(
        "/feeds/incidents.json", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert again.status == 304


_CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"
_CAP_ORDER = (  # of the schema, as far as we write it
    "identifier", "sender", "sent", "status", "msgType", "scope", "references", "incidents", "info",
)  # fmt: skip
_INFO_ORDER = (
    "language", "category", "event", "urgency", "severity", "certainty", "onset", "headline",
    "description", "web", "parameter", "area",
)  # fmt: skip


@pytest.mark.parametrize(
    ("id_", "kind", "certainty", "urgency"),
    [
        (TELEGRAM, "Update", "Observed", "Immediate"),
        (DOUBT, "Alert", "Possible", "Immediate"),
        (GONE, "Cancel", "Unlikely", "Past"),
        (ALMATY, "Update", "Observed", "Past"),
    ],
)
async def test_an_incident_is_a_message_of_cap(
    serve: Serve, id_: str, kind: str, certainty: str, urgency: str
) -> None:
    client = await serve(
        World().feed(book=evening_book(), public_key=KEY.public, public_url="https://sun.example")
    )
    answer = await client.get(f"/incidents/{id_}/cap.xml")
    assert (answer.status, answer.content_type) == (200, "application/cap+xml")
    root = ET.fromstring(await answer.text())
    blocks = root.findall(f"{_CAP}info")
    assert [block.findtext(f"{_CAP}language") for block in blocks] == list(LANGS)
    assert len({block.findtext(f"{_CAP}headline") for block in blocks}) == len(LANGS)
    for block in blocks[1:]:
        root.remove(block)
    told = {e.tag.removeprefix(_CAP): e.text or "" for e in root.iter()}
    assert (told["msgType"], told["certainty"], told["urgency"]) == (kind, certainty, urgency)
    for element, order in ((root, _CAP_ORDER), (root.find(f"{_CAP}info"), _INFO_ORDER)):
        assert element is not None
        positions = [order.index(e.tag.removeprefix(_CAP)) for e in element]
        assert positions == sorted(positions), "the schema has an order"
    assert ("references" in told) == (kind != "Alert")
    for name in ("sent", "onset"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", told[name])
    assert not set(" ,<&") & set(told["identifier"] + told["sender"])
    assert told["web"] == f"https://sun.example/incidents/{id_}"
    document = await client.json(f"/api/v1/incidents/{id_}")
    assert told["headline"] == document["sentence"]


@pytest.mark.parametrize(
    "path",
    [
        *("/feeds/incidents.atom", "/feeds/cap.atom", "/feeds/incidents.json"),
        *(f"/incidents/{TELEGRAM}", f"/incidents/{TELEGRAM}/cap.xml"),
    ],
)
async def test_what_leaves_the_site_has_the_configured_address_of_it(
    serve: Serve, path: str
) -> None:
    """Feeds and links use the configured address of the site.

    Behind a proxy the requested name is not the one that readers use.
    """
    client = await serve(
        World().feed(book=evening_book(), public_key=KEY.public, public_url="https://sun.example")
    )
    text = await (await client.get(path, headers={"Host": "inner.example"})).text()
    assert "https://sun.example/" in text
    assert "inner.example" not in text


async def test_feeds_of_each_subject_have_a_name_and_an_id_of_their_own(serve: Serve) -> None:
    client = await serve(World().feed(book=evening_book(), public_key=KEY.public))
    told = {}
    for query in ("", "?country=KZ", "?service=telegram", "?asn=9198", "?country=KZ&region=KZ-75"):
        for path in ("incidents.atom", "cap.atom"):
            root = ET.fromstring(await (await client.get(f"/feeds/{path}{query}")).text())
            told[path, query] = tuple(
                root.findtext(f"a:{name}", None, NS) for name in ("id", "title")
            )
    assert len({id_ for id_, _ in told.values()}) == 10
    assert told["incidents.atom", "?service=telegram"][1] == (
        "Heliograph: incidents of Telegram in the world"
    )
    assert told["incidents.atom", "?asn=9198"][1] == "Heliograph: incidents of AS9198 in the world"


async def test_search_engines_get_an_article_and_a_data_set(serve: Serve) -> None:
    client = await serve(World().feed(book=evening_book(), public_key=KEY.public))

    async def read(path: str) -> dict[str, Any]:
        html = await client.html(path)
        (block,) = re.findall('<script type="application/ld[+]json">(.*?)</script>', html)
        assert "<" not in block
        found: dict[str, Any] = json.loads(block)
        return found

    article = await read(f"/incidents/{TELEGRAM}")
    assert (article["@type"], article["about"]["@type"]) == ("NewsArticle", "Event")
    assert "endDate" not in article["about"]
    assert "Telegram" in article["headline"]
    data = await read("/dumps/")
    assert data["license"] == "https://creativecommons.org/licenses/by/4.0/"
    assert "ld+json" not in await client.html(f"/incidents/{GONE}"), "which was withdrawn"


@pytest.mark.parametrize(
    ("query", "accept", "lang"),
    [
        ("?lang=ru", "fa", "ru"),
        ("", "kk-KZ,ru;q=0.5", "kk"),
        ("?lang=fa", "", "fa"),
        ("", "", "en"),
    ],
)
async def test_sentences_are_in_the_readers_language(
    serve: Serve, query: str, accept: str, lang: str
) -> None:
    feed = World().feed(book=evening_book(), public_key=KEY.public)
    incident = IncidentCache(feed).get_incident(TELEGRAM)
    assert incident is not None
    sentence = describe_incident(incident, Locale(lang))
    assert (sentence == incident.sentence) is (lang == "en")
    client = await serve(feed)
    headers = {"Accept-Language": accept}
    paths = ("/feeds/incidents.atom", "/feeds/cap.atom", "/feeds/incidents.json")
    for path in (*paths, "/api/v1/incidents", f"/api/v1/incidents/{TELEGRAM}"):
        answer = await client.get(path + query, headers=headers)
        assert (answer.status, answer.headers["Content-Language"]) == (200, lang)
        assert "Accept-Language" in answer.headers["Vary"]
        assert sentence in await answer.text()
    table = await client.get(
        "/api/v1/incidents?format=csv" + query.replace("?", "&"), headers=headers
    )
    assert sentence in await table.text()


@pytest.mark.parametrize("lang", [lang for lang in LANGS if lang != "en"])
async def test_no_english_is_left_in_a_feed_of_another_language(serve: Serve, lang: str) -> None:
    client = await serve(World().feed(book=evening_book(), public_key=KEY.public))
    feed = await atom(client, f"?country=KZ&service=telegram&lang={lang}")
    assert feed.get("{http://www.w3.org/XML/1998/namespace}lang") == lang
    words = [text(feed, "a:title"), text(feed, "a:subtitle")]
    words += [text(e, f"a:{n}") for e in feed.findall("a:entry", NS) for n in ("title", "summary")]
    names = {"Heliograph", "Telegram", "UTC", "TLS", "ClientHello", "AS"}
    latin = {w for w in re.findall("[A-Za-z]{2,}", " ".join(words)) if w not in names}
    assert not latin
    href = feed.find("a:entry/a:link[@rel='alternate']", NS)
    assert href is not None
    assert href.attrib["href"].endswith(f"?lang={lang}")
