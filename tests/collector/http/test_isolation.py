"""Readers see a country isolated that reaches nothing abroad but keeps sessions."""

from dataclasses import replace

from aiohttp.test_utils import TestServer

from heliograph_collector.http.app import build_app
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from support.dark_country import CUT_US, SECOND, country_before_the_cut, cut, read_green
from support.fake_feed import World
from support.incident_book import blocking, book, part
from support.site import Serve, Site


async def test_no_green_over_a_country_that_reaches_nothing_abroad() -> None:
    world = country_before_the_cut()
    feed = world.feed(k_anonymity=5)
    world.clock.wall = CUT_US + 60 * SECOND
    apart = cut(IncidentState.CONFIRMED, kind=IncidentKind.ISOLATION, service="anchors")
    feed.book = book(apart)
    async with Site(TestServer(build_app(feed), host="127.0.0.1")) as client:
        assert await read_green(client) == []
        assert 'id="map-KZ" class="isolated"' in await client.html("/")


async def test_isolation_names_no_service_and_no_block(serve: Serve) -> None:
    national = (part(26.0, "KZ"),)
    apart = blocking(kind=IncidentKind.ISOLATION, service="anchors", parts=national, layer="")

    document = await _read_document(serve, replace(apart, method="isolated"))

    assert document["sentence"].startswith("Isolation of Kazakhstan from hosts abroad began ")
    assert (document["title"], document["method"]) == ("", "")
    client = await serve(World().feed(book=book(replace(apart, method="isolated"))))
    page = await client.html(f"/incidents/{apart.id}")
    assert "/services/anchors" not in page
    assert "is blocked" not in page.partition("Methodology")[0]


async def _read_document(serve: Serve, incident: Incident) -> dict[str, str]:
    client = await serve(World().feed(book=book(incident), k_anonymity=5))
    document: dict[str, str] = await client.json(f"/api/v1/incidents/{incident.id}")
    return document
