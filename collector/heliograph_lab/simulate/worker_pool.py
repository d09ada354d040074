"""The processes of virtual agents, from the parent's side."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import msgspec

from heliograph_lab.simulate.counters import Tally, added
from heliograph_lab.simulate.worker import Part, Word

_STOP_S = 0.5
_PART = "from heliograph_lab.simulate.worker import main; main()"
_MAX_LINE = 65_536


class PartError(Exception):
    """A process of agents ended before its time; the text is a sentence."""


@dataclass(slots=True)
class Troupe:
    processes: list[asyncio.subprocess.Process]
    tallies: list[Tally]
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def tally(self) -> Tally:
        return added(self.tallies)

    async def say(self, word: Word) -> None:
        line = msgspec.json.encode(word) + b"\n"
        for process in self.processes:
            await _write(process, line)

    async def until(self, true: Callable[[Tally], bool], deadline_s: float) -> Tally:
        """Raises TimeoutError."""
        async with asyncio.timeout(deadline_s), self._changed:
            await self._changed.wait_for(lambda: true(self.tally))
        return self.tally

    async def listen(self, number: int) -> None:
        """To one process, until it is done. Raises PartError."""
        stdout = self.processes[number].stdout
        while stdout is not None and (line := await stdout.readline()):
            async with self._changed:
                self.tallies[number] = msgspec.json.decode(line, type=Tally)
                self._changed.notify_all()
        if not self.tallies[number].done:
            raise PartError("A process of virtual agents ended early: see what it said above.")


@asynccontextmanager
async def troupe(parts: Sequence[Part]) -> AsyncIterator[Troupe]:
    """All processes, ended at the end of the block, whatever happens."""
    processes: list[asyncio.subprocess.Process] = []
    try:
        for part in parts:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _PART),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_MAX_LINE,
                start_new_session=True,  # Ctrl-C is the parent's to pass on, by closing stdin
            )
            processes.append(process)
            await _write(process, msgspec.json.encode(part) + b"\n")
        yield Troupe(processes, [Tally() for _ in parts])
    finally:
        for process in processes:
            await _end(process)


async def _write(process: asyncio.subprocess.Process, line: bytes) -> None:
    """One that has ended is told of by whoever listens to it."""
    if process.stdin is not None:
        with suppress(ConnectionError):
            process.stdin.write(line)
            await process.stdin.drain()


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
