"""Charts under a pointer in a real browser: a bar's label, and a range that opens."""

from pathlib import Path

import pytest

from support.browser_reader import Open, Reader
from support.past_days import feed_with_past
from support.site import Serve

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]
DAYS = "/countries/KZ?since=2022-01-01&until=2022-01-05&lang="
ROW = "tr:has(th:has-text('Telegram')) svg.ribbon"
READOUT = ".readout:not([hidden])"


async def point(seen: Reader, share: float, *, row: str = ROW) -> None:
    """Move the mouse to a share of a row's width."""
    await seen.page.locator(row).first.scroll_into_view_if_needed()
    box = await seen.page.locator(row).first.bounding_box()
    await seen.page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)


async def test_bar_tells_its_time_and_state_and_a_drawn_range_opens_its_days(
    serve: Serve, reader: Open, tmp_path: Path
) -> None:
    client = await serve(feed_with_past(tmp_path))
    async with reader(f"http://127.0.0.1:{client.port}") as seen:
        await seen.goto(DAYS + "en")
        await point(seen, 0.5)  # the third of five days, on which it was blocked
        assert (await seen.text(READOUT)).startswith("3 Jan")
        assert (await seen.text(READOUT)).endswith("UTC: blocked")
        await point(seen, 0.1)
        assert (await seen.text(READOUT)).endswith("reachable")
        await seen.page.mouse.move(2, 2)
        assert await seen.page.locator(READOUT).count() == 0
        await point(seen, 0.5)
        await seen.page.mouse.down()
        await point(seen, 0.7)
        async with seen.page.expect_navigation():
            await seen.page.mouse.up()
        assert "since=2022-01-03&until=2022-01-04&lang=en" in seen.page.url
        await point(seen, 0.01)
        assert "3 Jan" in await seen.text(READOUT), "the axis of the new page counts"


async def test_readout_speaks_the_page_s_language_and_stays_on_a_phone(
    serve: Serve, reader: Open, tmp_path: Path
) -> None:
    client = await serve(feed_with_past(tmp_path))
    async with reader(f"http://127.0.0.1:{client.port}") as seen:
        await seen.page.set_viewport_size({"width": 390, "height": 800})
        await seen.goto(DAYS + "fa")
        await point(seen, 0.95, row="table.days svg.ribbon")
        await seen.page.wait_for_selector(READOUT)
        words = await seen.page.locator(".keys li").evaluate_all(
            "all => all.map(li => li.dataset.word)"
        )
        assert (await seen.text(READOUT)).partition("UTC: ")[2] in words
        await seen.check()
