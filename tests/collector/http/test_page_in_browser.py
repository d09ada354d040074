"""The page in a real browser: an event from the server changes a cell without a reload."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from heliograph_collector.app.detector_runner import Herald
from heliograph_collector.http.backend import Feed
from heliograph_collector.model.records import State
from support import browser
from support.casebook import KEY, blocking, book, closed, silence
from support.evening import evening
from support.fake_feed import BIN_US, NOW_US, crowd

Serve = Callable[[Feed], Awaitable[Any]]
CELL = "document.getElementById('cell-KZ-9198-fixed-whatsapp')"
LIVE = "document.getElementById('live').dataset.state === 'live'"


@pytest.mark.slow
async def test_an_event_changes_a_cell_without_a_reload(serve: Serve) -> None:
    world = evening()
    feed = world.feed()
    client = await serve(feed)
    async with browser.opened(f"http://127.0.0.1:{client.port}/") as page:
        await page.until(LIVE)
        assert "reachable" in await page.ask(f"{CELL}.className")
        await page.ask("window.unbroken = true")
        world.votes += crowd(60, State.BLOCKED, NOW_US, NOW_US + BIN_US, service="whatsapp")
        world.clock.advance_us(2_000_000)
        feed.bus.publish("cell", "{}")
        await page.until(f"{CELL}.className.includes('blocked')")
        assert "blocked" in await page.ask(f"{CELL}.innerText")
        assert await page.ask("document.getElementById('updated').innerText") == "13:43:22 UTC"
        assert await page.ask("window.unbroken") is True


@pytest.mark.slow
async def test_a_new_network_is_a_new_column(serve: Serve) -> None:
    world = evening()
    feed = world.feed()
    client = await serve(feed)
    async with browser.opened(f"http://127.0.0.1:{client.port}/") as page:
        await page.until(LIVE)
        world.votes += crowd(9, State.BLOCKED, NOW_US, NOW_US + BIN_US, country="IR", asn=58224)
        world.clock.advance_us(2_000_000)
        feed.bus.publish("coverage", "{}")
        await page.until("!!document.getElementById('cell-IR-58224-fixed-telegram')")
        assert "Iran" in await page.ask("document.querySelector('thead').textContent")


@pytest.mark.slow
async def test_a_narrow_page_does_not_scroll_sideways(serve: Serve) -> None:
    client = await serve(evening().feed())
    async with browser.opened(f"http://127.0.0.1:{client.port}/") as page:
        await page.until(LIVE)
        await page.narrow(390)
        await page.until("innerWidth === 390")
        assert await page.ask("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
async def test_an_incident_appears_without_a_reload(serve: Serve) -> None:
    """By the event that the detector publishes after it has written the entry."""
    kept = book(blocking())
    feed = evening().feed(book=kept, public_key=KEY.public)
    client = await serve(feed)
    herald = Herald(feed.bus, feed.services, 5)

    async with browser.opened(f"http://127.0.0.1:{client.port}/") as page:
        await page.until(LIVE)
        told = "document.getElementById('incidents').innerText"
        assert "Blocking of Telegram" in await page.ask(told)
        await page.ask("window.unbroken = true")
        for entry in book(blocking(), silence(minutes=2)).entries[len(kept.entries) :]:
            kept.take(entry)
            herald.incident(kept, entry.incident)
        await page.until(f"{told}.includes('Kazakhstan fell silent between 13:40:40')")
        assert await page.ask("window.unbroken") is True


@pytest.mark.slow
async def test_an_incident_s_page_follows_it(serve: Serve) -> None:
    kept = book(silence())
    feed = evening().feed(book=kept, public_key=KEY.public)
    client = await serve(feed)
    async with browser.opened(f"http://127.0.0.1:{client.port}/incidents/{silence().id}") as page:
        await page.until(LIVE)
        headline = "document.getElementById('headline').innerText"
        assert "no return so far" in await page.ask(headline)
        await page.ask("window.unbroken = true")
        for entry in book(closed(silence(), 1)).entries[2:]:
            kept.take(entry)
        Herald(feed.bus, {}, 5).incident(kept, silence().id)
        await page.until(f"{headline}.includes('came back between')")
        await page.until("document.getElementById('badges').innerText.startsWith('closed')")
        assert await page.ask("window.unbroken") is True
        await page.narrow(390)
        await page.until("innerWidth === 390")
        assert await page.ask("document.documentElement.scrollWidth") <= 390
