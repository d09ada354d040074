"""Run the two programs as a user does: real processes, ended or killed."""

import base64
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TypeVar

from heliograph_lab.simulate.report import Cost, read_cost
from support.values import present

_T = TypeVar("_T")
_STRIPPED = ("COVERAGE", "PYTHONDONTWRITEBYTECODE")  # neither is how a user runs them
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(_STRIPPED)}


# Programs of the tests import them, and the packages from where this process does.
TESTS = Path(__file__).parents[1]
PYTHONPATH = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])


def module_command(module: str, *arguments: str) -> list[str]:
    return ["env", f"PYTHONPATH={PYTHONPATH}", sys.executable, "-m", module, *arguments]


def agent(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "heliograph_agent", *map(str, arguments)]


def collector(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "heliograph_collector", *map(str, arguments)]


def age_agents(data: Path, days: float = 30.0) -> None:
    """Date every enrollment back, so that the agents' votes count and confirm."""
    created_s = int(time.time() - days * 86_400)
    with contextlib.closing(sqlite3.connect(data / "fleet.db", timeout=60)) as db, db:
        db.execute("UPDATE agents SET created_s = min(created_s, ?)", (created_s,))


def ask(command: list[str], *, timeout_s: float = 60) -> str:
    """Run a command that must succeed; return its output."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, check=False, env=CLEAN
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def operator_header(data: Path) -> str:
    password = (data / "keys" / "operator.password").read_text().strip()
    return f"Authorization: Basic {base64.b64encode(f'operator:{password}'.encode()).decode()}"


@contextlib.contextmanager
def started(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process in its own session; kill all that it left at the end."""
    with log.open("ab") as output, _spawn(command, output) as process:
        try:
            yield process
        finally:
            kill(process)


def cost_of(pid: int) -> Cost:
    """Read CPU and RSS of a process that must be there, with its children."""
    return present(read_cost(pid, time.monotonic))


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its children by SIGKILL, and reap it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)


def eventually(answer: Callable[[], _T | None], what: str, deadline_s: float = 240) -> _T:
    """Poll another process until `answer` is truthy, for a quarter of the time.

    Many answers need a command, which takes the processor from the polled process. No pause is
    longer than 2 s, so that a slow answer delays nothing more.
    """
    end = time.monotonic() + deadline_s
    while (began := time.monotonic()) < end:
        if got := answer():
            return got
        time.sleep(min(max(0.05, 3 * (time.monotonic() - began)), 2.0))  # another process works
    raise AssertionError(f"not within {deadline_s:.0f} s: {what}")


def _spawn(command: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        env=CLEAN,
    )
