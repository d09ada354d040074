"""The journal in SQLite as a process sees it that does not write its rows.

Another process appends, and tells how far it has come. This one reads, and deletes what is old. Its
deletes are short transactions of SQLite, between which those of the writer find their turn.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from heliograph.units import SECOND_US
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.disk_errors import describe_database_error
from heliograph_collector.store.journal import tables as table
from heliograph_collector.store.journal.group_commit import JournalError
from heliograph_collector.store.journal.journal import ENVELOPES_KEPT_US

MAX_MARK_AGE_US = 30 * SECOND_US  # the writer marks itself alive each 5 s; assumed: six are no slip

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")


class SharedJournal:
    """Journal file of which another process is the writer, which has opened it before."""

    envelopes_kept_us = ENVELOPES_KEPT_US

    def __init__(self, path: Path) -> None:
        """Open the file. Raises JournalError."""
        try:
            self._db = table.open_database(path, 0, durable=False)
            self.id: str = self._db.execute("SELECT id FROM journal").fetchone()[0]
            self.alive_before_us = table.read_last_alive_us(self._db)
            self.expiry_before_us = table.read_expiry_us(self._db)
            self._position = table.read_last_position(self._db)
        except sqlite3.Error as error:
            raise JournalError(describe_database_error(f"The journal {path}", error)) from error
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")
        self._grown = asyncio.Condition()

    @property
    def position(self) -> int:
        """Return the highest position that the writer told of."""
        return self._position

    async def note_position(self, position: int) -> None:
        """Take note of the writer's last commit, and wake who waits for it."""
        async with self._grown:
            self._position = max(self._position, position)
            self._grown.notify_all()

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        """Wait for a commit after `position`; return False on timeout."""
        try:
            async with asyncio.timeout(timeout_s), self._grown:
                await self._grown.wait_for(lambda: self._position > position)
        except TimeoutError:
            return False
        return True

    async def read(
        self,
        after: int,
        limit: int,
        *,
        limit_bytes: int = 16_777_216,
        kinds: Collection[RowKind] | None = None,
    ) -> list[JournalRow]:
        """Read rows after a position in order, as `Journal.read` does. Raises JournalError."""
        return await self._run(table.read_rows, after, limit, limit_bytes, kinds)

    async def read_body(self, agent: bytes, sequence: int) -> bytes | None:
        """Read the body of a stored envelope, None if it was trimmed. Raises JournalError."""
        return await self._run(table.read_body, agent, sequence)

    async def mark_alive(self, at_us: int) -> None:
        """Check that the writer has marked itself alive; it alone knows whether it hears agents.

        Raises JournalError if its last mark is too old.
        """
        age_us = at_us - await self._run(table.read_last_alive_us)
        if age_us > MAX_MARK_AGE_US:
            raise JournalError(f"Ingest has written nothing for {age_us // SECOND_US} s.")

    async def mark_expiry(self, at_us: int) -> None:
        """Record the expiry time; not synced. Raises JournalError."""
        await self._run(table.mark_expiry, at_us)

    async def trim(
        self, max_position: int, received_before_us: int, presence_before_us: int | None = None
    ) -> int:
        """Delete older rows, as `Journal.trim` does. Raises JournalError."""
        deletes = [table.OldRowDelete(table.ENVELOPE_CONDITION, max_position, received_before_us)]
        if presence_before_us is not None:
            deletes.append(
                table.OldRowDelete(table.PRESENCE_CONDITION, max_position, presence_before_us)
            )
        return sum([await self._delete_all(delete) for delete in deletes])

    async def close(self) -> None:
        await self._run(sqlite3.Connection.close)
        self._pool.shutdown()

    async def _delete_all(self, delete: table.OldRowDelete) -> int:
        total = 0
        while True:
            trimmed_count = await self._run(_commit_delete, delete)
            total += trimmed_count
            if trimmed_count < table.ROW_LIMIT:
                return total

    async def _run(
        self, operation: Callable[[sqlite3.Connection, *_Args], _T], *args: *_Args
    ) -> _T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, operation, self._db, *args)
        except sqlite3.Error as error:
            raise JournalError(f"The journal cannot be used: {error}.") from error


def _commit_delete(db: sqlite3.Connection, delete: table.OldRowDelete) -> int:
    db.execute("BEGIN IMMEDIATE")
    try:
        deleted_count = delete.apply(db)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return deleted_count
