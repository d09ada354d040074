"""A national cut shows on every page at once, with nothing green in the country.

Readings are public five and a half minutes late and stay fresh for twenty minutes; an incident is
public at once. So the pages must not show a reading from before the cut.
"""

import random
import re
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from msgspec import structs

from heliograph.observation import Link
from heliograph_collector.http.api.stream import CellEvents
from heliograph_collector.http.app import build_app
from heliograph_collector.http.backend import LinkCount
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.incidents.state import IncidentBook
from heliograph_collector.model.records import SilenceCount, VerdictState
from heliograph_collector.model.scope import Scope
from support.dark_country import (
    CUT_US,
    SECOND,
    STATES,
    country_before_the_cut,
    cut,
    read_green,
)
from support.examples import IS_SOAK, draw_seeds
from support.fake_feed import BIN_US, NOW_US, World, crowd
from support.incident_book import MINUTE, blocking, book, closed, opening, part
from support.site import Site

_LINES = re.compile(r'<li id="line-KZ-[^>]*>([^<]*)<')


async def test_no_green_over_a_country_without_power() -> None:
    world = country_before_the_cut()
    feed = world.feed(k_anonymity=5)
    world.clock.wall = CUT_US + 60 * SECOND
    feed.book = book(cut(IncidentState.CONFIRMED, kind=IncidentKind.POWER))
    async with Site(TestServer(build_app(feed), host="127.0.0.1")) as client:
        assert await read_green(client) == []


@pytest.mark.long
@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("state", [IncidentState.SUSPECTED, IncidentState.CONFIRMED])
async def test_no_green_over_a_dark_country(k: int, state: IncidentState) -> None:
    shade = "silent" if state is IncidentState.CONFIRMED else "suspected"
    world = country_before_the_cut()
    world.clock.wall = CUT_US - 20 * SECOND
    feed = world.feed(k_anonymity=k)
    cache = SnapshotCache(feed)
    events = CellEvents(feed, cache)
    cache.is_polled = True
    async with Site(TestServer(build_app(feed, cache), host="127.0.0.1")) as client:
        await events.publish_changes()
        assert len(await read_green(client)) > 8  # it is shown as working while it does
        with feed.bus.subscribe() as subscription:
            feed.book = book(cut(state))
            for second in range(30, 420, 37 if IS_SOAK else 75):
                world.clock.advance_us(CUT_US + second * SECOND - world.clock.wall_us())
                await events.publish_changes()
                assert await read_green(client) == [], second
                front = await client.html("/")
                assert f'id="map-KZ" class="{shade}"' in front
                for path in ("/", "/countries/KZ"):
                    assert "/incidents/5e1f" in await client.html(path), path
            assert subscription._queue.qsize() > 0  # readers of the stream get it too
    assert "DE" in str(await _read_groups(feed.book, world, "DE"))


async def _read_groups(incidents: IncidentBook, world: World, country: str) -> list[str]:
    """Return the working groups of a country on a fresh site."""
    feed = world.feed(book=incidents)
    async with Site(TestServer(build_app(feed), host="127.0.0.1")) as client:
        document = await client.json(f"/api/v1/status?country={country}")
    return [
        f"{group['country']} {group['asn']}"
        for group in document["groups"]
        if any(service["state"] == "reachable" for service in group["services"])
    ]


@pytest.mark.parametrize(
    ("where", "works"),
    [
        (("KZ",), []),
        (("KZ", "", 9198, "fixed"), ["KZ 29355"]),
        (("KZ", "", 0, "mobile"), ["KZ 9198"]),
        (("KZ", "ALA"), ["KZ 9198", "KZ 29355"]),  # a region is no whole network
    ],
)
async def test_only_what_the_incident_covers_is_hidden(where: Any, works: list[str]) -> None:
    world = country_before_the_cut()
    incidents = book(cut(IncidentState.CONFIRMED, *where))
    world.clock.wall = CUT_US + 300 * SECOND
    assert await _read_groups(incidents, world, "KZ") == works


