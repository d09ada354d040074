"""Journal: durable, ordered log of opened envelopes; its rows are acknowledged.

SQLite runs in WAL mode with synchronous=FULL. One thread writes by group commit (group_commit.py).
Positions rise in commit order, so a reader that has read up to N never needs rows below N again.
An envelope is accepted once by (agent, sequence), even after its row was trimmed.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from heliograph_collector.model.records import JournalRow
from heliograph_collector.store.directory_lock import DirectoryInUseError, DirectoryLock
from heliograph_collector.store.disk_errors import describe_database_error, describe_os_error
from heliograph_collector.store.journal import tables as table
from heliograph_collector.store.journal.group_commit import (
    FencedError,
    GroupCommitter,
    JournalBusyError,
    JournalError,
    JournalFullError,
)
from heliograph_collector.store.journal.journal_file import ENVELOPES_KEPT_US, JournalFile

__all__ = [
    "ENVELOPES_KEPT_US",
    "MAX_BODY",
    "MAX_SEQUENCE",
    "DirectoryInUseError",
    "FencedError",
    "Journal",
    "JournalBusyError",
    "JournalError",
    "JournalFullError",
]

MAX_BODY = 2 * 1_048_576  # bytes; an envelope is at most 1 MiB before compression
MAX_SEQUENCE = 2**63 - 1  # largest integer of SQLite
_TRIM_DEADLINE_S = 60.0


class Journal(JournalFile):
    """Journal file; it opens at once without the store, so entrances can open first.

    Read by judge.writer.StoreWriter and detect.runner.DetectorRunner.
    """

    def __init__(self, path: Path, *, limit_bytes: int = 0) -> None:
        """Open the journal; `limit_bytes` bounds the file, 0 means no bound.

        Raises JournalError, DirectoryInUseError.
        """
        self.term = 0
        try:
            self._lock = DirectoryLock(path.parent, "journal")
        except OSError as error:
            raise JournalError(describe_os_error(path.parent, error)) from error
        try:
            with ExitStack() as undo:
                undo.callback(self._lock.release)
                super().__init__(path, limit_bytes)
                undo.callback(self._reader.close)
                self._committer = GroupCommitter(path, limit_bytes)
                undo.pop_all()
        except sqlite3.Error as error:
            raise JournalError(describe_database_error(f"The journal {path}", error)) from error
        except TypeError as error:  # it has no id
            raise JournalError(
                f"The journal {path} is damaged: restore a backup into an empty --data directory."
            ) from error

    async def append(
        self, rows: Sequence[JournalRow], *, deadline_s: float = 30.0
    ) -> list[int | None]:
        """Append rows and return after the commit is on disk.

        Returns:
            Positions, None for an envelope that was already there.

        Raises:
            JournalBusyError, JournalFullError: The same rows may be appended again.
            ValueError: A row is outside the journal's limits.
        """
        for row in rows:
            check_row(row)
        return await self._committer.submit(table.RowInsert(rows), deadline_s)

    @property
    def position(self) -> int:
        """Return the highest position ever committed."""
        return self._committer.last_position

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        """Wait for a commit after `position`; return False on timeout."""
        return await self._committer.wait_beyond(position, timeout_s)

    async def mark_alive(self, at_us: int) -> None:
        """Record that the collector is alive, for `alive_before_us` after a restart.

        It is not synced: it takes 80 µs and 4 kB, and a power failure may lose some seconds. Raises
        JournalError.
        """
        await self._run_on_reader(table.mark_alive, at_us)

    async def _commit(self, delete: table.OldRowDelete) -> int:
        return await self._committer.submit(delete, _TRIM_DEADLINE_S)

    async def snapshot(self, target: Path) -> None:
        """Write a copy that opens as a journal, while appends continue."""
        await self._run_on_reader(table.copy_database, target)

    async def close(self) -> None:
        """Finish queued commits; later appends are refused."""
        await asyncio.to_thread(self._committer.close)
        await self._close_reader()
        self._lock.release()


def check_row(row: JournalRow) -> None:
    if not 0 <= row.sequence <= MAX_SEQUENCE:
        raise ValueError(f"sequence {row.sequence} is out of range")
    if len(row.body) > MAX_BODY:
        raise ValueError(f"a body of {len(row.body)} bytes is over {MAX_BODY}")
