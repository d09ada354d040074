"""In a real browser an event from the server changes the page without a reload."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from heliograph_collector.http.backend import Feed
from heliograph_collector.http.published_incidents import IncidentEvents
from heliograph_collector.model.records import VerdictState
from support.browser_reader import Open, Reader
from support.fake_feed import BIN_US, NOW_US, crowd
from support.incident_book import KEY, blocking, book, closed, silence
from support.kazakhstan_votes import evening
from support.site import Serve

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]
CELL = "cell-KZ-9198-fixed-whatsapp"
LATE = (NOW_US, NOW_US + BIN_US)


@asynccontextmanager
async def opened(serve: Serve, reader: Open, feed: Feed, path: str = "/") -> AsyncIterator[Reader]:
    """Open a live page, and check at the end that it was not reloaded."""
    client = await serve(feed)
    async with reader(f"http://127.0.0.1:{client.port}", expected=["/favicon.ico"]) as seen:
        await seen.goto(path)
        await seen.live()
        await seen.page.evaluate("window.unbroken = true")
        yield seen
        assert await seen.page.evaluate("window.unbroken") is True


async def wait_for_text(seen: Reader, id_: str, text: str) -> None:
    script = "([id, text]) => document.getElementById(id)?.innerText.includes(text)"
    await seen.page.wait_for_function(script, arg=[id_, text])


async def test_event_changes_a_cell_and_adds_a_column(serve: Serve, reader: Open) -> None:
    world = evening()
    feed = world.feed()
    async with opened(serve, reader, feed) as seen:
        assert "reachable" in str(await seen.page.get_attribute(f"#{CELL}", "class"))
        world.votes += crowd(60, VerdictState.BLOCKED, *LATE, service="whatsapp")
        world.clock.advance_us(150_000_000)
        feed.bus.publish("cell", "{}")
        await seen.page.wait_for_selector(f"#{CELL}.blocked")
        assert "blocked" in await seen.text(f"#{CELL}")
        assert await seen.text("#updated") == "13:45:50 UTC"
        world.votes += crowd(9, VerdictState.BLOCKED, *LATE, country="IR", asn=58224)
        world.clock.advance_us(300_000_000)
        feed.bus.publish("coverage", "{}")
        await seen.page.wait_for_selector("#cell-IR-58224-fixed-telegram")
        assert "Iran" in await seen.text("thead")


async def test_new_incident_appears(serve: Serve, reader: Open) -> None:
    """A new incident appears on an open page by the detector's event."""
    log = book(blocking())
    feed = evening().feed(book=log, public_key=KEY.public)
    events = IncidentEvents(feed.bus, feed.services, 5)
    async with opened(serve, reader, feed) as seen:
        assert "Blocking of Telegram" in await seen.text("#incidents")
        for entry in book(blocking(), silence(minutes=2)).entries[len(log.entries) :]:
            log.append(entry)
            events.publish_incident(log, entry.incident)
        await wait_for_text(seen, "incidents", "Kazakhstan went offline about 13:41")


async def test_page_of_an_incident_follows_it(serve: Serve, reader: Open) -> None:
    log = book(silence())
    feed = evening().feed(book=log, public_key=KEY.public)
    async with opened(serve, reader, feed, f"/incidents/{silence().id}") as seen:
        assert "still offline" in await seen.text("#headline")
        for entry in book(closed(silence(), 1)).entries[2:]:
            log.append(entry)
        IncidentEvents(feed.bus, {}, 5).publish_incident(log, silence().id)
        await wait_for_text(seen, "headline", "came back about")
        await wait_for_text(seen, "badges", "closed")
