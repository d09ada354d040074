"""Journal: durable, ordered log of opened envelopes; its rows are acknowledged.

SQLite runs in WAL mode with synchronous=FULL. One thread writes by group commit (group_commit.py).
Positions rise in commit order, so a reader that has read up to N never needs rows below N again.
An envelope is accepted once by (agent, sequence), even after its row was trimmed.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from heliograph.units import DAY_US
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.directory_lock import DirectoryInUseError, DirectoryLock
from heliograph_collector.store.disk_errors import describe_database_error, describe_os_error
from heliograph_collector.store.journal import tables as table
from heliograph_collector.store.journal.group_commit import (
    GroupCommitter,
    JournalBusyError,
    JournalError,
    JournalFullError,
)

__all__ = [
    "MAX_BODY",
    "MAX_SEQUENCE",
    "DirectoryInUseError",
    "Journal",
    "JournalBusyError",
    "JournalError",
    "JournalFullError",
]

ENVELOPES_KEPT_US = 7 * DAY_US  # assumed
MAX_BODY = 2 * 1_048_576  # bytes; an envelope is at most 1 MiB before compression
MAX_SEQUENCE = 2**63 - 1  # largest integer of SQLite
_TRIM_DEADLINE_S = 60.0

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")


class Journal:
    """Journal file; it opens at once without the store, so entrances can open first.

    Read by judge.writer.StoreWriter and detect.runner.DetectorRunner.
    """

    envelopes_kept_us = ENVELOPES_KEPT_US

    def __init__(self, path: Path, *, limit_bytes: int = 0) -> None:
        """Open the journal; `limit_bytes` bounds the file, 0 means no bound.

        Raises JournalError, DirectoryInUseError.
        """
        try:
            self._lock = DirectoryLock(path.parent, "journal")
        except OSError as error:
            raise JournalError(describe_os_error(path.parent, error)) from error
        try:
            with ExitStack() as undo:
                undo.callback(self._lock.release)
                # This connection also writes the alive mark, which needs no sync.
                reader = table.open_database(path, limit_bytes, durable=False)
                self._reader = undo.enter_context(closing(reader))
                self.id: str = self._reader.execute("SELECT id FROM journal").fetchone()[0]
                self.alive_before_us = table.read_last_alive_us(self._reader)
                self.expiry_before_us = table.read_expiry_us(self._reader)
                self._committer = GroupCommitter(path, limit_bytes)
                undo.pop_all()
        except sqlite3.Error as error:
            raise JournalError(describe_database_error(f"The journal {path}", error)) from error
        except TypeError as error:  # it has no id
            raise JournalError(
                f"The journal {path} is damaged: restore a backup into an empty --data directory."
            ) from error
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")

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

    async def read(
        self,
        after: int,
        limit: int,
        *,
        limit_bytes: int = 16_777_216,
        kinds: Collection[RowKind] | None = None,
    ) -> list[JournalRow]:
        """Read rows after a position in order; at least one if there is any.

        `kinds` without envelopes reads an index of the others only. A reader of such a selection
        that gets fewer than `limit` rows has read all up to the `position` from before the call.
        """
        return await self._run_on_reader(table.read_rows, after, limit, limit_bytes, kinds)

    async def read_body(self, agent: bytes, sequence: int) -> bytes | None:
        """Read the body of a stored envelope, None if it was trimmed. Raises JournalError."""
        return await self._run_on_reader(table.read_body, agent, sequence)

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

    async def mark_expiry(self, at_us: int) -> None:
        """Record the expiry time, for `expiry_before_us` after a restart; not synced.

        Raises JournalError.
        """
        await self._run_on_reader(table.mark_expiry, at_us)

    async def trim(
        self, max_position: int, received_before_us: int, presence_before_us: int | None = None
    ) -> int:
        """Delete older rows at or below `max_position`; return how many.

        The sequences of deleted envelopes stay used. All other rows are kept until
        `presence_before_us`, because detectors learn from weeks of them how often agents become
        silent without an outage.
        """
        deletes = [table.OldRowDelete(table.ENVELOPE_CONDITION, max_position, received_before_us)]
        if presence_before_us is not None:
            deletes.append(
                table.OldRowDelete(table.PRESENCE_CONDITION, max_position, presence_before_us)
            )
        return sum([await self._delete_all(delete) for delete in deletes])

    async def _delete_all(self, delete: table.OldRowDelete) -> int:
        """Delete in short transactions, because appends wait for each."""
        total = 0
        while True:
            trimmed_count = await self._committer.submit(delete, _TRIM_DEADLINE_S)
            total += trimmed_count
            if trimmed_count < table.ROW_LIMIT:
                return total

    async def snapshot(self, target: Path) -> None:
        """Write a copy that opens as a journal, while appends continue."""
        await self._run_on_reader(table.copy_database, target)

    async def close(self) -> None:
        """Finish queued commits; later appends are refused."""
        await asyncio.to_thread(self._committer.close)
        await self._run_on_reader(sqlite3.Connection.close)
        self._pool.shutdown()
        self._lock.release()

    async def _run_on_reader(
        self, operation: Callable[[sqlite3.Connection, *_Args], _T], *args: *_Args
    ) -> _T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, operation, self._reader, *args)
        except sqlite3.Error as error:
            raise JournalError(f"The journal cannot be read: {error}.") from error


def check_row(row: JournalRow) -> None:
    if not 0 <= row.sequence <= MAX_SEQUENCE:
        raise ValueError(f"sequence {row.sequence} is out of range")
    if len(row.body) > MAX_BODY:
        raise ValueError(f"a body of {len(row.body)} bytes is over {MAX_BODY}")