async def test_a_network_that_is_only_in_a_dark_region_is_dark_before_its_next_counts() -> None:
    """A network that is only in a dark region is dark at once."""
    world = country_before_the_cut()
    regions = {9198: "ALA", 29355: "AST"}
    world.votes = [structs.replace(vote, region=regions.get(vote.asn, "")) for vote in world.votes]
    world.links = [
        LinkCount(country="KZ", asn=asn, access=access, link=Link.ONLINE, vantages=vantages)
        for asn, access, vantages in ((9198, "fixed", 30), (29355, "mobile", 20))
    ]
    world.clock.wall = CUT_US + 100 * SECOND
    feed = world.feed(k_anonymity=5, book=book(cut(IncidentState.CONFIRMED, "KZ", "ALA")))
    async with Site(TestServer(build_app(feed), host="127.0.0.1")) as client:
        links = {g["asn"]: g["link"] for g in (await client.json("/api/v1/status"))["groups"]}
        states = dict(STATES.findall(await client.html("/countries/KZ")))
        asns = re.findall(r"29355|9198", " ".join(await read_green(client)))
    assert (links[9198], links[29355]) == ("offline", "online")
    assert states["network-KZ-9198-fixed-now"] == "silent"
    assert set(asns) == {"29355"}


@pytest.mark.parametrize(("second", "link"), [(60, "offline"), (700, "online")])
async def test_a_network_that_a_national_cut_spares_is_online(second: int, link: str) -> None:
    """A data center that a national cut spares is online on every page."""
    world = country_before_the_cut()
    hosts = {"asn": 48716, "access": "hosting"}
    until_us = CUT_US + second * SECOND
    world.votes += crowd(12, VerdictState.REACHABLE, CUT_US - 3600 * SECOND, until_us, **hosts)
    world.links = [
        LinkCount(country="KZ", asn=asn, access=access, link=Link.ONLINE, vantages=vantages)
        for asn, access, vantages in ((48716, "hosting", 12), (9198, "fixed", 3))
    ]
    world.clock.wall = until_us
    feed = world.feed(k_anonymity=1, book=book(cut(IncidentState.CONFIRMED)))
    async with Site(TestServer(build_app(feed), host="127.0.0.1")) as client:
        links = {g["asn"]: g["link"] for g in (await client.json("/api/v1/status"))["groups"]}
        states = dict(STATES.findall(await client.html("/countries/KZ")))
        pages = {asn: await client.page(f"/networks/AS{asn}") for asn in (48716, 9198)}
        green = {line for line in await read_green(client) if "48716" not in line}
    assert (links[48716], links[9198], links[29355]) == (link, "offline", "offline")
    assert states["network-KZ-9198-fixed-now"] == states["service-telegram-now"] == "silent"
    is_spared = link == "online"
    assert (states["network-KZ-48716-hosting-now"] == "reachable") is is_spared
    assert ("went offline" not in pages[48716].text["headline"]) is is_spared
    assert "went offline" in pages[9198].text["headline"]
    assert green == set()


