"""kill -9 of the agent and of the collector at random points, `HELIOGRAPH_KILLS` times each, while
results flow.

What must hold in the end: every measurement the agent ever committed is in the store exactly once,
and nobody is reported as silent.
Sequences are given without gaps by the spool's own transactions, so the store must hold 1 … last.
"""

import base64
import collections
import contextlib
import json
import os
import random
import socket
import sqlite3
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support import local_targets
from support.ports import free_port
from support.programs import agent, ask, collector, eventually, kill, started

KILLS = int(os.environ.get("HELIOGRAPH_KILLS", "24"))


class World:
    """One data directory and one state directory, and how to start what works on them."""

    def __init__(self, home: Path, targets: list[str]) -> None:
        self.home = home
        self.grpc, self.http = free_port(), free_port()
        self.config = home / "collector.yml"
        # An agent that starts 200 times in five minutes closes more than an hour's batches.
        limits = {"batches_per_hour": 100_000}
        config = {"control": {"endpoints": []}, "feed": {"k_anonymity": 1}, "limits": limits}
        self.config.write_text(yaml.safe_dump(config))
        self.plan = home / "plan.yml"
        tasks = [{"experiment": "tcp", "target": t, "interval_s": 10} for t in targets]
        plan = {"limits": {"target_pause_s": 1, "concurrency": 8}, "tasks": tasks}
        self.plan.write_text(yaml.safe_dump(plan))

    def serve(self) -> list[str]:
        return collector(
            "serve", "--data", self.home / "data", "--config", self.config,
            "--grpc", f"127.0.0.1:{self.grpc}", "--http", f"127.0.0.1:{self.http}",
        )  # fmt: skip

    def measure(self) -> list[str]:
        return agent("run", "--state", self.home / "agent")

    def prepare(self) -> None:
        """Set the plan first, so that no agent ever gets the default one; then join."""
        data = ("--data", self.home / "data")
        ask(collector("plan", "set", self.plan, *data))
        with started(self.serve(), self.home / "serve.log"):
            eventually(self.up, "the collector's first start")
            invite = ask(collector("invite", *data, "--endpoint", f"127.0.0.1:{self.grpc}"))
            state = local_targets.allow(self.home / "agent")
            ask(agent("join", invite.strip(), "--yes", "--state", state))

    def get(self, path: str) -> bytes:
        password = (self.home / "data" / "keys" / "operator.password").read_text().strip()
        token = base64.b64encode(f"operator:{password}".encode()).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}{path}", headers={"Authorization": f"Basic {token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            body: bytes = answer.read()
            return body

    def up(self) -> bool:
        try:
            self.get("/healthz")
        except OSError:
            return False
        return True

    def waiting(self) -> int:
        """Measurements and envelopes that the agent still holds."""
        counts = json.loads(ask(agent("status", "--json", "--state", self.home / "agent")))
        return int(counts["queued_measurements"]) + int(counts["queued_envelopes"])

    def stored(self) -> collections.Counter[int]:
        """How often each sequence is in the store, by the API's own listing."""
        seen: collections.Counter[int] = collections.Counter()
        cursor = ""
        while True:
            page = json.loads(self.get(f"/api/v1/measurements?limit=500{cursor}"))
            seen.update(int(row["sequence"]) for row in page["measurements"])
            if not page["next"]:
                return seen
            cursor = f"&cursor={page['next']}"

    def given(self) -> int:
        """The last sequence the spool ever gave."""
        with contextlib.closing(sqlite3.connect(self.home / "agent" / "spool.db")) as spool:
            query = "SELECT MAX(seq) FROM sqlite_sequence WHERE name LIKE 'measurement%'"
            (last,) = spool.execute(query).fetchone()
        return int(last)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Many hosts, since one host is visited once a second; they accept by backlog alone."""
    with contextlib.ExitStack() as stack:
        targets = [
            stack.enter_context(socket.create_server((f"127.0.1.{n}", 0), backlog=4_096))
            for n in range(1, 241)
        ]
        yield World(tmp_path, ["{}:{}".format(*target.getsockname()) for target in targets])


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
        measuring.wait(timeout=30)
        once = [*world.measure(), "--once"]
        with started(once, world.home / "agent.log") as last:
            last.wait(timeout=120)
        eventually(lambda: world.waiting() == 0, "the spool drained", 120)
        last_sequence = world.given()
        eventually(lambda: world.stored().total() >= last_sequence, "the store caught up", 120)
        stored = world.stored()
        incidents = json.loads(world.get("/api/v1/incidents"))["incidents"]
    lost = set(range(1, last_sequence + 1)) - stored.keys()
    twice = [sequence for sequence, times in stored.items() if times > 1]
    print(
        f"\nkill -9: agent {len(agent_kills)}, collector {len(collector_kills)}; "
        f"measurements committed {last_sequence}, stored {sum(stored.values())}, "
        f"lost {len(lost)}, twice {len(twice)}"
    )
    assert len(agent_kills) == len(collector_kills) == KILLS
    assert last_sequence > KILLS, "too few results flowed to prove anything"
    assert not lost
    assert not twice
    assert not incidents, "somebody was taken for silent because the collector was away"
