"""security.txt and robots.txt: what researchers and crawlers ask a site for."""

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest

from heliograph_collector.http.backend import Publisher
from heliograph_collector.http.i18n import LANGS
from heliograph_collector.http.site_files import build_security_txt
from support.fake_feed import NOW_US, World
from support.incident_book import KEY, evening_book
from support.site import Serve


def parse_fields(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.splitlines())


async def test_security_txt_names_the_operator_and_has_not_expired(serve: Serve) -> None:
    settings = {"security_contact": "mailto:ops@sun.example", "public_url": "https://sun.example"}
    client = await serve(World().feed(**settings))
    answer = await client.get("/.well-known/security.txt")
    assert (answer.status, answer.content_type, answer.charset) == (200, "text/plain", "utf-8")
    fields = parse_fields(await answer.text())
    assert fields["Contact"] == "mailto:ops@sun.example"
    assert fields["Canonical"] == "https://sun.example/.well-known/security.txt"
    remaining = datetime.fromisoformat(fields["Expires"]) - datetime.fromtimestamp(
        NOW_US / 1e6, UTC
    )
    assert timedelta(days=30) < remaining < timedelta(days=365)


@pytest.mark.parametrize(
    ("public_url", "mailbox"),
    [("https://sun.example:8443", "security@sun.example"), ("", "security@localhost")],
)
def test_contact_left_out_is_the_mailbox_reserved_for_it(public_url: str, mailbox: str) -> None:
    fields = parse_fields(build_security_txt("", public_url, NOW_US))
    assert fields["Contact"] == f"mailto:{mailbox}"
    assert ("Canonical" in fields) == bool(public_url)


async def test_crawlers_read_pages_and_neither_api_nor_console(serve: Serve) -> None:
    answer = await (await serve(World().feed())).get("/robots.txt")
    assert (answer.status, answer.content_type) == (200, "text/plain")
    lines = (await answer.text()).splitlines()
    assert lines[0] == "User-agent: *"
    assert {"Disallow: /api/", "Disallow: /console"} <= set(lines)
    assert "Disallow: /" not in lines


async def test_crawlers_find_the_pages_and_browsers_the_icon(serve: Serve) -> None:
    feed = World().feed(
        book=evening_book(), public_key=KEY.public, public_url="https://sun.example"
    )
    client = await serve(feed)
    robots = await (await client.get("/robots.txt")).text()
    assert "Sitemap: https://sun.example/sitemap.xml" in robots.splitlines()
    answer = await client.get("/sitemap.xml")
    assert (answer.status, answer.content_type) == (200, "application/xml")
    root = ET.fromstring(await answer.text())
    addresses = [e.text or "" for e in root.iter() if e.tag.endswith("loc")]
    assert {"https://sun.example/about", "https://sun.example/countries/KZ"} <= set(addresses)
    for address in addresses:
        path = address.removeprefix("https://sun.example")
        if path != "/methodology":  # this feed has no rules to tell
            assert (await client.get(path)).status == 200, path
    icon = await client.get("/favicon.ico")
    assert (icon.status, icon.content_type) == (200, "image/svg+xml")


PUBLISHER = Publisher(
    operator="The <Sun>", contact="mailto:desk@sun.example", license="CC0-1.0",
    license_url="https://creativecommons.org/publicdomain/zero/1.0/",
)  # fmt: skip


async def test_everything_that_holds_our_data_states_its_license(serve: Serve) -> None:
    client = await serve(World().feed(publisher=PUBLISHER))
    for path in ("status", "timeline", "incidents", "coverage"):
        answer = await client.get(f"/api/v1/{path}")
        assert (await answer.json())["license"] == "CC0-1.0", path
        assert answer.headers["Link"] == f'<{PUBLISHER.license_url}>; rel="license"'
    for path in ("/dumps/index.json", "/dumps/README.json"):
        assert (await client.json(path))["license"] == "CC0-1.0"
    assert "<rights>CC0-1.0</rights>" in await (await client.get("/feeds/incidents.atom")).text()
    info = (await client.json("/openapi.json"))["info"]
    assert info["license"]["identifier"] == "CC0-1.0"
    assert info["contact"] == {"name": "The <Sun>", "email": "desk@sun.example"}
    assert PUBLISHER.license_url in await client.html("/dumps/")
    foreign = await client.get("/api/v1/imported")
    assert "Link" not in foreign.headers, "other projects' data have other licenses"


@pytest.mark.parametrize("lang", LANGS)
async def test_the_page_about_us_answers_who_may_i_and_how(serve: Serve, lang: str) -> None:
    client = await serve(World().feed(publisher=PUBLISHER))
    page = await client.page(f"/about?lang={lang}")
    links = {a.get("href") for tag, a in page.elements if tag == "a"}
    assert {"mailto:desk@sun.example", PUBLISHER.license_url, "/dumps/"} <= links
    assert "The &lt;Sun&gt;" in page.html
    for id_ in ("operator", "license", "privacy", "volunteer", "methodology"):
        assert page.text[id_]
    assert "heliograph-agent join INVITE" in page.text["volunteer"]
    if lang != "en":
        assert "operator" not in page.text["license"] + page.text["privacy"]


async def test_an_operator_who_gave_no_name_is_not_made_up(serve: Serve) -> None:
    told = (await (await serve(World().feed())).page("/about")).text["operator"]
    assert "has not given a name" in told
    assert "given no address" in told
    front = await (await serve(World().feed())).page("/")
    assert "/about" in {a.get("href") for _, a in front.elements}
