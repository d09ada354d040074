"""kill -9 of the agent and of the collector at random points, `HELIOGRAPH_KILLS` times each, while
results flow.

What must hold in the end: every measurement the agent ever committed is in the store exactly once,
and nobody is reported as silent.
Sequences are given without gaps by the spool's own transactions, so the store must hold 1 … last.
"""

import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.programs import age_agents, eventually, kill, started
from support.volunteer_world import World, listening_targets

KILLS = int(os.environ.get("HELIOGRAPH_KILLS", "10"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with listening_targets(240) as targets:
        yield World(tmp_path, targets)


def kill_again_and_again(
    command: list[str], log: Path, seed: int, span: tuple[float, float], kills: list[float]
) -> None:
    """Each life ends at a moment of its own, from before the first statement to full work."""
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
        measuring.terminate()
        measuring.wait(timeout=60)
        once = [*world.measure(), "--once"]
        with started(once, world.home / "agent.log") as last:
            last.wait(timeout=120)
        eventually(lambda: world.waiting() == 0, "the spool drained", 120)
        last_sequence = world.given()
        eventually(lambda: world.stored().total() >= last_sequence, "the store caught up", 120)
        stored = world.stored()
        alerts = world.home / "data" / "alerts.jsonl"
        reported = alerts.read_text().splitlines() if alerts.exists() else []  # also if withdrawn
    lost = set(range(1, last_sequence + 1)) - stored.keys()
    twice = [sequence for sequence, times in stored.items() if times > 1]
    print(
        f"\nkill -9: agent {len(agent_kills)}, collector {len(collector_kills)}; "
        f"measurements committed {last_sequence}, stored {sum(stored.values())}, "
        f"lost {len(lost)}, twice {len(twice)}, reported {len(reported)}"
    )
    assert len(agent_kills) == len(collector_kills) == KILLS
    assert last_sequence > KILLS, "too few results flowed to prove anything"
    assert not lost
    assert not twice
    assert not reported, "somebody was taken for silent because the collector was away"
