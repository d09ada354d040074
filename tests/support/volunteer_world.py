"""One collector and a volunteer's agents that visit loopback, as real processes."""

import base64
import collections
import contextlib
import io
import json
import socket
import sqlite3
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from heliograph_agent import cli
from support import local_targets
from support.ports import free_port
from support.programs import agent, ask, collector, eventually, started


@contextlib.contextmanager
def listening_targets(count: int) -> Iterator[list[str]]:
    """Open many listening hosts: one host is visited at most once a second.

    They accept by backlog alone.
    """
    with contextlib.ExitStack() as stack:
        targets = [
            stack.enter_context(socket.create_server((f"127.0.1.{n}", 0), backlog=4_096))
            for n in range(1, count + 1)
        ]
        yield ["{}:{}".format(*target.getsockname()) for target in targets]


class World:
    """A data directory and a state directory, and the programs that work on them."""

    def __init__(
        self,
        home: Path,
        targets: list[str],
        heartbeat_s: int = 15,
        *,
        ingest_processes: int = 0,
    ) -> None:
        self.home = home
        self.grpc, self.http = free_port(), free_port()
        self.config = home / "collector.yml"
        # An agent that starts 200 times in five minutes closes more than an hour's batches.
        limits = {"batches_per_hour": 100_000}
        config = {
            "control": {"endpoints": []},
            "feed": {"k_anonymity": 1},
            "limits": limits,
            "intake": {"processes": ingest_processes},
        }
        self.config.write_text(yaml.safe_dump(config))
        self.plan = home / "plan.yml"
        tasks = [{"experiment": "tcp", "target": t, "interval_s": 10} for t in targets]
        limits = {"target_pause_s": 1, "concurrency": 8}
        plan = {"heartbeat_s": heartbeat_s, "limits": limits, "tasks": tasks}
        self.plan.write_text(yaml.safe_dump(plan))

    def serve(self) -> list[str]:
        return collector(
            "serve", "--data", self.home / "data", "--config", self.config,
            "--grpc", f"127.0.0.1:{self.grpc}", "--http", f"127.0.0.1:{self.http}",
        )  # fmt: skip

    def measure(self, name: str = "agent") -> list[str]:
        return agent("run", "--state", self.home / name)

    def prepare(self) -> None:
        """Set the plan first, so that no agent ever gets the default one; then join."""
        data = ("--data", self.home / "data")
        ask(collector("plan", "set", self.plan, *data))
        with started(self.serve(), self.home / "serve.log"):
            eventually(self.up, "the collector's first start")
            self.enroll()

    def enroll(self) -> None:
        """Join by an invite of the running collector."""
        data = ("--data", self.home / "data")
        invite = ask(collector("invite", *data, "--endpoint", f"127.0.0.1:{self.grpc}"))
        state = local_targets.allow(self.home / "agent")
        ask(agent("join", invite.strip(), "--yes", "--state", state))

    def get(self, path: str) -> bytes:
        password = (self.home / "data" / "keys" / "operator.password").read_text().strip()
        token = base64.b64encode(f"operator:{password}".encode()).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}{path}", headers={"Authorization": f"Basic {token}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            body: bytes = answer.read()
            return body

    def up(self, path: str = "/healthz") -> bool:
        try:
            self.get(path)
        except OSError:
            return False
        return True

    def is_ready(self) -> bool:
        return self.up("/readyz")

    def waiting(self, name: str = "agent") -> int:
        """Return how many measurements and envelopes the agent still holds."""
        status = self.read_status(name)
        return int(status["queued_measurements"]) + int(status["queued_envelopes"])

    def read_status(self, name: str = "agent") -> dict[str, Any]:
        """Ask in this process, which polls: a command is half a second of CPU."""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert cli.main(["status", "--json", "--state", str(self.home / name)]) == 0
        return dict(json.loads(out.getvalue()))

    def stored(self) -> collections.Counter[int]:
        """Return how often each sequence is in the store, by the API's listing."""
        seen: collections.Counter[int] = collections.Counter()
        cursor = ""
        while True:
            page = json.loads(self.get(f"/api/v1/measurements?limit=500{cursor}"))
            seen.update(int(row["sequence"]) for row in page["measurements"])
            if not page["next"]:
                return seen
            cursor = f"&cursor={page['next']}"

    def given(self) -> int:
        """Return the last sequence the spool ever gave."""
        with contextlib.closing(sqlite3.connect(self.home / "agent" / "spool.db")) as spool:
            query = "SELECT MAX(seq) FROM sqlite_sequence WHERE name LIKE 'measurement%'"
            (last,) = spool.execute(query).fetchone()
        return int(last)
