"""Open the journal that the configuration names."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph_collector.store.journal.journal import Journal, JournalError
from heliograph_collector.store.journal.protocol import JournalProtocol

if TYPE_CHECKING:
    from heliograph_collector.store.journal.jetstream.connection import ServerSettings

FILE = "journal.db"


@asynccontextmanager
async def open_journal(
    data: Path, servers: "ServerSettings | None"
) -> AsyncIterator[JournalProtocol]:
    """Open the journal inside the block: in the data directory, or on servers.

    Raises JournalError, DirectoryInUseError.
    """
    if servers is None:
        journal = Journal(data / FILE)
        try:
            yield journal
        finally:
            await journal.close()
        return
    if (data / FILE).exists():
        raise JournalError(
            f"{data / FILE} holds the journal of this collector, and store.journal names servers: "
            "take store.journal out again, or begin with an empty --data directory."
        )
    with _explain_missing_library():
        from heliograph_collector.store.journal.jetstream.journal import open_jetstream
    async with open_jetstream(servers, data) as jetstream_journal:
        yield jetstream_journal


async def describe_servers(servers: "ServerSettings") -> str:
    """Return a sentence on copies of the journal that are missing or behind, "" if all is well.

    Raises JournalError.
    """
    with _explain_missing_library():
        from heliograph_collector.store.journal.jetstream.replicas import describe_replicas
    return await describe_replicas(servers)


@contextmanager
def _explain_missing_library() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise JournalError(
            f"store.journal wants the library {error.name}: pip install '.[cluster]'."
        ) from error
