"""A country's page: its incidents, and each service over two days."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from heliograph_collector.incidents.incident import Incident, PhaseDirection
from heliograph_collector.incidents.incident import IncidentState as Doubt
from heliograph_collector.model.records import SilenceCount, VerdictState, Vote
from heliograph_collector.store.clickhouse import StoreError, TooMuchError
from support.fake_feed import BIN_US, NOW_US, World, crowd
from support.incident_book import (
    MINUTE,
    blocking,
    book,
    closed,
    opening,
    part,
    silence,
)
from support.kazakhstan_votes import evening
from support.site import Serve, open_page, raising

HOUR = 3_600_000_000


async def test_services_over_time_and_its_incidents(serve: Serve) -> None:
    page = await open_page(serve, "/countries/KZ", evening())
    assert page.text["headline"].startswith("Mobile networks in Kazakhstan went offline about")
    assert "Mobile networks in Kazakhstan" in page.text["incidents"]
    assert "Germany" not in page.text["incidents"]
    ids = [a.get("id") or "" for tag, a in page.elements if tag == "td"]
    titles = [id_ for id_ in ids if id_.startswith("service-")]
    assert titles[:2] == ["service-telegram-now", "service-telegram"]
    assert len(titles) == 8
    hrefs = {a.get("href") for _, a in page.elements}
    assert {"/?country=KZ", "/feeds/incidents.atom?country=KZ"} <= hrefs


async def test_the_strip_tells_its_days(serve: Serve) -> None:
    world = World()
    world.votes += crowd(6, VerdictState.REACHABLE, NOW_US - 30 * HOUR, NOW_US - 3 * HOUR)
    world.votes += crowd(6, VerdictState.BLOCKED, NOW_US - 2 * HOUR, NOW_US, how=("dns", "bogon"))
    page = await open_page(serve, "/countries/KZ?window=week", world)
    labels = [a["aria-label"] or "" for _, a in page.elements if a.get("class") == "ribbon"]
    assert "reachable 4 Jan 07:00 to 5 Jan 11:00; blocked 5 Jan 11:00 to 5 Jan 13:00" in labels[0]
    assert "DNS: the name resolves to a private address" in page.text["service-telegram-now"]
    assert page.text["service-signal-now"].endswith("no data")


async def test_few_are_no_data(serve: Serve) -> None:
    """A country with too few vantages has the page of a country without any."""
    few = await open_page(serve, "/countries/UZ", evening())
    assert few.text["headline"] == "Uzbekistan: no data, or too few vantages to show."
    assert not [a for _, a in few.elements if (a.get("class") or "").startswith("bar ")]
    nobody = await open_page(serve, "/countries/TJ", evening())
    assert [a for _, a in few.elements if a.get("class") == "ribbon"] == [
        a for _, a in nobody.elements if a.get("class") == "ribbon"
    ]


async def test_a_country_in_the_dark_is_not_green_by_the_one_who_is_left(serve: Serve) -> None:
    """A dark country is not green by its last vantage, whose results stay hidden.

    They are hidden on the page, in the status and in the timeline.
    """
    dark_us = NOW_US // BIN_US * BIN_US
    world = World()
    world.votes += crowd(20, VerdictState.REACHABLE, NOW_US - 3 * HOUR, dark_us - 10 * BIN_US)
    world.votes += crowd(1, VerdictState.REACHABLE, dark_us - 10 * BIN_US, NOW_US)
    world.silences += [
        SilenceCount(country="KZ", region="", asn=9198, access="fixed", start_us=at_us, vantages=19)
        for at_us in range(dark_us - 10 * BIN_US, NOW_US, BIN_US)
    ]
    page = await open_page(serve, "/countries/KZ", world, k_anonymity=5)
    assert page.text["service-telegram-now"].endswith("silent")
    assert page.text["service-signal-now"].endswith("no data")  # never tested, so never silent
    client = await serve(world.feed(k_anonymity=5))
    (group,) = (await client.json("/api/v1/status"))["groups"]
    told = {one["service"]: one for one in group["services"]}["telegram"]
    assert (told["state"], told["confidence"], told["counts"]) == (
        "unknown", 0, {"vantages": "0"},
    )  # fmt: skip
    asked = await client.get("/api/v1/timeline?country=KZ&service=telegram")
    last = (await asked.json())["cells"][-2]  # the last bin that is over
    assert (last["state"], last["vantages"], last["silent"]) == ("unknown", 0, 10)


@pytest.mark.parametrize("k", [1, 5])
async def test_what_nobody_measured_is_not_silent_while_others_are_heard(
    serve: Serve, k: int
) -> None:
    """An untested service is not silent while other vantages are online.

    In a large country a few agents are always lost, and not every service is due in a bin.
    """
    world = World()
    world.votes += crowd(20, VerdictState.REACHABLE, NOW_US - 6 * HOUR, NOW_US)
    world.votes += crowd(
        9, VerdictState.REACHABLE, NOW_US - 6 * HOUR, NOW_US - 4 * HOUR, service="signal"
    )
    world.silences += [
        SilenceCount(country="KZ", region="", asn=7, access="fixed", start_us=at_us, vantages=6)
        for at_us in range(NOW_US // BIN_US * BIN_US - 6 * HOUR, NOW_US, BIN_US)
    ]
    page = await open_page(serve, "/countries/KZ", world, k_anonymity=k)
    _, _, row = page.html.partition('id="service-signal"')
    assert "reachable 5 Jan" in row.partition("</td>")[0]
    assert "silent" not in row.partition("</td>")[0]
    assert page.text["service-signal-now"].endswith("no data")
    assert page.text["network-KZ-7-fixed-now"].endswith("silent"), "and who is, is named"


@pytest.mark.parametrize("path", ["/", "/?country=KZ", "/countries/KZ"])
async def test_no_page_sounds_well_minutes_into_a_silence(serve: Serve, path: str) -> None:
    """No page looks well minutes into a silence, although fresh results were good."""
    world = World()
    for asn in (7, 9198):
        world.votes += crowd(9, VerdictState.REACHABLE, NOW_US - 3 * HOUR, NOW_US, asn=asn)
    page = await open_page(serve, path, world, book=book(silence(minutes=3)))
    assert page.text["headline"].startswith("Kazakhstan went offline about 13:40")
    assert "No blocking seen" not in page.text["headline"] + page.text.get("below", "")
    calm = await open_page(serve, path, world, book=book())
    assert "silent" not in calm.text["headline"]
    doubt = silence(minutes=3, confirmed_us=None, state=Doubt.SUSPECTED)
    page = await open_page(serve, path, world, book=book(doubt))
    assert page.text["headline"].startswith("Not confirmed: ")


async def test_the_map_and_the_country_say_the_same_of_a_service_that_is_down(
    serve: Serve,
) -> None:
    """The map and the country agree on a service that is down.

    A service of one network works nowhere: no output shows all as well.
    """
    world = World()
    world.votes += crowd(9, VerdictState.DOWN, NOW_US - 3 * HOUR, NOW_US + BIN_US)
    world.votes += crowd(
        9, VerdictState.REACHABLE, NOW_US - 3 * HOUR, NOW_US + BIN_US, service="whatsapp"
    )
    front = await open_page(serve, "/", world, book=book())
    assert "a service is down" in str(front.text)
    page = await open_page(serve, "/countries/KZ", world, book=book())
    assert page.text["network-KZ-9198-fixed-now"].startswith("▼ down")
    assert page.text["service-whatsapp-now"].startswith("✓ reachable")


async def test_a_bin_that_has_only_begun_takes_nothing_back(serve: Serve) -> None:
    """A bin that has only begun changes no state on page or status."""
    world = World()
    world.clock.wall = NOW_US // (3 * BIN_US) * 3 * BIN_US + 60_000_000
    began_us = world.clock.wall - 60_000_000
    how = ("dns", "bogon")
    world.votes += crowd(9, VerdictState.BLOCKED, began_us - HOUR, began_us, how=how)
    world.votes += crowd(3, VerdictState.BLOCKED, began_us, began_us + BIN_US, how=how)
    page = await open_page(serve, "/countries/KZ", world, book=book())
    assert page.text["service-telegram-now"].startswith("✕ blocked DNS")
    client = await serve(world.feed())
    (group,) = (await client.json("/api/v1/status"))["groups"]
    assert group["services"][0]["state"] == "blocked"
    world.clock.advance_us(2 * 3 * BIN_US)  # and none came to them
    page = await open_page(serve, "/countries/KZ", world, book=book())
    assert "blocked" not in page.text["service-telegram-now"]


@pytest.mark.parametrize("window", ["day", "week", "month"])
@pytest.mark.parametrize(
    ("seconds", "told"), [(20, "reachable"), (40, "no data"), (7200, "no data")]
)
async def test_now_is_no_older_than_the_newest_public_bin(
    serve: Serve, seconds: int, told: str, window: str
) -> None:
    """The present is no older than the newest public bin.

    It is public half a minute after its end, and is shown whatever the chart's range is.
    """
    world = World()
    began_us = NOW_US // (6 * HOUR) * 6 * HOUR
    last_us = began_us - 3 * BIN_US
    world.votes += crowd(60, VerdictState.REACHABLE, began_us - 2 * HOUR, last_us)
    world.votes += crowd(9, VerdictState.REACHABLE, began_us - 2 * HOUR, began_us, asn=7)
    world.clock.wall = began_us + seconds * 1_000_000
    page = await open_page(serve, f"/countries/KZ?window={window}", world, book=book())
    assert told in page.text["network-KZ-9198-fixed-now"]


async def test_too_much_to_draw_still_tells_the_incidents(serve: Serve) -> None:
    world = evening()

    async def votes(since_us: int, until_us: int, bin_s: int, **scope: Any) -> Any:
        if bin_s == 900:
            raise TooMuchError("over 384 MiB")
        return await world.feed().votes(since_us, until_us, bin_s, **scope)

    page = await open_page(serve, "/countries/KZ", world, votes=votes)
    assert "Mobile networks in Kazakhstan" in page.text["incidents"]


@pytest.mark.parametrize("error", [TooMuchError("over 384 MiB"), StoreError("It is starting.")])
async def test_store_that_fails_is_away_and_no_error_of_ours(
    serve: Serve, error: StoreError
) -> None:
    answer = await (await serve(evening().feed(votes=raising(error)))).get("/countries/KZ")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "3")


@pytest.mark.parametrize("code", ["QQ", "qq", "KAZ", "K%00", "%C2%84"])
async def test_no_country_is_a_page_that_helps(serve: Serve, code: str) -> None:
    site = await serve(evening().feed(votes=raising(StoreError("Nobody may ask."))))
    assert "two letters of ISO 3166-1" in await site.html(f"/countries/{code}", status=404)


async def test_a_country_is_found_in_any_case(serve: Serve) -> None:
    site = await serve(evening().feed())
    found, named = [(await site.page(f"/countries/{code}")).text for code in ("kz", "KZ")]
    assert found == named


@pytest.mark.parametrize(
    ("cut", "told"),
    [
        (closed(silence(minutes=124), 112), "silent 5 Jan 11:39 to 5 Jan 11:50"),
        (closed(blocking(minutes=124), 112), "blocked 5 Jan 11:39 to 5 Jan 11:50"),
        (closed(blocking(minutes=124), 123), "blocked 5 Jan 11:39 to 5 Jan 11:39"),
        (replace(closed(silence(minutes=124), 112), state=Doubt.WITHDRAWN), ""),
        (replace(closed(blocking(minutes=124), 112), state=Doubt.WITHDRAWN), ""),
    ],
)
async def test_what_is_shorter_than_a_bin_leaves_its_mark(
    serve: Serve, cut: Incident, told: str
) -> None:
    """Votes before and after it make every bin of the day reachable."""
    world = World()
    world.votes += crowd(9, VerdictState.REACHABLE, NOW_US - 5 * HOUR, NOW_US)
    page = await open_page(serve, "/countries/KZ", world, book=book(cut))
    rows = [a["aria-label"] or "" for _, a in page.elements if a.get("class") == "ribbon"]
    kind = f"span {told.partition(' ')[0]}"
    marks = [a for tag, a in page.elements if tag == "rect" and a.get("class") == kind]
    assert bool(told) == bool(marks)
    assert any(told in row for row in rows)
    assert all(0.3 < float((a["width"] or "").rstrip("%")) < 5 for a in marks)


async def test_a_network_counts_the_block_that_its_bins_do_not_show_yet(serve: Serve) -> None:
    world = World()
    for service in ("telegram", "whatsapp"):
        world.votes += crowd(
            9, VerdictState.REACHABLE, NOW_US - 5 * HOUR, NOW_US - 10 * MINUTE, service=service
        )
    page = await open_page(serve, "/countries/KZ", world, book=book(blocking(minutes=5)))
    assert page.text["network-KZ-9198-fixed-now"] == "✕ blocked 1 of 2 services blocked"


async def test_after_the_return_the_headline_says_that_it_is_over(serve: Serve) -> None:
    """After the return the silence is over in the headline, and no row is silent."""
    world = World()
    cut_us = NOW_US - 40 * MINUTE
    world.votes += crowd(9, VerdictState.REACHABLE, NOW_US - 5 * HOUR, cut_us)
    world.votes += crowd(9, VerdictState.REACHABLE, NOW_US - 5 * HOUR, NOW_US, asn=7)
    for start in range(cut_us // BIN_US * BIN_US, NOW_US - 10 * MINUTE, BIN_US):
        world.silences.append(
            SilenceCount(
                country="KZ", region="", asn=9198, access="fixed", start_us=start, vantages=9
            )
        )
    cut = silence(minutes=40, parts=(part(9.0, "KZ", "", 9198, "fixed"),))
    told = "UTC on 5 January 2022 and came back"
    for minutes, is_told in ((5, True), (1_500, False)):
        site = await serve(world.feed(book=book(closed(cut, 5))))
        world.clock.wall = NOW_US + (minutes - 5) * MINUTE
        pages = [await site.page(path) for path in ("/countries/KZ", "/")]
        assert [told in page.text["headline"] for page in pages] == [is_told, is_told]
        assert "silent" not in pages[0].text.get("network-KZ-9198-fixed-now", "")


BLOCKED_TITLES = ("telegram", "whatsapp", "signal", "viber")


@pytest.mark.parametrize(
    ("n", "lang", "words"),
    [
        (2, "en", "Telegram and WhatsApp are blocked on AS9198 fixed in Kazakhstan, the first"),
        (3, "en", "Telegram, WhatsApp and Signal are blocked on AS9198 fixed in Kazakhstan, the "),
        (4, "en", "Telegram, WhatsApp and 2 more services are blocked on AS9198 fixed in "),
        (4, "ru", ": заблокированы Telegram, WhatsApp и ещё 2 сервиса, начало первой"),
        (2, "kk", ": Telegram және WhatsApp бұғатталған, алғашқысы "),
        (2, "fa", ": Telegram و WhatsApp مسدود هستند؛ نخستین"),
    ],
)
async def test_the_headline_names_every_service_that_is_blocked_in_one_place(
    serve: Serve, n: int, lang: str, words: str
) -> None:
    """The newest alone would let a reader take the others for working."""
    blocks = [
        blocking(f"b10{i}" * 4, 60 - i, service=name) for i, name in enumerate(BLOCKED_TITLES[:n])
    ]
    site = await serve(evening().feed(book=book(*blocks)))
    for path in ("/", "/?country=KZ", "/countries/KZ", "/networks/AS9198"):
        page = await site.page(f"{path}{'&' if '?' in path else '?'}lang={lang}")
        headline = page.text["headline"].translate(dict.fromkeys(range(0x2066, 0x206A)))
        assert words in headline, path
        assert page.text["since"]


async def test_blocks_of_other_places_stand_below_the_headline(serve: Serve) -> None:
    mobile = part(26.0, "KZ", "", 0, "mobile")
    blocks = [blocking(minutes=60), blocking("b10d" * 4, 50, service="whatsapp", parts=(mobile,))]
    page = await open_page(serve, "/countries/KZ", evening(), book=book(*blocks))
    assert page.text["headline"].startswith("Blocking of WhatsApp began on mobile networks")
    assert page.text["below"].startswith("Blocking of Telegram began on AS9198 fixed")


async def test_a_region_is_not_blocked_by_a_bin_from_before_the_end(serve: Serve) -> None:
    """A region is not blocked by a bin from before the end of the block."""
    world = World()
    rows = crowd(9, VerdictState.BLOCKED, NOW_US - 40 * MINUTE, NOW_US - 6 * MINUTE)
    world.votes += [structs.replace(v, region="KZ-75") for v in rows]
    block = blocking(minutes=38, parts=(part(26.0, "KZ"),))
    other = blocking("5166" * 4, 20, service="signal", parts=(part(9.0, "KZ", "", 7, "fixed"),))
    for incidents, told in (
        ([block], "✕ blocked"),
        ([closed(block, 2)], "? unknown"),
        ([closed(block, 2), other], "✕ blocked"),
    ):
        page = await open_page(serve, "/countries/KZ", world, book=book(*incidents))
        assert page.text["region-KZ-75-now"].startswith(told), incidents


@pytest.mark.parametrize(
    ("votes", "told"),
    [(56.0, "silent 5 Jan 11:53 to 5 Jan 11:58"), (9.0, "silent 5 Jan 11:55 to 5 Jan 11:55")],
)
async def test_a_country_is_marked_where_its_networks_fell_one_by_one(
    serve: Serve, votes: float, told: str
) -> None:
    """Services and regions have the mark of the time in which all were silent."""
    phones, lines = (part(votes, "KZ", "", 0, access) for access in ("mobile", "fixed"))
    cut = opening(110, lines, way=PhaseDirection.CUT)
    story = closed(silence(minutes=124, parts=(phones,), turns=(cut, opening(104, lines))), 95)
    world = World()
    for asn, access in ((9198, "fixed"), (29355, "mobile")):
        where = {"asn": asn, "access": access}
        rows = crowd(9, VerdictState.REACHABLE, NOW_US - 5 * HOUR, NOW_US, **where)
        world.votes += [structs.replace(v, region="KZ-75") for v in rows]
    page = await open_page(serve, "/countries/KZ", world, book=book(story))
    names = ("service-telegram", "region-KZ-75")
    texts = [page.html.partition(f'id="{name}"')[2].partition("</td>")[0] for name in names]
    assert all(told in text for text in texts), texts
    assert all('class="span silent"' in text for text in texts)


def _vote_each_minute(n: int) -> list[Vote]:
    once = crowd(n, VerdictState.REACHABLE, NOW_US, NOW_US + 1)
    minutes = range(NOW_US - 5 * HOUR, NOW_US, MINUTE)
    return [structs.replace(v, start_us=at_us) for at_us in minutes for v in once]


async def test_a_country_zooms_to_the_minute(serve: Serve) -> None:
    """A country zooms to the minute by links alone, with the day's states."""
    world = World()
    world.votes += _vote_each_minute(30)
    site = await serve(world.feed(book=book(closed(silence(minutes=124), 112))))
    day = await site.page("/countries/KZ")
    hrefs = [a.get("href") or "" for _, a in day.elements]
    assert "/countries/KZ?bin=1m" in hrefs
    hour = await site.page("/countries/KZ?bin=1m&until=2022-01-05T12:00:00Z")
    assert "/countries/KZ?bin=1m&until=2022-01-05T12:00:00Z" in hrefs
    labels = [a["aria-label"] or "" for _, a in hour.elements if a.get("class") == "ribbon"]
    assert "reachable 5 Jan 11:00 to 5 Jan 12:00; silent 5 Jan 11:39 to 5 Jan 11:50" in labels
    [width] = {
        a["width"] for tag, a in hour.elements if tag == "rect" and a.get("class") == "span silent"
    }
    assert float((width or "").rstrip("%")) == pytest.approx(100 * 11 / 60, abs=2)
    names = [id_ for id_ in day.text if id_.endswith("-now")]
    assert [hour.text[name] for name in names] == [day.text[name] for name in names]


async def test_a_minute_of_few_stays_empty_and_says_so(serve: Serve) -> None:
    world = World()
    world.votes += _vote_each_minute(9)
    site = await serve(world.feed())
    page = await site.html("/countries/KZ?bin=1m")
    assert 'class="bar ' not in page
    assert "at least 10 vantages" in page


async def test_young_data_fill_the_chart(serve: Serve) -> None:
    """The chart begins with the first data, or with the incident before them."""
    world = World()
    world.votes += crowd(9, VerdictState.REACHABLE, NOW_US - 3 * HOUR, NOW_US)
    for incidents, began in ((book(), "10:30"), (book(silence(minutes=300)), "08:30")):
        page = await open_page(serve, "/countries/KZ", world, book=incidents)
        label = next(a["aria-label"] or "" for _, a in page.elements if a.get("class") == "ribbon")
        assert f"5 Jan {began} to" in label.partition(";")[0]
