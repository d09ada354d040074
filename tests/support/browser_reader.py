"""Debian's Chromium as a reader, driven by Playwright, with checks of its acts.

Each worker starts one browser when a test first wants it; each reader is a context with its own
cookies. Names resolve only to 127.0.0.1, so nothing can leave the machine. A test fails if a page
tries to, or if the console has an error: the browser reports a broken Content-Security-Policy
there.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support.requirements import require

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
_DEADLINE_S = 90.0
_TURN_MS = 90_000  # for each step of a reader: beside the lab a page waited over 20 s for a core
_LOCAL = ("data:", "blob:", "about:", "chrome-error:")


@dataclass
class Reader:
    """`page` is Playwright's; paths are below `origin`."""

    page: Any
    origin: str
    expected: Sequence[str] = ()
    troubles: list[str] = field(default_factory=list)

    async def goto(self, path: str) -> None:
        """Load the page at `path`; a refusal is for the test to check."""
        await self.page.goto(self.origin + path, wait_until="load")

    async def live(self) -> None:
        """Wait until the stream is open, so that later events arrive."""
        await self.page.wait_for_selector('#live[data-state="live"]')

    async def text(self, selector: str) -> str:
        return str(await self.page.inner_text(selector))

    async def check(self) -> None:
        """Assert that axe finds no fault (WCAG A, AA, best practices), nor too wide parts."""
        axe = import_module("axe_playwright_python.async_playwright").Axe()  # it has no types
        found = await axe.run(self.page)
        assert not found.violations_count, found.generate_report()
        await self.check_width()

    async def check_width(self) -> None:
        wide = await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{self.page.url} is {wide} px wider than its window"

    def _listen(self) -> None:
        self.page.on("request", self._asked)
        self.page.on("console", self._logged)
        self.page.on("pageerror", lambda error: self._note(f"script: {error}"))

    def _asked(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if f"{parts.scheme}://{parts.netloc}" != self.origin and not request.url.startswith(_LOCAL):
            self._note(f"asked another origin: {request.url}")

    def _logged(self, message: Any) -> None:
        if message.type == "error":
            self._note(f"console: {message.text} ({message.location.get('url', '')})")

    def _note(self, trouble: str) -> None:
        if not any(word in trouble for word in self.expected):
            self.troubles.append(trouble)


Open = Callable[..., AbstractAsyncContextManager[Reader]]


def chromium() -> str:
    """Return the path of Chromium; without it fail in CI, and skip the test elsewhere."""
    program = shutil.which("chromium")
    require(program, "chromium is not installed (Debian package chromium)")
    return str(program)


@contextmanager
def started() -> Iterator[str]:
    """Start a headless browser; yield the address of its debugging port.

    Chromium's headless shell has the same engine and no browser around it: pages take a third less
    of the processors. Debian starts it by a script, so both are ended, as one group.
    """
    program = shutil.which("chromium-headless-shell") or chromium()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        where = f"--user-data-dir={profile}"
        process = subprocess.Popen(
            [program, *FLAGS, where, "--remote-debugging-port=0", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            yield f"http://127.0.0.1:{_port(Path(profile) / 'DevToolsActivePort')}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(_DEADLINE_S)


def _port(file: Path) -> int:
    until = time.monotonic() + _DEADLINE_S
    while not (file.exists() and file.read_text().strip()):
        assert time.monotonic() < until, "the browser never opened its door"
        time.sleep(0.05)
    return int(file.read_text().split()[0])


@asynccontextmanager
async def connected(door: str) -> AsyncIterator[Any]:
    """Connect to the browser at a debugging address; yield Playwright's browser.

    Its driver is a program that takes half a second of CPU to start.
    """
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(door)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def reader(door: str, origin: str, **way: Any) -> AsyncIterator[Reader]:
    """Open one fresh reader; see `open_reader`."""
    async with connected(door) as browser, open_reader(browser, origin, **way) as seen:
        yield seen


@asynccontextmanager
async def open_reader(
    browser: Any,
    origin: str,
    *,
    width: int = 1280,
    height: int = 900,
    dark: bool = False,
    lang: str = "en",
    script: bool = True,
    expected: Sequence[str] = (),
) -> AsyncIterator[Reader]:
    """Open a fresh reader of `origin` in a browser, with cookies of its own.

    `script=False` turns JavaScript off. `expected` lists parts of console errors that the test
    provokes. On exit it fails if the page did what it must not, unless the test has failed already.
    """
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        locale=lang,
        java_script_enabled=script,
    )
    try:
        context.set_default_timeout(_TURN_MS)
        seen = Reader(await context.new_page(), origin.rstrip("/"), expected)
        seen._listen()
        yield seen
        assert not seen.troubles, "\n".join(seen.troubles)
    finally:
        await context.close()
