"""A cluster of real processes: three nats-servers, ingest hosts and collectors.

    with cluster(directory) as running:
        running.start_leader(0)
        running.start_host(0)

Agents are `support.intake.Caller`s; whichever host takes them, their rows are in one stream.
"""

import asyncio
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from nats.js.errors import NotFoundError

from heliograph.durable_file import read_lines
from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.fleet import Fleet, Keyring, open_keyring
from heliograph_collector.incidents.log_file import LOG_FILE_NAME, Proof, verify_lines
from heliograph_collector.model.records import JournalRow
from heliograph_collector.store.journal.jetstream.bus import SharedLog
from heliograph_collector.store.journal.jetstream.connection import NatsConnection
from heliograph_collector.store.journal.jetstream.follower import StreamFollower
from heliograph_collector.store.journal.jetstream.stored_rows import build_row, decode_message
from support.intake import HOST, create_invite
from support.nats_servers import NatsServers, nats_servers
from support.serve_process import NO_CONTROL, NO_QUOTA, Served, start

PUBLISH = "publish"
JUDGE = "judge"
ALONE = "judge:\n  workers: 0\n"  # a leader without judge processes
LEADING = "judge,detect,publish,console,jobs"
NAME = "heliograph"


@dataclass
class IngestHost:
    """The address and keys of one ingest host, as a caller needs them."""

    served: Served
    keyring: Keyring
    running: "Cluster"

    @property
    def endpoint(self) -> str:
        return str(self.served.places["grpc"])

    def invite(self) -> bytes:
        with closing(Fleet(self.running.leaders[self.running.find_leader()].data)) as fleet:
            return create_invite(fleet)


@dataclass
class Cluster:
    directory: Path
    servers: NatsServers
    leaders: dict[int, Served] = field(default_factory=dict)
    hosts: dict[int, IngestHost] = field(default_factory=dict)
    publishers: dict[int, Served] = field(default_factory=dict)
    judges: dict[int, Served] = field(default_factory=dict)
    store_url: str = ""  # "" for one embedded in each collector that leads
    k_anonymity: int = 5

    @property
    def settings(self) -> JournalSettings:
        return self.servers.settings(NAME)

    @property
    def keyring(self) -> Keyring:
        return open_keyring(self.directory / "leader0", [HOST])

    def start_leader(self, number: int, options: str = "") -> Served:
        data = self._create_data(f"leader{number}")
        config = self.build_config() + options
        served = self.leaders[number] = start(data, "--roles", LEADING, config=config)
        return served

    def start_host(self, number: int) -> IngestHost:
        data = self._create_data(f"host{number}")
        address = f"127.0.0.{10 + number}:0"  # a separate one, as on another machine
        served = start(data, "--roles", "ingest", "--grpc", address, config=self.build_config())
        served.wait_for("grpc")
        host = self.hosts[number] = IngestHost(served, self.keyring, self)
        return host

    def start_publisher(self, number: int) -> Served:
        """Start a host that only publishes; its directory is empty, without a key."""
        data = self.directory / f"publisher{number}"
        data.mkdir(exist_ok=True)
        served = self.publishers[number] = start(
            data, "--roles", PUBLISH, config=self.build_config()
        )
        return served

    def start_judge(self, number: int) -> Served:
        """Start a host that offers one judge process."""
        data = self._create_data(f"judge{number}")
        config = f"{self.build_config()}judge:\n  workers: 1\n"
        served = self.judges[number] = start(data, "--roles", JUDGE, config=config)
        served.wait_for("roles")
        return served

    async def run_command(self, number: int, *words: str, typed: str = "") -> str:
        """Run a command on the machine of a collector; return what it prints."""
        data = self.leaders[number].data
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "heliograph_collector", *words),
            *("--data", str(data), "--config", str(data.with_suffix(".yml"))),
            stdin=PIPE, stdout=PIPE,
        )  # fmt: skip
        printed, _ = await command.communicate(typed.encode() + b"\n")
        assert command.returncode == 0
        return printed.decode()

    def find_leader(self) -> int:
        """Return the number of the collector that leads."""
        return next(n for n, served in self.leaders.items() if "http" in served.places)

    def kill(self, served: Served) -> None:
        served.process.kill()
        served.process.wait()

    def verify_log(self, number: int) -> Proof:
        file = self.directory / f"leader{number}" / LOG_FILE_NAME
        return verify_lines(read_lines(file), self.keyring.log.public)

    def stop(self) -> None:
        ingest = [host.served for host in self.hosts.values()]
        beside = [*self.publishers.values(), *self.judges.values()]
        everyone = [*self.leaders.values(), *ingest, *beside]
        for served in everyone:
            if served.process.poll() is None:
                served.process.kill()
            served.process.wait()
        for served in everyone:
            print(served.log, served.log.read_text()[-3_000:], sep="\n")

    def _create_data(self, name: str) -> Path:
        data = self.directory / name
        keys = self.directory / "leader0" / "keys"
        if not (data / "keys").exists():
            open_keyring(self.directory / "leader0", [HOST])
            if data != self.directory / "leader0":
                shutil.copytree(keys, data / "keys")
        return data

    def build_config(self) -> str:
        urls = ",".join(self.settings.urls)
        url = f"  url: {self.store_url}\n" if self.store_url else ""
        feed = f"feed:\n  k_anonymity: {self.k_anonymity}\n"
        return f"{NO_CONTROL}{NO_QUOTA}{feed}store:\n  journal: {urls}\n{url}"


