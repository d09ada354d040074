"""A real `heliograph-collector serve` in its own process."""

import http.client
import io
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import pytest

from heliograph_collector import cli
from heliograph_collector.cli import serve as serve_command
from heliograph_collector.ingest.grpc.server import LOGGER
from support.waiting import until_now

NO_CONTROL = "control:\n  endpoints: []\n"
# It starts sooner; ingest beside `serve` is tested where that is the subject, and in the lab.
NO_INGEST_PROCESS = "intake:\n  processes: 0\n"
ONE_PROCESS = NO_CONTROL + NO_INGEST_PROCESS
# Of one agent: those of tests send in a minute what others send in hours.
NO_QUOTA = "limits:\n  batches_per_hour: 100000\n"


@dataclass(frozen=True)
class Served:
    process: "subprocess.Popen[bytes]"
    data: Path
    log: Path

    @property
    def places(self) -> dict[str, object]:
        try:
            found = json.loads((self.data / "serving.json").read_text())
        except (OSError, ValueError):
            return {}
        return dict(found) if found.get("pid") == self.process.pid else {}

    @property
    def grpc_port(self) -> int:
        return int(str(self.places["grpc"]).rpartition(":")[2])

    def wait_for(self, door: str) -> None:
        """Wait for the port of `grpc` or `http`; fail with the log if the process ended."""
        until_now(lambda: door in self.places or self.process.poll() is not None)
        assert door in self.places, self.log.read_text()[-4_000:]

    def get(self, path: str, *, operator: bool = False) -> tuple[int, str]:
        connection = http.client.HTTPConnection(str(self.places["http"]), timeout=60)
        try:
            headers = {}
            if operator:
                password = (self.data / "keys" / "operator.password").read_text().strip()
                headers["Authorization"] = f"Bearer {password}"
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def list_loaded_files(self) -> str:
        return Path(f"/proc/{self.process.pid}/maps").read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(120)  # a starved machine loads the store first


def start(data: Path, *options: str, config: str = ONE_PROCESS) -> Served:
    """Start a collector on free ports; the caller ends it."""
    file = data.with_suffix(".yml")
    file.write_text(config)
    log = data.with_suffix(".log")
    command: Sequence[str] = [
        *(sys.executable, "-m", "heliograph_collector", "serve", "--data", str(data)),
        *("--config", str(file), "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"),
        *options,
    ]
    with log.open("ab") as output:
        return Served(subprocess.Popen(command, stdout=output, stderr=output), data, log)


def run_refused(data: Path, *options: str, config: str = ONE_PROCESS) -> str:
    """Run `serve` in this process, where it must refuse to start; return its sentence.

    Another process would load all of a collector for it.
    """
    file = data.with_suffix(".yml")
    file.write_text(config)
    command = ["serve", "--data", str(data), "--config", str(file)]
    places = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(said):
        patch.setattr(serve_command, "configure_logging", lambda _format: None)
        patch.setattr(logging.getLogger(LOGGER), "filters", [])
        assert cli.main([*command, *places, *options]) == 1
    assert "Traceback" not in said.getvalue()
    return said.getvalue()


@contextmanager
def served(data: Path, *options: str, config: str = ONE_PROCESS) -> Iterator[Served]:
    """Run a collector; end it and print its log, whatever happens."""
    found = start(data, *options, config=config)
    try:
        found.wait_for("grpc")
        yield found
    finally:
        if found.process.poll() is None:
            found.process.terminate()
        try:
            found.process.wait(20)
        except subprocess.TimeoutExpired:
            found.process.kill()
            found.process.wait()
        print(found.log.read_text()[-4_000:])
