"""A country on one time axis, and an incident's picture, from the timeline alone."""

# ruff: noqa: RUF001 -- ranges are set with a dash

from itertools import product

import pytest
from msgspec import structs
from msgspec.structs import replace

from heliograph_collector.aggregate.rollup import blank_cell
from heliograph_collector.aggregate.vote_counts import CellKey
from heliograph_collector.http import labels
from heliograph_collector.http.api.status import build_row
from heliograph_collector.http.charts import incident_chart
from heliograph_collector.http.incident_document import build_state, parse_us
from heliograph_collector.model.records import VerdictState
from support.fake_feed import NOW_US, World, crowd
from support.incident_book import (
    ALMATY,
    KEY,
    MINUTE,
    MOBILE,
    TELEGRAM,
    ago,
    blocking,
    book,
    part,
    silence,
)
from support.kazakhstan_votes import IODA, feed, long_evening
from support.site import Serve


async def test_networks_regions_and_incidents_stand_under_services(serve: Serve) -> None:
    client = await serve(feed(long_evening()))
    page = await client.page("/countries/KZ")
    names = [a["id"] or "" for tag, a in page.elements if tag == "td" and a.get("id")]
    order = [name for name in names if not name.endswith("-now")]
    mobile, fixed = order.index("network-KZ-29355-mobile"), order.index("network-KZ-9198-fixed")
    assert order.index("service-telegram") < mobile < fixed < order.index("region-KZ-71")
    assert "Almaty" in page.text["world"]
    assert page.text["network-KZ-29355-mobile-now"].endswith("silent")
    assert page.text["network-KZ-9198-fixed-now"].endswith("1 of 4 services blocked")
    stays = [a["href"] for tag, a in page.elements if "stay" in (a.get("class") or "")]
    assert set(stays) == {f"/incidents/{i}" for i in (TELEGRAM, MOBILE, ALMATY)}
    labels = {a.get("aria-label") for tag, a in page.elements if a.get("class") == "ribbon"}
    assert any("silent 5 Jan 08:45 to 5 Jan 11:30" in (label or "") for label in labels)


async def test_too_few_look_like_nobody(serve: Serve) -> None:
    world = World()
    world.votes += crowd(9, VerdictState.REACHABLE, ago(200), ago(100))
    world.votes += crowd(3, VerdictState.BLOCKED, ago(100), ago(40))
    page = await (await serve(world.feed())).page("/countries/KZ")
    label = next(a["aria-label"] for _, a in page.elements if a.get("class") == "ribbon")
    assert (label or "").endswith(
        "reachable 5 Jan 10:15 to 5 Jan 12:15; no data 5 Jan 12:15 to 5 Jan 13:45"
    )
    assert "blocked" not in (label or "")
    assert "region" not in str([a.get("id") for _, a in page.elements])


async def test_in_each_language_the_page_says_nothing_in_english(serve: Serve) -> None:
    client = await serve(feed(long_evening()))
    paths = ("/countries/KZ", f"/incidents/{MOBILE}", f"/incidents/{TELEGRAM}")
    for lang, path in product(("ru", "kk", "fa"), paths):
        page = await client.page(f"{path}?lang={lang}")
        told = f"{page.text['headline']} {page.text['world']}"
        for word in ("silent", "blocked", "Kazakhstan", "Evidence", "between", "reachable"):
            assert word not in told, (lang, path, word)


async def test_the_picture_shows_only_rows_of_the_timeline(serve: Serve) -> None:
    """The picture shows only rows of the timeline.

    The timeline's address stands beside it, and counts are the least of their bands.
    """
    client = await serve(feed(long_evening()))
    page = await client.page(f"/incidents/{TELEGRAM}")
    (rows,) = [a["href"] or "" for _, a in page.elements if "/timeline" in (a.get("href") or "")]
    cells = (await client.json(rows))["cells"]
    assert {cell["vantages"] for cell in cells} <= {0, 5, 10, 20, 50}
    label = next(a["aria-label"] for _, a in page.elements if a.get("class") == "chart")
    before, during = "vantages 20–49 and reachable 20–49", "vantages 20–49 and blocked 20–49"
    assert label == f"before: {before}; during: {during}"


async def test_few_beside_an_incident_are_no_bar(serve: Serve) -> None:
    few = book(blocking(parts=(part(6.0, "KZ", "", 9198, "fixed"),)))
    world = World()
    world.votes += crowd(3, VerdictState.BLOCKED, ago(60), NOW_US)
    client = await serve(world.feed(book=few, public_key=KEY.public))
    page = await client.page(f"/incidents/{TELEGRAM}")
    classes = {a.get("class") for _, a in page.elements}
    assert "chart" not in classes
    assert "course service_blocking confirmed" in classes


def test_the_window_holds_the_incident_and_grows_with_it() -> None:
    for minutes in (1, 38, 700, 40_000, 900_000):
        (logged,) = book(silence(minutes=minutes)).incidents()
        incident = build_state(logged, {}, 5)
        assert incident is not None
        frame = incident_chart.choose_view(incident, NOW_US)
        assert frame.since_us < ago(minutes)
        assert frame.until_us >= NOW_US
        assert (frame.until_us - frame.since_us) // (frame.bin_s * 1_000_000) <= 700


