"""Worker pool: start, command and read the processes of virtual agents."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import msgspec

from heliograph_lab.simulate.counters import AgentCounters, sum_counters
from heliograph_lab.simulate.worker import Command, WorkerSetup

_STOP_S = 0.5
_WORKER_CODE = "from heliograph_lab.simulate.worker import main; main()"
_MAX_LINE = 65_536


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
