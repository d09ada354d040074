"""Start the installed Chromium on one address of `NAME`, which is this machine.

with visiting("http", port): the browser asks http://www.example.org/ of 127.0.0.1:port.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from heliograph.hello_profiles import HelloProfile
from support.browser_reader import FLAGS, chromium

NAME = "www.example.org"
CAPTURED = "Chromium 156."  # what hello_profiles.yml was captured from
DEADLINE_S = 300.0


def is_captured_version() -> bool:
    """Return whether the profiles were captured from the installed Chromium."""
    command = [chromium(), "--version"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    return CAPTURED in told.stdout


def allow_newer_browser(ja4: str, profile: HelloProfile) -> None:
    """Skip a test if a Chromium newer than the profiles sends another ClientHello.

    Debian updates the browser by itself: the maintainer must renew the list then, but the code
    under test is not at fault. With the captured version nothing is skipped.
    """
    if ja4 != profile.ja4 and not is_captured_version():
        pytest.skip(f"hello_profiles.yml is of {CAPTURED} and waits for the installed version")


@contextmanager
def visiting(scheme: str, port: int, *more_flags: str) -> Iterator[None]:
    """Run a browser that visits the server at `port`, whatever the port of its URL."""
    rules = f"--host-resolver-rules=MAP {NAME} 127.0.0.1:{port}, MAP * ~NOTFOUND"
    own = ("--disable-quic", "--host-resolver-rules")
    flags = [flag for flag in FLAGS if not flag.startswith(own)]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        browser = subprocess.Popen(
            [chromium(), *flags, *more_flags, rules, f"--user-data-dir={home}", f"{scheme}://{NAME}/"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield
        finally:
            browser.terminate()
            browser.wait(DEADLINE_S)
