"""Open the parts of the NATS servers that each kind of cluster process uses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from heliograph_collector.store.journal.jetstream.bus import Bus, SharedLog, SharedTable
from heliograph_collector.store.journal.jetstream.connection import (
    PATIENCE_S,
    NatsConnection,
    ServerSettings,
)
from heliograph_collector.store.journal.jetstream.host_journal import (
    HostJournal,
    open_host_journal,
)
from heliograph_collector.store.journal.jetstream.journal import JetStreamJournal, open_owned
from heliograph_collector.store.journal.jetstream.lease import JournalLease
from heliograph_collector.store.journal.jetstream.shared_object import SharedObject
from heliograph_collector.store.journal.jetstream.shared_value import SharedValue

PUBLISHER_INBOX = "_PUBLISHER"  # else its user could read what others are answered


@dataclass(frozen=True, slots=True)
class LeadingJournal:
    """Server objects of the collector that leads."""

    journal: JetStreamJournal
    bus: Bus
    table: SharedTable
    log: SharedLog
    detectors: SharedObject
    notes: SharedObject
    revisions: SharedObject
    lease: JournalLease

    @property
    def term(self) -> int:
        """Return the number of this leadership: the next leader's is greater."""
        return self.lease.term

    async def wait_until_lost(self) -> None:
        """Wait until another collector leads."""
        await self.lease.lost.wait()


@dataclass(frozen=True, slots=True)
class HostSide:
    """Server objects of an ingest host; `name` is drawn for each run."""

    name: str
    journal: HostJournal
    bus: Bus
    table: SharedTable


@dataclass(frozen=True, slots=True)
class JudgeSide:
    """Server objects of a host that only judges: it writes nothing."""

    bus: Bus
    table: SharedTable


@dataclass(frozen=True, slots=True)
class PublishedSide:
    """Server objects of a host that only publishes: it writes nothing."""

    bus: Bus
    log: SharedLog


@dataclass(frozen=True, slots=True)
class ConsoleSide:
    """Console and notification state, kept for the next collector that leads."""

    operators: SharedValue
    audit: SharedLog
    alerts: SharedValue


@asynccontextmanager
async def open_leading_journal(
    settings: ServerSettings, data: Path
) -> AsyncIterator[LeadingJournal]:
    """Wait until no other collector leads, and lead inside the block.

    Raises JournalError, DirectoryInUseError.
    """
    async with open_owned(settings, data, waits=True) as (journal, lease):
        connection = journal.connection
        yield LeadingJournal(
            journal,
            Bus(connection, settings.name),
            await SharedTable.open(connection, settings),
            await SharedLog.open(connection, settings),
            await SharedObject.open(connection, settings, "detectors", lease.term),
            await SharedObject.open(connection, settings, "notes", lease.term),
            await SharedObject.open(connection, settings, "revisions", lease.term),
            lease,
        )


@asynccontextmanager
async def open_host_side(settings: ServerSettings) -> AsyncIterator[HostSide]:
    """Open all that an ingest host has inside the block. Raises JournalError."""
    async with open_host_journal(settings) as (name, journal, connection):
        table = await SharedTable.open(connection, settings)
        yield HostSide(name, journal, Bus(connection, settings.name), table)


@asynccontextmanager
async def open_published_side(settings: ServerSettings) -> AsyncIterator[PublishedSide]:
    """Connect as a host that only publishes, inside the block. Raises JournalError."""
    async with _connect(NatsConnection(settings, PUBLISHER_INBOX)) as connection:
        log = SharedLog(connection, f"{settings.name}-log")
        yield PublishedSide(Bus(connection, settings.name), log)


@asynccontextmanager
async def open_console_side(settings: ServerSettings) -> AsyncIterator[ConsoleSide]:
    """Connect as a console or a command inside the block. Raises JournalError."""
    async with _connect(NatsConnection(settings)) as connection:
        yield ConsoleSide(
            await SharedValue.open(connection, settings, "operators"),
            await SharedLog.open_audit(connection, settings),
            await SharedValue.open(connection, settings, "alerts"),
        )


@asynccontextmanager
async def open_judge_side(settings: ServerSettings) -> AsyncIterator[JudgeSide]:
    """Connect as a host that only judges, inside the block. Raises JournalError."""
    async with _connect(NatsConnection(settings)) as connection:
        table = await SharedTable.open(connection, settings)
        yield JudgeSide(Bus(connection, settings.name), table)


@asynccontextmanager
async def _connect(connection: NatsConnection) -> AsyncIterator[NatsConnection]:
    """Connect inside the block, and wait for each answer as long as a leader does."""
    try:
        await connection.open()
        connection.patience_s = PATIENCE_S
        yield connection
    finally:
        await connection.close()
