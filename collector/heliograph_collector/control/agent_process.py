"""Local control agent: a child process with the role `control`, kept running.

It measures the plan's targets from the collector's own network and sends its measurements through
the same entrance as every agent.
"""

import asyncio
import logging
import os
import random
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Protocol

from heliograph.backoff import Backoff

log = logging.getLogger("heliograph.control")

# Assumed, all five.
_JOIN_S = 60.0
_STOP_S = 1.5
_MIN_WAIT_S = 1.0
_RESTARTS = Backoff(_MIN_WAIT_S, 60.0)
_STEADY_S = 60.0  # assumed: a run this long shows that the start succeeded
# Starts in a row that end early until the agent joins again, once: its files may be damaged, or of
# a version that it cannot read. Assumed; a restart for another reason seldom fails thrice.
_REJOIN_AFTER = 3
# On Linux the kernel ends the child whenever its parent dies. The parent check covers a parent
# that dies before prctl. Then the child becomes the requested program.
_TIED_CHILD_CODE = """
import ctypes, os, signal, sys
parent, *words = sys.argv[1:]
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(1)
os.execv(sys.executable, [sys.executable, *words])
"""


class InviteSource(Protocol):
    async def create_invite(self) -> str:
        """Return a fresh INVITE line."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlAgent:
    state_directory: Path  # the agent's state
    log_file: Path  # the agent's output
    endpoint: str  # the gRPC entrance, as reached from this machine
    invites: InviteSource
    rng: random.Random


def build_tied_command(*arguments: str) -> list[str]:
    """Build the command that runs Python with `arguments` while this process lives."""
    return [sys.executable, "-c", _TIED_CHILD_CODE, str(os.getpid()), *arguments]


async def keep_control(control: ControlAgent) -> None:
    """Join once and keep the agent running; restart it after a pause. Never return.

    An agent that fails at each start joins again: without a control nothing is judged blocked.
    """
    loop = asyncio.get_running_loop()
    failures = 0
    while True:
        started_s = loop.time()
        if await _ensure_joined(control):
            # Its operator runs it, so it never waits for a consent that nobody would give.
            arguments = ("run", "--yes", "--state", str(control.state_directory))
            code = await _run_agent(control, *arguments)
            log.warning("The control agent ended (exit %s); see %s.", code, control.log_file)
        failures = 1 if loop.time() - started_s > _STEADY_S else failures + 1
        if failures == _REJOIN_AFTER:
            _endpoint_file(control).unlink(missing_ok=True)
        await asyncio.sleep(max(_MIN_WAIT_S, _RESTARTS.draw_s(failures + 1, control.rng)))


async def _ensure_joined(control: ControlAgent) -> bool:
    """Join this endpoint unless already joined; return False when joining failed."""
    endpoint_file = _endpoint_file(control)
    if (
        control.state_directory.is_dir()
        and endpoint_file.exists()
        and endpoint_file.read_text() == control.endpoint
    ):
        return True
    await asyncio.to_thread(rmtree, control.state_directory, True)
    invite = await control.invites.create_invite()
    try:
        async with asyncio.timeout(_JOIN_S):
            code = await _run_agent(
                control, "join", invite, "--yes", "--state", str(control.state_directory)
            )
    except TimeoutError:
        code = None
    if code != 0:
        log.warning("The control agent could not join (exit %s); see %s.", code, control.log_file)
        return False
    endpoint_file.write_text(control.endpoint)
    return True


def _endpoint_file(control: ControlAgent) -> Path:
    """Return the file that names the endpoint which the agent has joined."""
    return control.state_directory.with_suffix(".endpoint")


async def _run_agent(control: ControlAgent, *arguments: str) -> int:
    """Run the agent until it ends, and return its exit code; cancellation ends it."""
    with control.log_file.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *build_tied_command("-m", "heliograph_agent", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            await _stop_process(process)


async def _stop_process(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
