"""Processes of a simulation: its collector, and those of its virtual agents.

The collector has temporary keys and made-up addresses. Its plan has no tasks and it runs no control
agent, so it sends nothing to real servers.
"""

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import aiohttp
import msgspec
import yaml

from heliograph import keys
from heliograph.clock import Clock
from heliograph.plan import Plan
from heliograph.services import load_shipped_services
from heliograph.units import DAY_S
from heliograph_collector.fleet import Fleet, format_invite, open_keyring
from heliograph_collector.fleet.plans import issue_plan, load_current_plan
from heliograph_lab.simulate.addresses import write_tables
from heliograph_lab.simulate.counters import AgentCounters, sum_counters
from heliograph_lab.simulate.outbox import VERSION
from heliograph_lab.simulate.script import Actor
from heliograph_lab.simulate.subscriber import open_plain_session
from heliograph_lab.simulate.worker import Command, WorkerSetup
from heliograph_lab.simulate.worker_context import AgentEnrollment

HOST = "127.0.0.1"
START_S = 60.0
_POLL_S = 0.05
_INVITE_S = 86_400
_REQUEST_TIMEOUT_S = 5.0
_READY_POLL_S = 0.25
_STOP_S = 0.5
_WORKER_CODE = "from heliograph_lab.simulate.worker import main; main()"
_MAX_LINE = 65_536
# By the poller that gRPC had before its event engine, an agent's heartbeat takes a fifth less CPU
# (167 and 215 µs, one run each of 2,000 agents, load 7), which the collector beside it can use.
_WORKER_ENVIRONMENT = {"GRPC_EXPERIMENTS": "-event_engine_client", "GRPC_VERBOSITY": "NONE"}


class CollectorProcessError(Exception):
    """The collector cannot start; the message is a sentence."""