async def test_an_incident_zooms_to_the_minute(serve: Serve) -> None:
    """An incident zooms to the minute by links alone.

    They lead to the rows of the timeline, those of a long one to its start or its end.
    """
    views_of: dict[int, list[str]] = {9: [], 38: ["By the minute"], 700: ["Its start", "Its end"]}
    for minutes, views in views_of.items():
        world = World()
        once = crowd(30, VerdictState.BLOCKED, NOW_US, NOW_US + 1)
        times = range(ago(minutes + 60), NOW_US, MINUTE)
        world.votes += [structs.replace(v, start_us=at_us) for at_us in times for v in once]
        logged = blocking(minutes=minutes, parts=(part(26.0, "KZ"),))
        site = await serve(world.feed(book=book(logged), public_key=KEY.public))
        page = await site.page(f"/incidents/{TELEGRAM}")
        paths = [a["href"] or "" for _, a in page.elements if "bin=1m" in (a.get("href") or "")]
        assert len(paths) == len(views)
        assert ("in steps of a minute" in page.text["picture"]) is (minutes == 9)
        assert all(view in page.text["picture"] for view in views)
        for path in paths:
            zoomed = await site.page(path)
            hrefs = [a.get("href") or "" for _, a in zoomed.elements]
            (rows,) = [href for href in hrefs if "&bin=60" in href]
            cells = (await site.json(rows))["cells"]
            assert 60 < len(cells) <= 301
            assert sum(cell["blocked"] > 0 for cell in cells) >= len(cells) - 5
            assert "The whole incident" in zoomed.text["picture"]


@pytest.mark.parametrize("before", [3, 200])
def test_young_data_fill_the_chart_of_an_incident(before: int) -> None:
    (logged,) = book(silence(minutes=38)).incidents()
    incident = build_state(logged, {}, 5)
    assert incident is not None
    frame = incident_chart.choose_view(incident, NOW_US)
    width_us = frame.bin_s * 1_000_000
    starts = range(frame.since_us, frame.until_us, width_us)
    blank = build_row(blank_cell(CellKey("KZ", "", 0, "", ""), frame.bin_s), 5)
    rows = [replace(blank, vantages=9 * (at >= ago(38 + before))) for at in starts]
    shown, rest = incident_chart.trim_empty_start(incident, rows, frame)
    assert len(rest) == (shown.until_us - shown.since_us) // width_us
    first_us = parse_us(incident.started.earliest) if before == 3 else ago(38 + 30)
    assert first_us - 2 * width_us < shown.since_us < ago(38)


async def test_what_others_say_is_marked_as_theirs(serve: Serve) -> None:
    client = await serve(feed(long_evening()))
    page = await client.page(f"/incidents/{MOBILE}")
    for sentence in (
        "Not our data, and annotation only",
        "IODA · routes (BGP) : disagrees — its signal did not drop (99% of the expected level",
    ):
        assert sentence in page.text["world"]
    assert "Other sources" not in (await client.page(f"/incidents/{TELEGRAM}")).text["world"]
    evil = [replace(IODA, source="x", url="javascript:alert(1)", attribution="<b>")]
    plain = await serve(feed(long_evening(), annotations=lambda id_: evil))
    hrefs = [a.get("href") for _, a in (await plain.page(f"/incidents/{MOBILE}")).elements]
    assert not [href for href in hrefs if href and href.startswith("javascript")]


async def test_a_story_has_all_that_print_needs(serve: Serve) -> None:
    page = await (await serve(feed(long_evening()))).page(f"/incidents/{ALMATY}")
    told = page.text["world"]
    parts = ["Details", "Before, during, after", "Counter-evidence", "Methodology"]
    parts += ["Uncertainty", "What we published, and when", "Evidence", "Verify it yourself"]
    assert [part for part in parts if part not in told] == []
    assert "before during after reporting 10–19 0 10–19 silent 0 10–19 0" in told
    assert "400–499" not in told, "rows of the journal are the operator's"


def test_regions_have_names_in_each_language() -> None:
    almaty = [labels.region_name("KZ-75", lang) for lang in ("en", "ru", "kk")]
    assert almaty == ["Almaty", "Алматы", "Алматы"]
    assert labels.region_name("IR-23") == "Tehran"
    assert labels.region_name("IR-23", "fa") == "استان تهران"
    assert labels.region_name("XX-1") == "XX-1"


async def test_silent_networks_are_named_beside_a_working_service(serve: Serve) -> None:
    """Silent networks are named beside a service that others can reach."""
    page = await (await serve(feed(long_evening()))).page("/countries/KZ")
    told = page.text["service-whatsapp-now"]
    assert told.endswith("reachable where vantages report; 2 of 3 networks fell silent")
    assert "heard" not in page.text["service-telegram-now"]


async def test_the_way_of_a_block_is_told_in_everybody_s_words_too(serve: Serve) -> None:
    page = await (await serve(feed(long_evening()))).page(f"/incidents/{TELEGRAM}")
    assert (
        "TLS: reset after ClientHello — the connection breaks as encryption starts"
        in page.text["world"]
    )
