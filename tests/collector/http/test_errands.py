"""Errands of a journalist, from the front page by what a reader can see and press.

Each answer must be reached in two steps after the front page: a question typed into its search
field and a link, or one link alone. So no step needs to know an address.
"""

from pathlib import Path

import pytest

from heliograph_collector.http.backend import Publisher
from support.browser_reader import Reader, connected, open_reader
from support.past_days import feed_with_past
from support.site import Serve

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


async def ask(seen: Reader, question: str, link: str) -> str:
    """Type a question, follow the link of this name, and read the page."""
    await seen.page.fill("input[name=q]", question)
    async with seen.page.expect_navigation():
        await seen.page.keyboard.press("Enter")
    async with seen.page.expect_navigation():
        await seen.page.get_by_role("link", name=link, exact=True).first.click()
    return await seen.text("main")


async def find_services_blocked_when_and_by_whom(seen: Reader) -> None:
    question = "Which services were blocked in Kazakhstan in January 2022?"
    page = await ask(seen, question, "Kazakhstan")
    assert "Kazakhstan · 1 January 2022" in page
    assert "Telegram: on 2 of 4 days with data · 3 Jan 00:00 to 5 Jan 00:00" in page
    assert "AS9198" in page


async def find_whether_telegram_was_blocked_this_week(seen: Reader) -> None:
    page = await ask(seen, "Has Telegram been blocked anywhere this week?", "Telegram")
    assert "blocked" in page.partition("\n")[2]
    assert "Kazakhstan" in page


async def find_a_picture_of_a_month_for_print(seen: Reader) -> None:
    await ask(seen, "Kazakhstan January 2022", "Kazakhstan")
    href = await seen.page.get_attribute("a:text-is('SVG') >> nth=0", "href")
    await seen.goto(str(href))
    drawn = await seen.page.text_content("svg")
    assert "Kazakhstan · 1 January 2022" in str(drawn)


async def find_the_operators_and_the_license(seen: Reader) -> None:
    async with seen.page.expect_navigation():
        await seen.page.get_by_role("link", name="About", exact=True).first.click()
    page = await seen.text("main")
    assert "Free Net Foundation" in page
    assert "desk@example.org" in page
    assert "CC-BY-4.0" in page


async def test_each_errand_is_two_steps_from_the_front_page(
    serve: Serve, chromium: str, tmp_path: Path
) -> None:
    publisher = Publisher(operator="Free Net Foundation", contact="mailto:desk@example.org")
    client = await serve(feed_with_past(tmp_path, publisher=publisher))
    address = f"http://127.0.0.1:{client.port}"
    async with connected(chromium) as browser:
        for errand in (
            find_services_blocked_when_and_by_whom,
            find_whether_telegram_was_blocked_this_week,
            find_a_picture_of_a_month_for_print,
            find_the_operators_and_the_license,
        ):
            async with open_reader(browser, address, expected=["/favicon.ico"]) as seen:
                await seen.goto("/")
                await errand(seen)
