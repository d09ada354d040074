"""At each turn of a worst day the headline answers what, where, when and if over."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from heliograph.units import HOUR_US
from heliograph_collector.http.i18n import LANGS
from heliograph_collector.incidents.incident import (
    ONE_WAY,
    Bracket,
    Incident,
    IncidentKind,
    IncidentState,
)
from heliograph_collector.model.records import VerdictState
from support.fake_feed import NOW_US, World, crowd
from support.incident_book import (
    KEY,
    blocking,
    book,
    closed,
    opening,
    part,
    silence,
)
from support.site import Serve

SINCE_US = NOW_US - 7_200_000_000
MOBILE = part(24.0, "KZ", "", 0, "mobile")
FIXED = part(24.0, "KZ", "", 0, "fixed")
CUT = silence(minutes=30)
TURNS: Sequence[tuple[str, Sequence[Incident], Sequence[str]]] = (
    (
        "messengers blocked",
        [blocking(minutes=38), blocking("5166" * 4, 20, service="signal")],
        [
            "Telegram and Signal are blocked",
            "Kazakhstan",
            "since about 13:04 UTC on 5 January 2022",
        ],
    ),
    (
        "mobile cut",
        [silence(minutes=30, parts=(MOBILE,)), blocking(minutes=38)],
        ["Mobile networks in Kazakhstan", "offline", "13:13 UTC on 5", "still offline"],
    ),
    ("national cut", [CUT], ["Kazakhstan", "offline", "13:13 UTC on 5 January", "still offline"]),
    (
        "partial return",
        [replace(CUT, turns=(opening(10, FIXED),))],
        ["Kazakhstan", "offline", "13:13 UTC", "partly back", "Fixed lines", "online", "13:33 UTC"],
    ),
    ("restoration", [closed(CUT, 5)], ["Kazakhstan", "offline", "13:13 UTC", "came back", "13:38"]),
    (
        "our address blocked",
        [silence(minutes=30, kind=IncidentKind.COLLECTOR_BLOCKED, hints=(ONE_WAY,))],
        ["Kazakhstan", "to this site", "13:13 UTC", "ongoing", "may work"],
    ),
    (
        "suspected",
        [replace(CUT, state=IncidentState.SUSPECTED, confirmed_us=None)],
        ["Not confirmed", "Kazakhstan may be offline", "13:13 UTC on 5 January"],
    ),
    ("calm", [], ["Kazakhstan", "no incident is open", "2 networks"]),
)


def calm() -> World:
    world = World()
    for asn in (9198, 29355):
        world.votes += crowd(9, VerdictState.REACHABLE, SINCE_US, NOW_US, asn=asn)
    return world


@pytest.mark.parametrize(("turn", "incidents", "answers"), TURNS, ids=[t[0] for t in TURNS])
async def test_the_headline_alone_answers(
    serve: Serve, turn: str, incidents: Sequence[Incident], answers: Sequence[str]
) -> None:
    site = await serve(calm().feed(book=book(*incidents), public_key=KEY.public))
    for path in ("/", "/countries/KZ", "/?country=KZ"):
        headline = (await site.page(path)).text["headline"]
        if turn == "calm" and path != "/":
            assert headline.startswith("Kazakhstan: ")
            continue
        assert [answer for answer in answers if answer not in headline] == [], (path, headline)
    for lang in LANGS:
        assert (await site.page(f"/?lang={lang}")).text["headline"]


@pytest.mark.parametrize(
    ("state", "answers"),
    [
        (VerdictState.DOWN, ["Telegram", "for everybody", "since", "UTC", "2 of 2 networks"]),
        (VerdictState.BLOCKED, ["Kazakhstan: Telegram is blocked", "since", "UTC", "2 of 2"]),
    ],
)
async def test_so_it_does_before_an_incident_is_open(
    serve: Serve, state: VerdictState, answers: Sequence[str]
) -> None:
    world = World()
    for asn in (9198, 29355):
        world.votes += crowd(9, VerdictState.REACHABLE, SINCE_US, NOW_US - 1_500_000_000, asn=asn)
        world.votes += crowd(9, state, NOW_US - 1_500_000_000, NOW_US, asn=asn)
    headline = (await (await serve(world.feed(public_key=KEY.public))).page("/")).text["headline"]
    assert [answer for answer in answers if answer not in headline] == [], headline


async def test_a_first_day_says_that_nothing_is_known(serve: Serve) -> None:
    site = await serve(World().feed(book=book(), public_key=KEY.public))
    assert (await site.page("/")).text["headline"] == (
        "No country can be shown yet: too few volunteers measure."
    )


async def test_what_works_where_reports_are_disturbed_is_no_good_news(serve: Serve) -> None:
    """Where reports are disturbed what works is no good news.

    What still reads as working was measured before, or by the few who reach us another way.
    """
    block = silence(minutes=30, kind=IncidentKind.COLLECTOR_BLOCKED, hints=(ONE_WAY,))
    site = await serve(calm().feed(book=book(block), public_key=KEY.public))
    page = await site.page("/")
    (shape,) = [a for tag, a in page.elements if tag == "a" and a.get("id") == "map-KZ"]
    assert shape["class"] == "disturbed"
    assert "reporting disturbed" in page.text["land-KZ"]
    assert "no blocking seen" not in page.text["land-KZ"]


async def test_a_part_whose_reports_are_disturbed_leaves_the_country_its_state(
    serve: Serve,
) -> None:
    block = silence(
        minutes=30, kind=IncidentKind.COLLECTOR_BLOCKED, hints=(ONE_WAY,), parts=(MOBILE,)
    )
    site = await serve(calm().feed(book=book(block), public_key=KEY.public))
    assert "no blocking seen" in (await site.page("/")).text["land-KZ"]


async def test_no_minutes_are_counted_from_a_start_of_which_the_hour_alone_is_told(
    serve: Serve,
) -> None:
    hour = Bracket(NOW_US // HOUR_US * HOUR_US, (NOW_US // HOUR_US + 1) * HOUR_US)
    for incident, is_counted in ((CUT, True), (replace(CUT, started=hour), False)):
        site = await serve(calm().feed(book=book(incident), public_key=KEY.public))
        html = (await site.page("/")).html
        since = html.partition('id="since"')[2].partition("</span>")[0]
        assert "between" in since
        assert ("<time" in since) == is_counted  # from which the script counts
