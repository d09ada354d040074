"""Pages over a slow or failed store: present incidents, and the age of the rest."""

import pytest

from heliograph_collector.incidents.incident import IncidentState as Doubt
from heliograph_collector.store.clickhouse import StoreError, TooSlowError
from support.dark_country import CUT_US, country_before_the_cut, cut
from support.incident_book import KEY, MINUTE, book, silence
from support.kazakhstan_votes import evening
from support.site import Serve, raising

PAGES = ("/", "/?country=KZ", "/countries/KZ", "/networks/AS9198", "/services/telegram")


async def test_over_a_store_that_answers_no_more_pages_tell_incidents_and_their_age(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a failed store pages show incidents and the age of other data.

    A country that goes dark just then gets no error page, and nothing of it looks well.
    """
    world = country_before_the_cut()
    world.clock.wall = CUT_US - 100 * 1_000_000
    feed = world.feed(book=book(), public_key=KEY.public)
    site = await serve(feed)
    for path in PAGES:
        page = await site.page(path)
        assert (page.text.get("outdated", ""), "offline" in page.text["headline"]) == ("", False)
    monkeypatch.setattr(feed, "votes", raising(TooSlowError("The machine is busy.")))
    feed.book = book(cut(Doubt.CONFIRMED))
    world.clock.advance_us(4 * MINUTE)
    for path in PAGES:
        page = await site.page(path)
        words = "The collector is busy: measurements are as of"
        assert page.text["outdated"].startswith(words), path
        assert page.text["headline"].startswith("Kazakhstan went offline") or "serv" in path
        marks = [a.get("class") for tag, a in page.elements if tag == "td" and "KZ" in str(a)]
        assert "reachable" not in marks, path
    feed.book = book()
    world.clock.advance_us(30 * MINUTE)  # too old to show whether it still works
    for path in PAGES:
        page = await site.page(path)
        assert "reachable" not in [a.get("class") for tag, a in page.elements if tag == "td"], path
    world.clock.advance_us(60 * MINUTE)
    assert (await site.get("/countries/KZ")).status == 503


async def test_incidents_are_told_before_the_store_first_answers(serve: Serve) -> None:
    votes = raising(StoreError("It is starting."))
    feed = evening().feed(votes=votes, book=book(silence(minutes=9)), public_key=KEY.public)
    site = await serve(feed)
    for path in ("/", "/?country=KZ", "/countries/KZ"):
        page = await site.page(path)
        assert page.text["headline"].startswith("Kazakhstan went offline"), path
        assert page.text["outdated"], path


async def test_a_chart_that_is_late_leaves_the_states_of_now(serve: Serve) -> None:
    """The bins of a day are another question than the present, and a longer one."""
    late = raising(TooSlowError("The machine is busy."))
    site = await serve(evening().feed(wide=late, book=book(), public_key=KEY.public))
    page = await site.page("/countries/KZ")
    assert page.text["outdated"].startswith("The collector is busy")
    usual = await (await serve(evening().feed(book=book(), public_key=KEY.public))).page(
        "/countries/KZ"
    )
    for row in ("network-KZ-9198-fixed-now", "service-whatsapp-now"):
        assert page.text[row].split()[:2] == usual.text[row].split()[:2], row
    assert usual.text["service-whatsapp-now"].startswith("✓ reachable")
