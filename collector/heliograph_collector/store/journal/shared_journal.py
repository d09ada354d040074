"""The journal in SQLite as a process sees it that does not write its rows.

Another process appends, and reports its position. This one reads, and deletes old rows. Its
deletes are short transactions of SQLite, between which those of the writer find their turn.
"""

import sqlite3
from pathlib import Path

from heliograph.units import SECOND_US
from heliograph_collector.store.disk_errors import describe_database_error
from heliograph_collector.store.journal import tables as table
from heliograph_collector.store.journal.group_commit import JournalError
from heliograph_collector.store.journal.journal_file import JournalFile
from heliograph_collector.store.journal.position_waiters import PositionWaiters

MAX_MARK_AGE_US = 30 * SECOND_US  # the writer marks itself alive each 5 s; assumed: six are no slip


class SharedJournal(JournalFile):
    """Journal file of which another process is the writer, which has opened it before."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises JournalError."""
        try:
            super().__init__(path)
            self._growth = PositionWaiters(table.read_last_position(self._reader))
        except sqlite3.Error as error:
            raise JournalError(describe_database_error(f"The journal {path}", error)) from error

    @property
    def position(self) -> int:
        """Return the highest position that the writer reported."""
        return self._growth.position

    async def note_position(self, position: int) -> None:
        """Take note of the writer's last commit, and wake who waits for it."""
        self._growth.advance(position)

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        """Wait for a commit after `position`; return False on timeout."""
        return await self._growth.wait_beyond(position, timeout_s)

    async def mark_alive(self, at_us: int) -> None:
        """Check that the writer has marked itself alive.

        Only the writer knows whether agents reach it. Raises JournalError if its last mark is too
        old.
        """
        age_us = at_us - await self._run_on_reader(table.read_last_alive_us)
        if age_us > MAX_MARK_AGE_US:
            raise JournalError(f"Ingest has written nothing for {age_us // SECOND_US} s.")

    async def close(self) -> None:
        await self._close_reader()

    async def _commit(self, delete: table.OldRowDelete) -> int:
        return await self._run_on_reader(_commit_delete, delete)


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
