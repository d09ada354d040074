"""Debian's Chromium without a window, on 127.0.0.1 only: pictures and the page after its script."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
_DEADLINE_S = 60.0


def chromium() -> str:
    """The program, or the end of the test: a failure in CI, a skip with the reason elsewhere."""
    found = shutil.which("chromium")
    if found:
        return found
    reason = "chromium is not installed (Debian package chromium)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _run(*arguments: str) -> str:
    program = chromium()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        done = subprocess.run(
            [program, *_FLAGS, f"--user-data-dir={profile}", *arguments],
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=True,
        )
    return done.stdout


def picture(url: str, to: Path, width: int, height: int, *, dark: bool = False) -> None:
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    _run(f"--screenshot={to}", f"--window-size={width},{height}", *scheme, url)


def document(url: str, budget_ms: int) -> str:
    """The page's HTML after `budget_ms` of the browser's virtual time."""
    return _run("--dump-dom", f"--virtual-time-budget={budget_ms}", url)
