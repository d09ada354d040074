"""The users and the audit trail of a collector, in files or on a real nats-server.

records = in_files(directory)
records.run("add", "vera", typed="a long password")
assert "vera" in records.read_people()
"""

import asyncio
import io
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from heliograph_collector import cli
from heliograph_collector.app.console_records import open_files, take_over_records
from heliograph_collector.app.shared_audit import LEAD
from heliograph_collector.app.shared_operators import SharedOperators
from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet import open_keyring
from heliograph_collector.fleet.audit_log import AuditEntry, parse_line
from heliograph_collector.fleet.operators import Operators, Person
from heliograph_collector.store.journal.opening import open_console
from support.intake import HOST
from support.nats_servers import NatsServers

BUILT_IN_PASSWORD = "the file's password"


@dataclass
class Records:
    """Records in the files of a data directory."""

    data: Path

    @property
    def options(self) -> list[str]:
        return ["--data", str(self.data)]

    def run(self, *words: str, typed: str = "") -> int:
        """Run the command `operator`; `typed` is its stdin."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", io.StringIO(typed))
            return cli.main(["operator", *words, *self.options])

    def read_people(self) -> dict[str, Person]:
        return Operators(open_files(self.data).operators, BUILT_IN_PASSWORD).read_people()

    def read_trail(self) -> list[AuditEntry]:
        """Return the entries, oldest first."""
        return open_files(self.data).trail.read_page(None, 1_000)[0][::-1]

    def read_stored(self) -> bytes:
        """Return all bytes on disk, as a thief would get them."""
        files = (self.data / "operators.json", self.data / "audit.jsonl")
        return b"".join(file.read_bytes() for file in files if file.exists())


@dataclass
class ServerRecords(Records):
    """Records on servers."""

    settings: JournalSettings

    @property
    def options(self) -> list[str]:
        return ["--config", str(self.data / "collector.yml"), *super().options]

    async def lead(self) -> None:
        async with AsyncExitStack() as stack:
            await take_over_records(Config(data=self.data), self.settings, 1, stack)

    def read_people(self) -> dict[str, Person]:
        async def read() -> dict[str, Person]:
            async with open_console(self.settings) as side:
                secret = open_keyring(self.data, [HOST]).secret
                document = SharedOperators(side.operators, secret)
                await document.update()
                return Operators(document, BUILT_IN_PASSWORD).read_people()

        return asyncio.run(read())

    def read_lines(self) -> list[bytes]:
        async def read() -> list[bytes]:
            async with open_console(self.settings) as side:
                return await side.audit.read_after(0)

        return asyncio.run(read())

    def read_trail(self) -> list[AuditEntry]:
        """Return the entries of commands, oldest first."""
        entries = (parse_line(line) for line in self.read_lines())
        return [entry for entry in entries if entry and entry.did != LEAD]

    def read_stored(self) -> bytes:
        async def read() -> bytes:
            async with open_console(self.settings) as side:
                return await side.operators.read() or b""

        return asyncio.run(read()) + b"".join(self.read_lines())


def in_files(data: Path) -> Records:
    return Records(data)


def on_servers(data: Path, servers: NatsServers, *, is_begun: bool = True) -> ServerRecords:
    """Open records under a new name on the servers, with keys and a configuration.

    If `is_begun`, a collector has led with them.
    """
    settings = servers.settings(f"t{uuid4().hex[:16]}")
    open_keyring(data, [HOST])
    (data / "collector.yml").write_text(
        f"store:\n  journal:\n    servers: [{', '.join(settings.urls)}]\n"
        f"    name: {settings.name}\n    replicas: {settings.replicas}\n"
    )
    records = ServerRecords(data, settings)
    if is_begun:
        asyncio.run(records.lead())
    return records
