"""Start the installed tor in a separate folder and watch its bootstrap.

tor reports its progress on standard output ("Bootstrapped 45% (requesting_descriptors)"). It
opens no port: its sockets are files in its folder. Bridge lines are secrets; they are written
only into that folder.
"""

import asyncio
import os
import re
import shutil
import signal
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from heliograph.address import parse_literal
from heliograph.observation import Exchange
from heliograph_agent.net.step import StepFacts
from heliograph_agent.net.tcp import TrafficMeter

DONE = 100
_MAX_BRIDGES = 16
_MAX_BRIDGE = 1_024  # characters
_MAX_LINE = 8_192
_ASK_S = 1.0  # for tor's answer about its traffic
_END_S = 5.0  # assumed; a child that left tor's group may keep its output open
_PROGRESS = re.compile(rb"Bootstrapped (\d{1,3})%")
_TRAFFIC = re.compile(rb"traffic/(?:read|written)=(\d{1,15})")
_NAME = re.compile(r"[A-Za-z0-9_]{1,32}")
# Programs by pluggable transport, the preferred program first.
_PLUGINS = {
    "lyrebird": ("meek_lite", "obfs2", "obfs3", "obfs4", "scramblesuit", "webtunnel"),
    "obfs4proxy": ("meek_lite", "obfs2", "obfs3", "obfs4", "scramblesuit"),
    "snowflake-client": ("snowflake",),
}


@dataclass(slots=True)
class TorBootstrap:
    """Start tor once; `step_facts` returns its progress."""

    program: str
    lines: tuple[str, ...]  # of torrc, about bridges
    progress: int | None = None

    async def run(self, meter: TrafficMeter) -> None:
        """Run to the end of the bootstrap. Raises ValueError when tor exits by itself."""
        folder = Path(tempfile.mkdtemp(prefix="heliograph-tor-"))  # mode 0700: private
        try:
            torrc = folder / "torrc"
            torrc.write_text(_format_torrc(folder, self.lines), encoding="ascii")
            async with _run_tor(self.program, torrc) as process:
                try:
                    await self._follow_progress(process)
                finally:
                    meter.count_bytes(await _read_traffic_bytes(folder / "control"))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def step_facts(self) -> StepFacts:
        reply = "" if self.progress is None else f"progress_{self.progress}"
        return {"exchange": Exchange(protocol="tor_bootstrap", reply=reply)}

    async def _follow_progress(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 - it was started with a pipe
        while line := await process.stdout.readline():
            match = _PROGRESS.search(line)
            if match is not None:
                self.progress = min(DONE, int(match[1]))
            if self.progress == DONE:
                return
        raise ValueError("The installed tor ended by itself; `tor --verify-config` may say why.")


def make_bootstrap(bridges: tuple[str, ...]) -> TorBootstrap:
    """Create a bootstrap. Raises ValueError, with the fix, for a missing program."""
    if not hasattr(os, "killpg"):  # Windows
        raise ValueError("A Tor bootstrap needs sockets that are files, which this system lacks.")
    program = shutil.which("tor")
    if program is None:
        raise ValueError("A Tor bootstrap needs the program tor: install the package tor.")
    return TorBootstrap(program, _bridge_config(bridges))


def _bridge_config(bridges: tuple[str, ...]) -> tuple[str, ...]:
    """Return the torrc lines for bridges. Errors never quote a bridge."""
    if not bridges:
        return ()
    if len(bridges) > _MAX_BRIDGES:
        raise ValueError(f"At most {_MAX_BRIDGES} bridges are tried at once.")
    parsed_bridges = [_parse_bridge(number, line) for number, line in enumerate(bridges, 1)]
    plugins = sorted({_plugin_line(transport) for transport, _ in parsed_bridges if transport})
    return ("UseBridges 1", *plugins, *(f"Bridge {line}" for _, line in parsed_bridges))


def _parse_bridge(number: int, line: str) -> tuple[str, str]:
    """Return the transport, "" for none, and the line."""
    tokens = line.removeprefix("Bridge ").split()
    plain = " ".join(tokens)
    sendable = plain.isascii() and plain.isprintable() and 0 < len(plain) <= _MAX_BRIDGE
    if not sendable or any(mark in plain for mark in '#"\\'):
        raise ValueError(f"Bridge {number} is no bridge line.")
    if parse_literal(tokens[0].rpartition(":")[0]):
        return "", plain
    if not _NAME.fullmatch(tokens[0]):
        raise ValueError(f"Bridge {number} begins with neither an address nor a transport.")
    return tokens[0], plain


def _plugin_line(transport: str) -> str:
    programs = [program for program, spoken in _PLUGINS.items() if transport in spoken]
    for program in programs:
        if path := shutil.which(program):
            return f"ClientTransportPlugin {','.join(_PLUGINS[program])} exec {path}"
    cure = f": install {' or '.join(programs)}" if programs else ""
    raise ValueError(f"Nothing here speaks the bridge's transport {transport}{cure}.")


def _format_torrc(folder: Path, lines: tuple[str, ...]) -> str:
    return "\n".join(
        (
            f"DataDirectory {folder}/data",
            f"SocksPort unix:{folder}/socks",
            f"ControlSocket unix:{folder}/control",
            "ClientOnly 1",
            "AvoidDiskWrites 1",
            "Log notice stdout",
            f"__OwningControllerProcess {os.getpid()}",  # tor exits when this process is killed
            *lines,
            "",
        )
    )


@asynccontextmanager
async def _run_tor(program: str, torrc: Path) -> AsyncIterator[Process]:
    """Run tor, and kill it and its children at the end.

    A cancellation waits until tor is started: asyncio would kill tor alone, and leave its children.
    """
    starting = asyncio.ensure_future(  # noqa: TID251 - awaited below in every case
        asyncio.create_subprocess_exec(
            program,
            "-f", str(torrc),
            "--defaults-torrc", os.devnull,
            stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, limit=_MAX_LINE, start_new_session=True,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(torrc.parent)},
        )
    )  # fmt: skip
    try:
        yield await asyncio.shield(starting)
    finally:
        await _kill_group(await starting)


async def _kill_group(process: Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(_END_S):
            while process.stdout is not None and await process.stdout.read(_MAX_LINE):
                pass
            await process.wait()


async def _read_traffic_bytes(control: Path) -> int:
    """Return the bytes that tor reports as sent and received; 0 without a report."""
    try:
        async with asyncio.timeout(_ASK_S):
            reader, writer = await asyncio.open_unix_connection(control)
            try:
                writer.write(b"AUTHENTICATE\r\nGETINFO traffic/read traffic/written\r\nQUIT\r\n")
                reply = await reader.read(_MAX_LINE)
                while b"closing" not in reply and (chunk := await reader.read(_MAX_LINE)):
                    reply += chunk
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError):
        return 0
    return sum(int(digits) for digits in _TRAFFIC.findall(reply))