@dataclass(slots=True)
class CollectorProcess:
    """A collector process, which keeps its ports over a restart."""

    data: Path
    log: Path
    grpc: str = f"{HOST}:0"
    http: str = f"{HOST}:0"
    post: str = f"{HOST}:0"
    process: asyncio.subprocess.Process | None = None
    launcher: Sequence[str] = (sys.executable, "-m")  # before the module and its arguments

    @property
    def pid(self) -> int:
        return 0 if self.process is None else self.process.pid

    async def start(self) -> None:
        """Start it on the same ports again. Raises CollectorProcessError."""
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(*self.launcher, "heliograph_collector", "serve"),
                *("--data", str(self.data), "--config", str(self.data.with_suffix(".yml"))),
                *("--grpc", self.grpc, "--http", self.http, "--post", self.post),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(START_S):
                await self._wait_until_serving()
        except TimeoutError:
            raise CollectorProcessError(f"The collector is not up after {START_S:g} s.") from None

    async def _wait_until_serving(self) -> None:
        for _ in range(int(START_S / _POLL_S)):  # polls, because a file reports it
            if self._is_serving():
                return
            await asyncio.sleep(_POLL_S)
        raise TimeoutError

    def _is_serving(self) -> bool:
        if self.process is not None and self.process.returncode is not None:
            raise CollectorProcessError(f"The collector ended: {self.last_log_line()}")
        try:
            endpoints = json.loads((self.data / "serving.json").read_text())
        except (OSError, ValueError):
            return False
        if endpoints.get("pid") != self.pid or not {"grpc", "http", "post"} <= endpoints.keys():
            return False
        self.grpc = endpoints["grpc"]
        self.http = endpoints["http"]
        self.post = endpoints["post"]
        return True

    async def wait_until_ready(self) -> None:
        """Wait until the store is open. Raises CollectorProcessError."""
        limits = aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S)
        async with open_plain_session(self.http, limits) as session:
            for _ in range(int(START_S / _READY_POLL_S)):
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get("/readyz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(_READY_POLL_S)
        raise CollectorProcessError(f"The collector's store is not open after {START_S:g} s.")

    def last_log_line(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing."

    async def kill(self) -> None:
        process = self.process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    def set_enrollment_age(self, days: Mapping[bytes, float], clock: Clock) -> None:
        """Set days since enrollment by agent id; the collector reads them within 2 s."""
        now_s = clock.wall_us() // 1_000_000
        with closing(sqlite3.connect(self.data / "fleet.db", timeout=10)) as db, db:
            db.executemany(
                "UPDATE agents SET created_s = ? WHERE id = ?",
                [(now_s - int(age * 86_400), agent) for agent, age in days.items()],
            )


@dataclass(frozen=True, slots=True)
class InviteLines:
    """The INVITE lines of the collector."""

    volunteers: str
    controls: str
    enrollment: AgentEnrollment  # what those hold that are enrolled already


@asynccontextmanager
async def start_collector(
    folder: Path,
    actors: Sequence[Actor],
    heartbeat_s: int,
    clock: Clock,
    log: Path | None = None,
    settings: Mapping[str, object] | None = None,
    launcher: Sequence[str] = (sys.executable, "-m"),
    http: str = "",
    enrolled: Mapping[bytes, float] = MappingProxyType({}),
) -> AsyncIterator[tuple[CollectorProcess, InviteLines]]:
    """Start a collector with invites for all actors; kill it at the end of the block.

    `settings` are more sections of its configuration; `http` is where its pages are, "" for any
    free port. `enrolled` are public keys of volunteers that it has known for so many days: an
    invite admits 50 agents a second (`ingest/rate_limits.py`). Raises CollectorProcessError.
    """
    data = folder / "data"
    write_tables(actors, data / "geo")
    data.with_suffix(".yml").write_text(
        yaml.safe_dump({**_collector_config(len(actors)), **(settings or {})})
    )
    now_s = clock.wall_us() // 1_000_000
    keyring = open_keyring(data, [HOST])
    services = load_shipped_services()
    plan = Plan(
        version=0,
        issued_s=0,
        expires_s=0,
        services_version=services.version,
        services=services.services,
        heartbeat_s=heartbeat_s,
    )
    with closing(Fleet(data)) as fleet:
        issue_plan(fleet, keyring.signing, plan, now_s)
        _write_enrolled(fleet, enrolled, now_s)
        tokens = [
            fleet.create_invite(
                role=role, uses=len(actors), now_s=now_s, expires_s=now_s + _INVITE_S
            )
            for role in ("volunteer", "control")
        ]
    collector = CollectorProcess(
        data, log or folder / "collector.log", http=http or f"{HOST}:0", launcher=launcher
    )
    try:
        await collector.start()
        volunteers, controls = (format_invite(collector.grpc, keyring.pin, t) for t in tokens)
        version = await asyncio.to_thread(_read_plan_version, data)
        enrollment = AgentEnrollment(keyring.sealing.public, version, heartbeat_s)
        yield collector, InviteLines(volunteers, controls, enrollment)
    finally:
        await asyncio.shield(collector.kill())


def _read_plan_version(data: Path) -> int:
    """Read the version of the served plan, which a start may have replaced."""
    with closing(Fleet(data)) as fleet:
        current = load_current_plan(fleet)
    return 0 if current is None else current[0].version


def _write_enrolled(fleet: Fleet, enrolled: Mapping[bytes, float], now_s: int) -> None:
    with fleet.transaction() as db:
        db.executemany(
            "INSERT INTO agents (id, public_key, role, version, created_s)"
            " VALUES (?, ?, 'volunteer', ?, ?)",
            [
                (keys.agent_id(key), key, VERSION, now_s - int(days * DAY_S))
                for key, days in enrolled.items()
            ],
        )


def _collector_config(agents: int) -> dict[str, object]:
    """Build a configuration whose limits admit all agents and half-open sessions."""
    return {
        "control": {"endpoints": []},
        "intake": {"trusted_proxies": ["127.0.0.0/8"]},
        "limits": {
            "sessions": min(100_000, agents + agents // 2 + 100),
            "batches_per_hour": 100_000,
        },
    }


class WorkerError(Exception):
    """A worker process ended early; the message is a sentence."""


@dataclass(slots=True)
class WorkerPool:
    """The worker processes and the last counters of each."""

    processes: list[asyncio.subprocess.Process]
    counters_by_process: list[AgentCounters]
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def counters(self) -> AgentCounters:
        return sum_counters(self.counters_by_process)

    async def send_command(self, command: Command) -> None:
        line = msgspec.json.encode(command) + b"\n"
        for process in self.processes:
            await _write_line(process, line)

    async def wait_until(
        self, predicate: Callable[[AgentCounters], bool], deadline_s: float
    ) -> AgentCounters:
        """Wait until the summed counters match; return them. Raises TimeoutError."""
        async with asyncio.timeout(deadline_s), self._changed:
            while not predicate(counters := self.counters):
                await self._changed.wait()
        return counters

    async def read_counters(self, number: int) -> None:
        """Read the counters of one process until it is done. Raises WorkerError."""
        stdout = self.processes[number].stdout
        while stdout is not None and (line := await stdout.readline()):
            async with self._changed:
                self.counters_by_process[number] = msgspec.json.decode(line, type=AgentCounters)
                self._changed.notify_all()
        if not self.counters_by_process[number].done:
            raise WorkerError("A process of virtual agents ended early: see what it said above.")


@asynccontextmanager
async def start_workers(setups: Sequence[WorkerSetup]) -> AsyncIterator[WorkerPool]:
    """Start all processes and stop them at the end of the block."""
    processes: list[asyncio.subprocess.Process] = []
    try:
        for setup in setups:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _WORKER_CODE),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_MAX_LINE,
                env={**os.environ, **_WORKER_ENVIRONMENT},
                start_new_session=True,  # the parent handles Ctrl-C and closes stdin
            )
            processes.append(process)
            await _write_line(process, msgspec.json.encode(setup) + b"\n")
        yield WorkerPool(processes, [AgentCounters() for _ in setups])
    finally:
        for process in processes:
            await _stop_process(process)


async def _write_line(process: asyncio.subprocess.Process, line: bytes) -> None:
    """Write a line; `read_counters` reports a process that has ended."""
    if process.stdin is not None:
        with suppress(ConnectionError):
            process.stdin.write(line)
            await process.stdin.drain()


async def _stop_process(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
