"""Debian's Chromium without a window, on 127.0.0.1 only: pictures, and a page that can be asked."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
_DEADLINE_S = 90.0


def chromium() -> str:
    """The program, or the end of the test: a failure in CI, a skip with the reason elsewhere."""
    found = shutil.which("chromium")
    if found:
        return found
    reason = "chromium is not installed (Debian package chromium)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def picture(url: str, to: Path, width: int, height: int, *, dark: bool = False) -> None:
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    size = f"--window-size={width},{height}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        where = f"--user-data-dir={profile}"
        subprocess.run(
            [chromium(), *FLAGS, where, f"--screenshot={to}", size, *scheme, url],
            capture_output=True,
            timeout=_DEADLINE_S,
            check=True,
        )


class Page:
    """A page that is open, asked over the browser's debugging door."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._asked = 0

    async def ask(self, script: str) -> Any:
        """The value of a JavaScript expression; None while the page is being loaded."""
        answer = await self._call("Runtime.evaluate", expression=script, returnByValue=True)
        return answer.get("result", {}).get("value")

    async def narrow(self, width: int) -> None:
        """As a telephone of that width shows it."""
        await self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=844,
            deviceScaleFactor=1,
            mobile=True,
        )

    async def _call(self, method: str, **parameters: Any) -> Any:
        self._asked += 1
        await self._socket.send_json({"id": self._asked, "method": method, "params": parameters})
        while (answer := await self._socket.receive_json()).get("id") != self._asked:
            pass
        return answer.get("result", {})

    async def until(self, script: str, deadline_s: float = 30.0) -> None:
        """Wait for another process: polled, with a deadline."""
        try:
            async with asyncio.timeout(deadline_s):
                while not await self.ask(script):  # noqa: ASYNC110 -- another process
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"never true in {deadline_s:g} s: {script}") from None


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Page]:
    """The page at `url` in a browser of its own."""
    program = chromium()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0", url,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port = await _port(Path(profile) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session:
                door = await _door(session, port, url)
                async with session.ws_connect(door, max_msg_size=0) as socket:
                    yield Page(socket)
        finally:
            process.terminate()
            await process.wait()


async def _port(file: Path) -> int:
    async with asyncio.timeout(_DEADLINE_S):
        while not (lines := _lines(file)):  # noqa: ASYNC110 -- another process
            await asyncio.sleep(0.05)
    return int(lines[0])


def _lines(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


async def _door(session: aiohttp.ClientSession, port: int, url: str) -> str:
    async with asyncio.timeout(_DEADLINE_S):
        while True:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tabs = json.loads(await answer.text())
            for tab in tabs:
                if tab["type"] == "page" and tab["url"] == url:
                    return str(tab["webSocketDebuggerUrl"])
            await asyncio.sleep(0.05)
