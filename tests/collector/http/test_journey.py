"""A reader by keyboard, and every public page under axe and a strict browser."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from support.browser_reader import Open, Reader, connected, open_reader
from support.incident_book import ALMATY, DOUBT, MOBILE, TELEGRAM
from support.kazakhstan_votes import feed, long_evening
from support.past_days import past
from support.site import Serve

pytestmark = pytest.mark.xdist_group("browser")

STORIES = ("/countries/KZ", f"/incidents/{TELEGRAM}", f"/incidents/{MOBILE}")
SERVICE = "/services/telegram"
EMBED = f"/incidents/{ALMATY}/embed"
DOCS = "/docs"
DAYS = "/countries/KZ?since=2022-01-01&until=2022-01-05"
# Dark pages are narrow ones, since a color is that of the scheme or of the width, and not of both.
# In a narrow window the long list of operations of /docs must fit, and no more: axe would read the
# same list for four seconds again.
DARK_AND_NARROW: dict[str, Any] = {"dark": True, "width": 390}
WAYS: Sequence[tuple[dict[str, Any], Sequence[str]]] = (
    ({}, ("/", "/?country=KZ", *STORIES, EMBED, "/dumps/", DOCS, "/about", SERVICE)),
    ({}, ("/nothing", "/incidents/nothing")),
    ({"lang": "fa"}, ("/", *STORIES, "/networks/AS9198", "/about")),
    ({"lang": "en", "width": 390}, (STORIES[0], DAYS)),
    (
        DARK_AND_NARROW | {"lang": "kk"},
        ("/", *STORIES[:2], EMBED, "/search?q=kaz", f"/incidents/{ALMATY}"),
    ),
    (
        DARK_AND_NARROW | {"lang": "ru"},
        (STORIES[2], f"/incidents/{DOUBT}", "/dumps/", SERVICE, "/incidents", DAYS),
    ),
)
_NO_SUCH = "the server responded with a status of 404"
_CUT_TABLES = """[...document.querySelectorAll('.parts')]
  .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.innerText)"""
_FOCUS = "document.activeElement.getAttribute('href')"


async def origin(serve: Serve) -> str:
    client = await serve(feed(long_evening()))
    return f"http://127.0.0.1:{client.port}"


async def press_to(seen: Reader, href: str) -> None:
    """Press Tab until the link has focus, as a reader without a mouse."""
    for _ in range(120):
        await seen.page.keyboard.press("Tab")
        if await seen.page.evaluate(_FOCUS) == href:
            await seen.page.keyboard.press("Enter")
            await seen.page.wait_for_url(f"**{href}")
            return
    raise AssertionError(f"no way leads to {href} from {seen.page.url}")


@pytest.mark.slow
async def test_a_reader_goes_from_the_front_page_to_the_signed_entry(
    serve: Serve, reader: Open
) -> None:
    async with reader(await origin(serve), expected=["/favicon.ico"]) as seen:
        await seen.goto("/")
        await seen.live()
        await press_to(seen, "/countries/KZ")
        await seen.page.wait_for_selector("#lanes a.stay")
        assert "Mobile networks" in await seen.text("#world")
        await press_to(seen, f"/incidents/{MOBILE}")
        assert "went offline about 12:51 UTC" in await seen.text("#headline")
        assert "Other sources" in await seen.text("#world")
        await press_to(seen, "/api/v1/log?after=8&limit=1")
        entry = await seen.text("body")
        assert f'"{MOBILE}"' in entry
        assert '"sig"' in entry or '"signature"' in entry


@pytest.mark.slow
async def test_it_reads_without_a_script(serve: Serve, reader: Open) -> None:
    async with reader(await origin(serve), script=False) as seen:
        await seen.goto("/countries/KZ")
        await seen.page.click('nav.windows a[href*="bin=1m"]')
        await seen.page.wait_for_url("**/countries/KZ?bin=1m")
        await seen.page.click('nav.windows a[href*="window=week"]')
        await seen.page.wait_for_url("**/countries/KZ?window=week")
        await seen.page.click(f'#lanes a[href="/incidents/{ALMATY}"]')
        await seen.page.wait_for_url(f"**/incidents/{ALMATY}")
        assert "reporting" in await seen.text("#picture")


@pytest.mark.slow
async def test_a_phone_shows_all_columns_of_an_incident(serve: Serve, chromium: str) -> None:
    """A phone shows all columns of an incident; the last lists the spared places."""
    address = await origin(serve)
    async with connected(chromium) as browser:
        for lang in ("en", "ru", "fa"):
            async with open_reader(browser, address, lang=lang, width=390) as seen:
                for path in STORIES:
                    await seen.goto(path)
                    told = await seen.page.evaluate(_CUT_TABLES)
                    assert told == [], (lang, path)


@pytest.mark.slow
async def test_axe_finds_nothing_light_dark_from_the_right_and_narrow(
    serve: Serve, chromium: str, tmp_path: Path
) -> None:
    """axe finds no fault on light, dark, right-to-left and narrow pages.

    No page makes a request to another site or breaks its policy.
    """
    client = await serve(feed(long_evening(), **past(tmp_path)))
    address = f"http://127.0.0.1:{client.port}"
    async with connected(chromium) as browser:
        for way, paths in WAYS:
            async with open_reader(browser, address, expected=[_NO_SUCH], **way) as seen:
                for path in paths:
                    await seen.goto(path)
                    await seen.check()
        async with open_reader(browser, address, **DARK_AND_NARROW) as seen:
            await seen.goto(DOCS)
            await seen.check_width()