@contextmanager
def cluster(
    directory: Path, brokers: int = 3, *, store_url: str = "", k_anonymity: int = 5
) -> Iterator[Cluster]:
    (directory / "nats").mkdir()
    with nats_servers(directory / "nats", brokers) as servers:
        running = Cluster(directory, servers, store_url=store_url, k_anonymity=k_anonymity)
        try:
            yield running
        finally:
            running.stop()


@asynccontextmanager
async def open_connection(running: Cluster) -> AsyncIterator[NatsConnection]:
    connection = NatsConnection(running.settings)
    await connection.open()
    try:
        yield connection
    finally:
        await connection.close()


async def read_rows(running: Cluster) -> list[JournalRow]:
    """Read all rows of the journal's stream, in order."""
    async with open_connection(running) as connection:
        entries = await StreamFollower(connection, NAME, f"{NAME}.>").read_new()
    return [build_row(e.position, decode_message(e.position, e.content)) for e in entries]


async def read_log(running: Cluster) -> list[bytes]:
    """Read the entries of the shared alert log."""
    async with open_connection(running) as connection:
        log = await SharedLog.open(connection, running.settings)
        return await log.read_after(0)


async def read_audit(running: Cluster) -> list[bytes]:
    """Read the lines of the shared audit trail."""
    async with open_connection(running) as connection:
        log = await SharedLog.open_audit(connection, running.settings)
        return await log.read_after(0)


async def is_handed_over(running: Cluster) -> bool:
    """Return whether the servers hold the state of some leader's detectors."""
    keys = f"$KV.{NAME}-state.detectors.>"
    async with open_connection(running) as connection:
        info = await connection.ask(
            connection.js.stream_info, f"KV_{NAME}-state", subjects_filter=keys
        )
    return bool(info.state.subjects)


async def count_rows(connection: NatsConnection) -> int:
    """Count the rows of the journal's stream; 0 where there is none."""
    with suppress(NotFoundError):
        info = await connection.ask(connection.js.stream_info, NAME)
        return info.state.messages
    return 0


async def find_leading_broker(running: Cluster) -> int:
    """Return the number of the server that leads the journal's stream."""
    async with open_connection(running) as connection:
        info = await connection.ask(connection.js.stream_info, NAME)
    assert info.cluster is not None
    assert info.cluster.leader is not None
    return int(info.cluster.leader.removeprefix("n"))
