"""A reader at Debian's Chromium, played by Playwright: what it sees, and what it must never do.

One browser a worker, started when the first test wants it; each reader is a context of its own,
without cookies of others. Names resolve to nothing but 127.0.0.1, so nothing can leave the
machine; that a page tries to is a failure of its own, and so is an error in its console, which
is also where the browser complains of a broken Content-Security-Policy.
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
        """The page at `path`, loaded. A refusal is for the test to look at."""
        await self.page.goto(self.origin + path, wait_until="load")

    async def live(self) -> None:
        """The stream is open, so that what happens from now on is seen."""
        await self.page.wait_for_selector('#live[data-state="live"]')

    async def text(self, selector: str) -> str:
        return str(await self.page.inner_text(selector))

    async def check(self) -> None:
        """Axe finds nothing (WCAG A and AA, best practices), and nothing is too wide."""
        axe = import_module("axe_playwright_python.async_playwright").Axe()  # it has no types
        found = await axe.run(self.page)
        assert not found.violations_count, found.generate_report()
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
    """The program, or the end of the test: a failure in CI, a skip with the reason elsewhere."""
    program = shutil.which("chromium")
    require(program, "chromium is not installed (Debian package chromium)")
    return str(program)


@contextmanager
def started() -> Iterator[str]:
    """A browser without a window; gives its debugging door.

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
async def reader(
    door: str,
    origin: str,
    *,
    width: int = 1280,
    height: int = 900,
    dark: bool = False,
    lang: str = "en",
    script: bool = True,
    expected: Sequence[str] = (),
) -> AsyncIterator[Reader]:
    """A fresh reader of `origin`, at the browser behind `door`.

    `script=False`: without JavaScript. `expected`: parts of console errors that the test provokes.
    Fails at its end, and not over another failure, when the page did what it must not.
    """
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(door)
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
            await browser.close()
