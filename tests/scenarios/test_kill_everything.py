"""kill -9 of agent, collector and ingest process while results are sent.

Each is killed at random points, `HELIOGRAPH_KILLS` times. What must hold in the end: every
measurement the agent ever committed is in the store exactly once, and no agent is reported as
silent. Sequences are given without gaps by the spool's own transactions, so the store must hold 1 …
last.
"""

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.programs import age_agents, eventually, kill, started
from support.volunteer_world import World, listening_targets

KILLS = int(os.environ.get("HELIOGRAPH_KILLS", "4"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with listening_targets(240) as targets:
        yield World(tmp_path, targets, ingest_processes=1)


def kill_again_and_again(
    command: list[str], log: Path, seed: int, span: tuple[float, float], kills: list[float]
) -> None:
    """Kill a program at random moments, from before its first statement to full work."""
    rng = random.Random(seed)
    for _ in range(KILLS):
        with started(command, log) as process:
            life = rng.uniform(*span)
            time.sleep(life)  # the moment of the kill is the test's input, not its verdict
            kill(process)
            kills.append(life)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_committed_is_lost_and_nothing_is_counted_twice(world: World) -> None:
    world.prepare()
    age_agents(world.home / "data")  # a newcomer has no voice: its silence would tell nothing
    agent_kills: list[float] = []
    collector_kills: list[float] = []
    span = (0.05, 2.4)
    threads = [
        threading.Thread(target=kill_again_and_again, args=(command, log, seed, span, kills))
        for command, log, seed, kills in (
            (world.measure(), world.home / "agent.log", 1, agent_kills),
            (world.serve(), world.home / "serve.log", 2, collector_kills),
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with (
        started(world.serve(), world.home / "serve.log"),
        started(world.measure(), world.home / "agent.log") as measuring,
    ):
        eventually(world.up, "the collector after its last start")
        eventually(lambda: world.given() > 0, "a first measurement")
        outcome = drain(world, measuring)
    print(f"\nkill -9: agent {len(agent_kills)}, collector {len(collector_kills)}; {outcome}")
    assert len(agent_kills) == len(collector_kills) == KILLS
    assert outcome.committed > KILLS, "too few results flowed to prove anything"
    assert outcome.is_whole, "somebody was taken for silent because the collector was away"


@pytest.mark.skipif("HELIOGRAPH_KILLS" not in os.environ, reason="long: make soak")
@pytest.mark.timeout(3_600)
def test_ingest_process_alone_is_killed_and_nothing_is_lost(tmp_path: Path) -> None:
    """The pages answer all the while, from the same `serve`."""
    rng = random.Random(3)
    with listening_targets(240) as targets:
        world = World(tmp_path, targets, ingest_processes=1)
        world.prepare()
        age_agents(world.home / "data")
        with (
            started(world.serve(), world.home / "serve.log") as serving,
            started(world.measure(), world.home / "agent.log") as measuring,
        ):
            eventually(world.is_ready, "the collector")
            killed: set[int] = set()
            while len(killed) < KILLS:
                pid = eventually(lambda: find_ingest(serving.pid, killed), "another ingest process")
                killed.add(pid)
                time.sleep(rng.uniform(0.05, 6.0))  # from before its first line to full work
                os.kill(pid, signal.SIGKILL)
                assert world.up(), "the pages went with ingest"
            eventually(world.is_ready, "ingest after its last kill")
            outcome = drain(world, measuring)
    print(f"\nkill -9: ingest process {KILLS}; {outcome}")
    assert outcome.committed > KILLS, "too few results flowed to prove anything"
    assert outcome.is_whole


def find_ingest(serve: int, killed: Set[int]) -> int | None:
    """Return the ingest process of `serve` that was not killed yet, or None."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):  # it ended as we looked
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            is_child = parent == serve and int(process.name) not in killed
            if is_child and b"ingest_process" in (process / "cmdline").read_bytes():
                return int(process.name)
    return None


@dataclass(frozen=True)
class KillReport:
    committed: int
    stored: int
    lost: int
    twice: int
    reported: int

    @property
    def is_whole(self) -> bool:
        return not (self.lost or self.twice or self.reported)


def drain(world: World, measuring: "subprocess.Popen[bytes]") -> KillReport:
    """Stop measuring, let all be sent and stored, and count."""
    measuring.terminate()
    measuring.wait(timeout=60)
    eventually(lambda: is_spool_empty(world), "the spool drained")
    last_sequence = world.given()
    eventually(lambda: world.stored().total() >= last_sequence, "the store caught up")
    stored = world.stored()
    alerts = world.home / "data" / "alerts.jsonl"
    reported = alerts.read_text().splitlines() if alerts.exists() else []  # also if withdrawn
    return KillReport(
        committed=last_sequence,
        stored=stored.total(),
        lost=len(set(range(1, last_sequence + 1)) - stored.keys()),
        twice=sum(times > 1 for times in stored.values()),
        reported=len(reported),
    )


def is_spool_empty(world: World) -> bool:
    """Let the agent deliver, up to 30 s by `--once`; return if its spool is empty."""
    with started([*world.measure(), "--once"], world.home / "agent.log") as last:
        last.wait(timeout=120)
    return world.waiting() == 0
