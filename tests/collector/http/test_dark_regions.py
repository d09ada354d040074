"""A city's cut is not the country's, nor that of networks with other regions."""

import re

from aiohttp.test_utils import TestServer
from msgspec import structs

from heliograph_collector.http.app import build_app
from heliograph_collector.http.backend import Feed
from heliograph_collector.incidents.incident import ONE_WAY, IncidentState
from support.dark_country import CUT_US, SECOND, STATES, country_before_the_cut, cut
from support.incident_book import book
from support.site import Site

_LINES = re.compile(r'<li id="line-KZ-[^>]*>([^<]*)<')


def feed_of_two_regions(most: str, fewer: str) -> Feed:
    """Build a feed with 2 of 3 vantages of each network in one region.

    Almaty, KZ-75, was cut.
    """
    world = country_before_the_cut()
    world.votes = [
        structs.replace(vote, region=most if number % 3 else fewer)
        for number, vote in enumerate(world.votes)
    ]
    world.clock.wall = CUT_US + 100 * SECOND
    return world.feed(k_anonymity=5, book=book(cut(IncidentState.CONFIRMED, "KZ", "KZ-75")))


async def test_a_network_that_measures_in_other_regions_too_is_not_offline() -> None:
    """A network with vantages in other regions is not offline.

    A city was cut once, and each network and the country were called offline.
    """
    feed = feed_of_two_regions("KZ-75", "KZ-71")
    async with Site(TestServer(build_app(feed), host="127.0.0.1")) as client:
        groups = (await client.json("/api/v1/status?country=KZ"))["groups"]
        front = await client.html("/")
        lines = " ".join(_LINES.findall(front))
        page = await client.html("/countries/KZ")
        almaty, astana = [await client.html(f"/countries/KZ/{r}") for r in ("KZ-75", "KZ-71")]
    states = dict(STATES.findall(page))
    assert {group["link"] for group in groups} == {"unknown"}
    assert 'id="map-KZ" class="partly_silent"' in front
    assert "some of its regions are silent" in lines
    assert "offline" not in lines
    assert states["network-KZ-9198-fixed-now"] == "unknown"
    assert (states["region-KZ-75-now"], states["region-KZ-71-now"]) == ("silent", "reachable")
    assert states["service-telegram-now"] == "reachable"
    telegram = page.split('id="service-telegram-now"')[1].split('id="service-')[0]
    assert "part of the country fell silent" in telegram
    assert "2 of 2 networks fell silent" in almaty
    assert "some of its regions are silent" in astana
    assert "networks fell silent" not in astana


async def test_no_network_works_on_the_page_of_a_dark_region() -> None:
    """No network works on the page of a dark region.

    Most of it measures elsewhere and works there, and its reading is of the whole network.
    """
    works = r'class="(?!bar )[^"]*reachable'  # bars are the past
    feed = feed_of_two_regions("KZ-71", "KZ-75")
    async with Site(TestServer(build_app(feed), host="127.0.0.1")) as client:
        groups = (await client.json("/api/v1/status?country=KZ"))["groups"]
        cells = re.findall(works, await client.html("/countries/KZ/ALA"))
        working = await client.html("/countries/KZ/AST")
    assert {group["services"][0]["state"] for group in groups} == {"reachable"}
    assert cells == []
    assert re.search(works, working)


async def test_what_one_way_alone_tells_is_silent_and_not_offline() -> None:
    """What only one entrance shows is silent and not offline.

    A block of our only address looks the same; every row and the map called it offline once.
    """
    world = country_before_the_cut()
    world.clock.wall = CUT_US + 100 * SECOND
    incidents = book(cut(IncidentState.CONFIRMED, hints=(ONE_WAY,)))
    async with Site(
        TestServer(build_app(world.feed(k_anonymity=5, book=incidents)), host="127.0.0.1")
    ) as client:
        groups = (await client.json("/api/v1/status?country=KZ"))["groups"]
        front, grid = [await client.html(path) for path in ("/", "/?country=KZ")]
        network = await client.html("/networks/AS9198")
    assert "Reports from Kazakhstan stopped" in front
    assert 'id="map-KZ" class="silent"' in front
    land = front.split('id="land-KZ"')[1].split('id="land-')[0]
    assert "networks fell silent" in land
    assert re.search(r"AS9198 fixed: [^<]*silent", land)
    table = grid.split("<table")[1].split("</table")[0]
    assert "silent" in table
    for text in (land, table, network.split("<main")[1].split("<footer")[0]):
        assert "offline" not in re.sub("<[^>]*>", " ", text)
    assert {group["link"] for group in groups} == {"unknown"}
    assert {s["state"] for group in groups for s in group["services"]} == {"unknown"}
