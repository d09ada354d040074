"""The control agent on this machine: a child process with the role `control`, kept alive.

It measures the plan's targets from the collector's own network and sends them through the same door
as everybody.
"""

import asyncio
import logging
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

log = logging.getLogger("heliograph.control")

_JOIN_S = 60.0
_STOP_S = 1.5
_FIRST_WAIT_S, _MOST_WAIT_S = 1.0, 60.0
_STEADY_S = 60.0  # a run this long was no failure to start
# Linux ends the child with us, however we end, also before it could ask for that; then it becomes
# what it was started for.
_TIED = """
import ctypes, os, signal, sys
parent, *words = sys.argv[1:]
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(1)
os.execv(sys.executable, [sys.executable, *words])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    state: Path  # the agent's directory
    log: Path  # what it says
    endpoint: str  # the door, as this machine dials it
    invite: Callable[[], Awaitable[str]]  # a fresh INVITE line
    rng: random.Random


def tied(*words: str) -> list[str]:
    """The command that runs Python with `words` for as long as this process lives."""
    return [sys.executable, "-c", _TIED, str(os.getpid()), *words]


def dialled(host: str, port: int) -> str:
    """How this machine reaches its own listener, also one that listens everywhere."""
    own = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{own}]:{port}" if ":" in own else f"{own}:{port}"


async def keep_control(control: Control) -> None:
    """Join once, run for ever; a child that ends is started again after a pause. Never returns."""
    loop, failures = asyncio.get_running_loop(), 0
    while True:
        began = loop.time()
        if await _joined(control):
            code = await _run(control, "run", "--state", str(control.state))
            log.warning("The control agent ended (exit %s); see %s.", code, control.log)
        failures = 1 if loop.time() - began > _STEADY_S else failures + 1
        most = min(_MOST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(failures, 10))
        await asyncio.sleep(control.rng.uniform(_FIRST_WAIT_S, most))


async def _joined(control: Control) -> bool:
    """Whether the state directory belongs to this door, after joining if it did not."""
    note = control.state.with_suffix(".endpoint")
    if control.state.is_dir() and note.exists() and note.read_text() == control.endpoint:
        return True
    await asyncio.to_thread(rmtree, control.state, True)
    invite = await control.invite()
    try:
        async with asyncio.timeout(_JOIN_S):
            code = await _run(control, "join", invite, "--yes", "--state", str(control.state))
    except TimeoutError:
        code = None
    if code != 0:
        log.warning("The control agent could not join (exit %s); see %s.", code, control.log)
        return False
    note.write_text(control.endpoint)
    return True


async def _run(control: Control, *arguments: str) -> int:
    """Run the agent to its end; a cancelled caller ends it."""
    with control.log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *tied("-m", "heliograph_agent", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
