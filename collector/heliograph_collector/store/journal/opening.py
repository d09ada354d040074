"""Open the journal that the configuration names."""

import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph_collector.store.journal.journal import Journal, JournalError
from heliograph_collector.store.journal.moved_journal import (
    FILE,
    MovedJournal,
    check_not_moved,
    find_old_file,
)
from heliograph_collector.store.journal.protocol import OwnedJournal

if TYPE_CHECKING:
    from heliograph_collector.store.journal.jetstream.cluster import (
        ConsoleSide,
        HostSide,
        JudgeSide,
        LeadingJournal,
        PublishedSide,
    )
    from heliograph_collector.store.journal.jetstream.connection import ServerSettings


@asynccontextmanager
async def open_journal(data: Path, servers: "ServerSettings | None") -> AsyncIterator[OwnedJournal]:
    """Open the journal inside the block: in the data directory, or on servers.

    Raises JournalError, DirectoryInUseError.
    """
    if servers is None:
        check_not_moved(data)
        journal = Journal(data / FILE)
        try:
            yield journal
        finally:
            await journal.close()
        return
    _check_moved(data)
    with _explain_missing_library():
        from heliograph_collector.store.journal.jetstream.journal import open_jetstream
    async with open_jetstream(servers, data) as jetstream_journal:
        yield jetstream_journal


@asynccontextmanager
async def open_leading(servers: "ServerSettings", data: Path) -> "AsyncIterator[LeadingJournal]":
    """Wait until no other collector leads, then own the journal inside the block.

    Raises JournalError, DirectoryInUseError.
    """
    _check_moved(data)
    with _explain_missing_library():
        from heliograph_collector.store.journal.jetstream.cluster import open_leading_journal
    async with open_leading_journal(servers, data) as leading:
        yield leading


@asynccontextmanager
async def open_beside_hosts(servers: "ServerSettings") -> "AsyncIterator[HostSide]":
    """Open the journal as one of many ingest hosts inside the block.

    Raises JournalError.
    """
    with _explain_missing_library():
        from heliograph_collector.store.journal.jetstream.cluster import open_host_side
    async with open_host_side(servers) as host:
        yield host


@asynccontextmanager
async def open_published(servers: "ServerSettings") -> "AsyncIterator[PublishedSide]":
    """Open, inside the block, the data that a host that only publishes reads.

    Raises JournalError.
    """
    with _explain_missing_library():
        from heliograph_collector.store.journal.jetstream.cluster import open_published_side
    async with open_published_side(servers) as published:
        yield published


@asynccontextmanager
async def open_console(servers: "ServerSettings") -> "AsyncIterator[ConsoleSide]":
    """Open the users and the audit trail inside the block. Raises JournalError."""
    with _explain_missing_library():
        from heliograph_collector.store.journal.jetstream.cluster import open_console_side
    async with open_console_side(servers) as side:
        yield side


@asynccontextmanager
async def open_to_judge(servers: "ServerSettings") -> "AsyncIterator[JudgeSide]":
    """Open what a host that only judges needs, inside the block. Raises JournalError."""
    with _explain_missing_library():
        from heliograph_collector.store.journal.jetstream.cluster import open_judge_side
    async with open_judge_side(servers) as side:
        yield side


def _check_moved(data: Path) -> None:
    """Check that no journal is left in the data directory. Raises JournalError."""
    if (data / FILE).exists():
        raise JournalError(
            f"{data / FILE} holds the journal of this collector, and store.journal names servers: "
            "move it there by `heliograph-collector migrate`, or take store.journal out again."
        )


async def describe_servers(servers: "ServerSettings") -> str:
    """Describe copies of the journal that are missing or behind, "" if all is well.

    Raises JournalError.
    """
    with _explain_missing_library():
        from heliograph_collector.store.journal.jetstream.replicas import describe_replicas
    return await describe_replicas(servers)


async def describe_leader(servers: "ServerSettings") -> str:
    """Return the machine and the term of the journal's leaseholder, "" if it has none.

    Raises JournalError.
    """
    with _explain_missing_library():
        from heliograph_collector.store.journal.jetstream.replicas import describe_holder
    return await describe_holder(servers)


async def copy_from_servers(servers: "ServerSettings", data: Path, file: Path) -> None:
    """Copy a journal on servers into a new file. Raises JournalError, sqlite3.Error.

    Args:
        data: The data directory of the collector that leads.
    """
    with _explain_missing_library():
        from heliograph_collector.store.journal.jetstream.copying import copy_journal
    await copy_journal(servers, data, file)


def read_journal_id(data: Path) -> str:
    """Return the id of the journal in a data directory. Raises JournalError."""
    file = find_old_file(data)
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return str(db.execute("SELECT id FROM journal").fetchone()[0])
    except (sqlite3.Error, TypeError) as error:
        raise JournalError(f"{file} cannot be read ({error}).") from error


async def move_to_servers(
    servers: "ServerSettings", data: Path, marks: Mapping[str, int]
) -> MovedJournal:
    """Move the journal of a stopped collector to servers, and rename its file.

    Args:
        marks: Positions that others hold, by who holds them: the store's cursor, for example.

    Raises JournalError, DirectoryInUseError; the old journal is then as it was.
    """
    with _explain_missing_library():
        from heliograph_collector.store.journal.jetstream.migration import move_journal
    return await move_journal(servers, data, marks)


@contextmanager
def _explain_missing_library() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise JournalError(
            f"store.journal wants the library {error.name}: pip install '.[cluster]'."
        ) from error
