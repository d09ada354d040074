"""Read and trim the SQLite journal, in the process that writes it or another."""

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from heliograph.units import DAY_US
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal import tables as table
from heliograph_collector.store.journal.group_commit import JournalError

ENVELOPES_KEPT_US = 7 * DAY_US  # assumed

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")


class JournalFile(ABC):
    """A reading connection, used by one thread at a time."""

    envelopes_kept_us = ENVELOPES_KEPT_US

    def __init__(self, path: Path, limit_bytes: int = 0) -> None:
        """Open the file. Raises sqlite3.Error, TypeError where it has no id."""
        # This connection also writes marks, which need no sync.
        self._reader = table.open_database(path, limit_bytes, durable=False)
        try:
            self.id: str = self._reader.execute("SELECT id FROM journal").fetchone()[0]
            self.alive_before_us = table.read_last_alive_us(self._reader)
            self.expiry_before_us = table.read_expiry_us(self._reader)
        except BaseException:
            self._reader.close()
            raise
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")

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
        Raises JournalError.
        """
        return await self._run_on_reader(table.read_rows, after, limit, limit_bytes, kinds)

    async def read_body(self, agent: bytes, sequence: int) -> bytes | None:
        """Read the body of a stored envelope, None if it was trimmed. Raises JournalError."""
        return await self._run_on_reader(table.read_body, agent, sequence)

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
        silent without an outage. Raises JournalError.
        """
        deletes = [table.OldRowDelete(table.ENVELOPE_CONDITION, max_position, received_before_us)]
        if presence_before_us is not None:
            deletes.append(
                table.OldRowDelete(table.PRESENCE_CONDITION, max_position, presence_before_us)
            )
        return sum([await self._delete_all(delete) for delete in deletes])

    @abstractmethod
    async def _commit(self, delete: table.OldRowDelete) -> int:
        """Delete in one short transaction; return how many rows."""

    async def _delete_all(self, delete: table.OldRowDelete) -> int:
        """Delete in short transactions, because appends wait for each."""
        total = 0
        while True:
            trimmed_count = await self._commit(delete)
            total += trimmed_count
            if trimmed_count < table.ROW_LIMIT:
                return total

    async def _close_reader(self) -> None:
        await self._run_on_reader(sqlite3.Connection.close)
        self._pool.shutdown()

    async def _run_on_reader(
        self, operation: Callable[[sqlite3.Connection, *_Args], _T], *args: *_Args
    ) -> _T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, operation, self._reader, *args)
        except sqlite3.Error as error:
            raise JournalError(f"The journal cannot be read: {error}.") from error