@pytest.mark.parametrize(
    ("minutes", "silent"), [(0, "20-49"), (4, "0-4"), (6, "0-4"), (9, "20-49")]
)
async def test_nobody_is_silent_where_the_incident_says_that_all_are_back(
    minutes: int, silent: str
) -> None:
    """The count is of the last instant of publication, from before most are back."""
    world = country_before_the_cut()
    world.silences += [
        SilenceCount(country="KZ", region="", asn=9198, access="fixed", start_us=start, vantages=30)
        for start in range(CUT_US // BIN_US * BIN_US, CUT_US + 2 * BIN_US, BIN_US)
    ]
    world.clock.wall = (CUT_US // BIN_US + 3) * BIN_US + 20 * SECOND
    dark = cut(IncidentState.CONFIRMED, "KZ", "", 9198, "fixed")
    over = (NOW_US - world.clock.wall) / 60 / SECOND + minutes
    incidents = book(closed(dark, over) if minutes else dark)
    feed = world.feed(k_anonymity=5, book=incidents)
    async with Site(TestServer(build_app(feed), host="127.0.0.1")) as client:
        groups = (await client.json("/api/v1/status?country=KZ"))["groups"]
    assert [group["silent"] for group in groups if group["asn"] == 9198] == [silent]


async def test_what_came_back_is_judged_by_later_readings_alone() -> None:
    world = country_before_the_cut()
    back = opening(-20, part(30.0, "KZ", "", 9198, "fixed"))
    incidents = book(replace(cut(IncidentState.CONFIRMED), turns=(back,)))
    world.clock.wall = NOW_US + 18 * 60 * SECOND
    assert await _read_groups(incidents, world, "KZ") == []
    world.clock.wall = NOW_US + 20 * 60 * SECOND
    async with Site(TestServer(build_app(world.feed(book=incidents)), host="127.0.0.1")) as client:
        page = await client.html("/?country=KZ")
    assert "waiting for the first results" in page
    assert "no measurement in the last 15 minutes" not in page
    world.votes += crowd(
        30, VerdictState.REACHABLE, NOW_US + 21 * 60 * SECOND, NOW_US + 40 * 60 * SECOND
    )
    world.clock.wall = NOW_US + 32 * 60 * SECOND
    assert await _read_groups(incidents, world, "KZ") == ["KZ 9198"]


_MOBILE = Scope("KZ", "", 29355, "mobile")
_BACK = opening(-5, part(30.0, "KZ", "", 9198, "fixed"))
_BLOCKED_MOBILE = (VerdictState.BLOCKED, 29355, "mobile")
_WORKING_FIXED = (VerdictState.REACHABLE, 9198, "fixed")


@pytest.mark.parametrize(
    ("changes", "later_votes", "minutes", "state"),
    [
        ({"parts": (part(50.0, "KZ", beyond=[_MOBILE]),)}, _BLOCKED_MOBILE, 50, "blocked"),
        ({"parts": (part(50.0, "KZ"),)}, _BLOCKED_MOBILE, 50, "blocked"),
        ({"parts": (part(50.0, "KZ"),)}, _WORKING_FIXED, 50, "silent"),
        ({"parts": (part(50.0, "KZ"),)}, None, 6, "silent"),
        ({"turns": (_BACK,)}, None, 6, "unknown"),  # all its bins are from before the return
        ({"turns": (_BACK,)}, _WORKING_FIXED, 50, "reachable"),
    ],
)
async def test_a_service_is_silent_only_while_nobody_measures_it(
    changes: Any, later_votes: Any, minutes: int, state: str
) -> None:
    world = country_before_the_cut()
    if later_votes:
        verdict, asn, access = later_votes
        span = (NOW_US + 20 * 60 * SECOND, NOW_US + 60 * 60 * SECOND)
        world.votes += crowd(20, verdict, *span, asn=asn, access=access)
    feed = world.feed(book=book(replace(cut(IncidentState.CONFIRMED), **changes)))
    world.clock.wall = NOW_US + minutes * 60 * SECOND
    async with Site(TestServer(build_app(feed), host="127.0.0.1")) as client:
        states = dict(STATES.findall(await client.html("/countries/KZ")))
    assert state in states["service-telegram-now"].split()


_FIXED = ("KZ", "", 9198, "fixed")


@pytest.mark.parametrize(
    ("where", "state", "row", "green", "told"),
    [
        (("KZ",), IncidentState.CONFIRMED, "blocked", [], [["Telegram blocked"]] * 2),
        (("KZ",), IncidentState.SUSPECTED, "unknown", [], [["1 unknown"]] * 2),
        (
            _FIXED,
            IncidentState.CONFIRMED,
            "partial",
            ["29355"],
            [["Telegram blocked"], ["1 service reachable"]],
        ),
    ],
)
async def test_no_reading_from_before_a_block_says_that_the_service_works(
    where: Any, state: IncidentState, row: str, green: list[str], told: list[list[str]]
) -> None:
    """No reading from before a block shows the service as working.

    The incident is public at once, the reading of its first whole bin minutes later.
    """
    world = country_before_the_cut()
    world.clock.wall = CUT_US + 100 * SECOND
    incident = blocking(
        minutes=(NOW_US - CUT_US) / 60 / SECOND, parts=(part(30.0, *where),), state=state,
        suspected_us=CUT_US + 60 * SECOND,
        confirmed_us=CUT_US + 90 * SECOND if state is IncidentState.CONFIRMED else None,
    )  # fmt: skip
    feed = world.feed(book=book(incident))
    async with Site(TestServer(build_app(feed), host="127.0.0.1")) as client:
        asns = re.findall(r"29355|9198", " ".join(await read_green(client)))
        states = dict(STATES.findall(await client.html("/countries/KZ")))
        lines = _LINES.findall(await client.html("/?country=KZ"))
    assert sorted(set(asns)) == green
    assert [
        re.findall(r"\d services? \w+|\d unknown|Telegram blocked", line) for line in lines
    ] == told
    assert states["service-telegram-now"].split()[0] == row


_PLACES: dict[str, Any] = {"KZ": ("KZ",), "mobile": ("KZ", "", 0, "mobile"), "9198": _FIXED}
_GROUPS = {(9198, "fixed"): "9198", (206026, "fixed"): "KZ", (29355, "mobile"): "mobile"}


def _find_steady_m(times: list[int], states: list[VerdictState]) -> int:
    """Return for how many of the last 120 minutes nothing but reachable was measured."""
    segments = zip(times[1:], states, strict=False)
    breaks = [until for until, told in segments if told is not VerdictState.REACHABLE]
    return 120 - max(breaks, default=0)


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("seed", draw_seeds(5))
async def test_nothing_works_where_an_open_confirmed_block_says_that_it_does_not(
    seed: int, k: int
) -> None:
    """No service works where an open confirmed block covers it, unless always reached."""
    chance = random.Random(seed)
    world = World()
    working, steady_m = {}, {}
    for asn, access in _GROUPS:
        times = [0, *sorted(chance.sample(range(5, 115, 5), 3)), 120]
        states = [chance.choice([VerdictState.REACHABLE, VerdictState.BLOCKED]) for _ in times]
        for since, until, verdict in zip(times, times[1:], states, strict=False):
            first_us, last_us = (
                NOW_US // BIN_US * BIN_US - (120 - m) * MINUTE for m in (since, until)
            )
            world.votes += crowd(20, verdict, first_us, last_us, asn=asn, access=access)
        world.votes += crowd(
            20, VerdictState.REACHABLE, NOW_US - 120 * MINUTE, NOW_US, asn=asn, access=access,
            service="whatsapp",
        )  # fmt: skip
        working[asn, access] = states[-2] is VerdictState.REACHABLE
        steady_m[asn, access] = _find_steady_m(times, states)
    where = chance.choice(list(_PLACES))
    begun = chance.randrange(2, 100)
    back = chance.choice([None, "9198"]) if where == "KZ" else None
    turns = (opening(begun / 2, part(20.0, *_PLACES[back])),) if back else ()
    block = blocking(minutes=begun, parts=(part(40.0, *_PLACES[where]),), turns=turns)
    feed = world.feed(k_anonymity=k, book=book(block))
    async with Site(TestServer(build_app(feed), host="127.0.0.1")) as client:
        status = await client.json("/api/v1/status?country=KZ")
        paths = ("/countries/KZ", "/?country=KZ", "/services/telegram")
        states_of = {path: dict(STATES.findall(await client.html(path))) for path in paths}
    telegram = {
        (group["asn"], group["access"]): row["state"]
        for group in status["groups"]
        for row in group["services"]
        if row["service"] == "telegram"
    }
    for network, place in _GROUPS.items():
        is_covered = where in ("KZ", place) and back != place
        slug = f"KZ-{network[0]}-{network[1]}"
        marks = [telegram[network], *(
            marks.get(id_, "").split()[0]
            for path, id_ in (
                ("/countries/KZ", f"network-{slug}-now"),
                ("/?country=KZ", f"cell-{slug}-telegram"),
                ("/?country=KZ", f"line-{slug}"),
                ("/services/telegram", f"cell-{slug}-telegram-now"),
            )
            for marks in [states_of[path]]
        )]  # fmt: skip
        if steady_m[network] <= begun:
            assert is_covered <= ("reachable" not in marks), (network, marks, block)
        elif begun >= 20:
            assert marks[0] == "reachable", (network, marks, block)
        if not is_covered and not back and working[network]:
            assert telegram[network] == "reachable", (network, block)
    assert (where == "KZ") <= (
        "reachable" not in states_of["/countries/KZ"]["service-telegram-now"]
    )


async def test_no_country_reaches_what_one_operator_blocks() -> None:
    """A country does not reach a service that one of its operators blocks.

    A roll-up takes the worst: most vantages reach it, and the phones of one network do not.
    """
    world = country_before_the_cut()
    world.votes = [v for v in world.votes if v.asn != 29355]
    world.votes += crowd(
        20, VerdictState.BLOCKED, CUT_US - 3600 * SECOND, CUT_US, asn=29355, access="mobile"
    )
    world.clock.wall = CUT_US
    async with Site(TestServer(build_app(world.feed()), host="127.0.0.1")) as client:
        page = await client.html("/countries/KZ")
    assert dict(STATES.findall(page))["service-telegram-now"].split()[0] == "partial"
    assert "blocked in 1 of 2 networks" in page


_BACK = opening(0, part(30.0, *_FIXED))
_BLOCK = blocking(minutes=60, parts=(part(30.0, *_FIXED),))


@pytest.mark.parametrize("block", [replace(_BLOCK, turns=(_BACK,)), closed(_BLOCK, 0)])
async def test_what_returned_is_not_blocked_by_an_older_reading(block: Incident) -> None:
    world = World()
    world.votes += crowd(30, VerdictState.BLOCKED, CUT_US - 3600 * SECOND, CUT_US)
    world.clock.wall = NOW_US + 100 * SECOND
    feed = world.feed(book=book(block))
    async with Site(TestServer(build_app(feed), host="127.0.0.1")) as client:
        [group] = (await client.json("/api/v1/status"))["groups"]
        page = await client.page("/countries/KZ")
    assert group["services"][0]["state"] == "unknown"
    if block.ended:
        assert page.text["headline"].startswith("Blocking of Telegram began on AS9198 fixed")
        assert "blocked" not in page.text["service-telegram-now"]
    assert page.text["network-KZ-9198-fixed-now"].startswith("? unknown")


async def test_a_block_is_over_in_every_row_once_its_vantages_reach_the_service() -> None:
    """A block is over in every row once its vantages reach the service.

    A bar of a quarter of an hour still holds the block; the status has newer results.
    """
    world = World()
    over_us = NOW_US // (3 * BIN_US) * 3 * BIN_US + BIN_US
    world.votes += crowd(30, VerdictState.BLOCKED, over_us - 3600 * SECOND, over_us)
    world.votes += crowd(30, VerdictState.REACHABLE, over_us, over_us + BIN_US)
    world.clock.wall = over_us + BIN_US + 40 * SECOND
    block = blocking(minutes=60, parts=(part(30.0, *_FIXED),))
    ended = closed(block, (NOW_US - over_us) / 60 / SECOND)
    feed = world.feed(k_anonymity=5, book=book(ended))
    async with Site(TestServer(build_app(feed), host="127.0.0.1")) as client:
        [group] = (await client.json("/api/v1/status"))["groups"]
        states = dict(STATES.findall(await client.html("/countries/KZ")))
    rows = ("service-telegram-now", "network-KZ-9198-fixed-now")
    assert {group["services"][0]["state"], *(states[row] for row in rows)} == {"reachable"}
