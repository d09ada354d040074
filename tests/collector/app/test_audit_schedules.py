"""The audit trail while leaders change or hang, and answers of servers are lost.

Schedules are drawn at random over a model of the servers' log. A line that was acknowledged is
there once; after a leader's first line none of the leader before follows; the last leader's file is
the log.
"""

import random
from os import environ
from pathlib import Path

import pytest

from heliograph_collector.app.shared_audit import LEAD, SharedAudit
from heliograph_collector.fleet.audit_log import FILE_NAME, format_line, parse_line
from heliograph_collector.store.journal.journal import FencedError, JournalBusyError, JournalError

SEED = int(environ.get("HELIOGRAPH_SEED", "1"))
SCHEDULES = int(environ.get("HELIOGRAPH_CLUSTER_SIMULATIONS", "30"))
STEPS = 40


class Servers:
    """The log, as `SharedLog` has it, with answers that are lost by chance."""

    def __init__(self, rng: random.Random) -> None:
        self.lines: list[bytes] = []
        self.is_faulty = True
        self._rng = rng

    async def count(self) -> int:
        return len(self.lines)

    async def read_after(self, number: int) -> list[bytes]:
        self._fail(0.05)
        return self.lines[number:]

    async def append(self, number: int, line: bytes) -> None:
        self._fail(0.1)
        if len(self.lines) == number - 1:
            self.lines.append(line)
            self._fail(0.1)  # it is stored, and the answer is lost
        elif self.lines[number - 1 : number] != [line]:
            raise FencedError("Another collector leads.")

    def _fail(self, chance: float) -> None:
        if self.is_faulty and self._rng.random() < chance:
            raise JournalBusyError("No answer.")


class Leader:
    """A process that leads, or did so and does not know better."""

    def __init__(self, servers: Servers, data: Path, term: int) -> None:
        self.name = f"leader {term}"
        self.term = term
        self.data = data
        self._audit = SharedAudit(servers, term)

    async def begin(self) -> None:
        await self._audit.take_over(self.data, self.term * 1_000_000)

    async def append(self, line: bytes) -> None:
        lines = await self._audit.append(line)
        with (self.data / FILE_NAME).open("ab") as file:
            file.writelines(one + b"\n" for one in lines)


class World:
    """Three machines, of which one leads, and commands anywhere."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._directory = directory
        self._rng = random.Random(seed)
        self.servers = Servers(self._rng)
        self._leaders: list[Leader] = []  # all that were not killed, the present one last
        self._number = 0
        self._term = 0
        self.acknowledged: list[bytes] = []

    async def change_leader(self) -> None:
        """Let another process lead; the one before was killed, or hangs for some time."""
        self._term += self._rng.randint(1, 3)
        machine = self._directory / self._rng.choice("abc")
        machine.mkdir(exist_ok=True)
        if self._leaders and self._rng.random() < 0.5:
            self._leaders.pop()
        self._leaders = [one for one in self._leaders if one.data != machine]  # it has a lock
        leader = Leader(self.servers, machine, self._term)
        try:
            await leader.begin()
        except JournalError:
            return  # it ends; the next one tries
        self._leaders.append(leader)

    async def act(self, leader: Leader) -> None:
        line = self._draw_line(leader.name)
        try:
            await leader.append(line)
        except JournalError:
            return
        self.acknowledged.append(line)

    async def run_command(self) -> None:
        command = SharedAudit(self.servers)
        line = self._draw_line("command line")
        await command.start()
        try:
            await command.append(line)
        except JournalError:
            return
        self.acknowledged.append(line)

    def _draw_line(self, actor: str) -> bytes:
        self._number += 1
        return format_line(self._number * 1_000_000, actor, f"act.{self._number}")

    async def run(self) -> None:
        for _ in range(STEPS):
            draw = self._rng.random()
            if draw < 0.15 or not self._leaders:
                await self.change_leader()
            elif draw < 0.3:
                await self.run_command()
            else:  # mostly the one that leads; sometimes one that did
                rest = self._leaders if draw > 0.8 else self._leaders[-1:]
                await self.act(self._rng.choice(rest))

    async def end(self) -> Path:
        """Let a last one lead, with nothing in its way; return its machine."""
        self.servers.is_faulty = False
        machine = self._directory / "a"
        machine.mkdir(exist_ok=True)
        await Leader(self.servers, machine, self._term + 1).begin()
        return machine


@pytest.mark.parametrize("seed", range(SEED, SEED + SCHEDULES))
async def test_trail_is_one_whatever_happens(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    await world.run()
    machine = await world.end()
    lines = world.servers.lines
    assert (machine / FILE_NAME).read_bytes().splitlines() == lines
    for line in world.acknowledged:
        assert lines.count(line) == 1
    leading = 0
    for line in lines:
        entry = parse_line(line)
        assert entry is not None
        if entry.did == LEAD:
            leading = max(leading, int(entry.about.removeprefix("term ")))
        elif entry.who.startswith("leader"):
            assert int(entry.who.removeprefix("leader ")) >= leading, "it was replaced"
