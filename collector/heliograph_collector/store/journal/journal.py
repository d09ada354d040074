"""The durable, ordered log of opened envelopes: what stands here has been acknowledged.

SQLite in WAL with synchronous=FULL. One thread writes; whatever queued up while it committed goes
into its next commit. Positions rise in commit order, so a reader that has seen N never has to look
below N again. An envelope is taken once, by (agent, sequence), also after its row was trimmed.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TypeVar

from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.directory_lock import DirectoryInUseError, DirectoryLock
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

MAX_BODY = 2 * 1_048_576  # bytes; an envelope is at most 1 MiB even before it is compressed
MAX_SEQUENCE = 2**63 - 1  # what SQLite can count

_T = TypeVar("_T")


class Journal:
    """Opens at once and without the store's engine, so that the entrances can open first."""

    def __init__(self, path: Path, *, limit_bytes: int = 0) -> None:
        """`limit_bytes` bounds the file, 0 leaves that to the disk.

        Raises JournalError, DirectoryInUseError.
        """
        try:
            self._lock = DirectoryLock(path.parent, "journal")
        except OSError as error:
            raise JournalError(f"{path.parent} cannot be made: {error.strerror}.") from error
        try:
            with ExitStack() as undo:
                undo.callback(self._lock.release)
                # It also marks that we are alive, for which no disk needs to turn.
                reader = table.open_database(path, limit_bytes, durable=False)
                self._reader = undo.enter_context(closing(reader))
                self.id: str = self._reader.execute("SELECT id FROM journal").fetchone()[0]
                self.alive_before_us = table.read_last_alive_us(self._reader)
                self._committer = GroupCommitter(path, limit_bytes, self._read_last_position())
                undo.pop_all()
        except (sqlite3.Error, TypeError) as error:
            raise JournalError(
                f"The journal {path} cannot be opened ({error}): restore it from a snapshot, "
                "or move it away to start an empty one."
            ) from error
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")

    async def append(
        self, rows: Sequence[JournalRow], *, deadline_s: float = 30.0
    ) -> list[int | None]:
        """Their positions, None for an envelope that was there, after the commit is on disk.

        Raises JournalBusyError or JournalFullError: then the same rows may come again. Raises
        ValueError for a row that no journal could hold.
        """
        for row in rows:
            _check_row(row)
        values = [table.build_parameters(row) for row in rows]
        size = sum(len(row.body) + 200 for row in rows)
        return await self._committer.submit(
            lambda db: table.insert_rows(db, values), size, deadline_s
        )

    async def read(
        self,
        after: int,
        limit: int,
        *,
        limit_bytes: int = 16_777_216,
        kinds: Collection[RowKind] | None = None,
    ) -> list[JournalRow]:
        """The rows that follow `after`, in order; at least one when there is any.

        Of `kinds` alone, if given, envelopes left out are not even looked at. Who follows such a
        selection and gets fewer than `limit` has seen all up to the `position` from before asking.
        """
        return await self._run_on_reader(
            lambda: table.read_rows(self._reader, after, limit, limit_bytes, kinds)
        )

    async def read_body(self, agent: bytes, sequence: int) -> bytes | None:
        """What an envelope held that was taken in, None when it is not kept any more.

        Raises JournalError.
        """
        return await self._run_on_reader(lambda: table.read_body(self._reader, agent, sequence))

    @property
    def position(self) -> int:
        """The highest position ever committed."""
        return self._committer.last_position

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        """Whether anything was committed after `position`, waiting for it that long."""
        return await self._committer.wait_beyond(position, timeout_s)

    async def mark_alive(self, at_us: int) -> None:
        """Mark that the collector lives, for `alive_before_us` of the next one to open this.

        Without a sync: 80 µs and 4 kB, and a power failure may set it back by some seconds. Raises
        JournalError.
        """
        await self._run_on_reader(lambda: table.mark_alive(self._reader, at_us))

    async def trim(
        self, max_position: int, received_before_us: int, presence_before_us: int | None = None
    ) -> int:
        """Forget what is at or below `max_position` and older; how many rows.

        Of envelopes the sequences stay used. All other rows go by `presence_before_us`: by them
        the detectors learn, over weeks, how often somebody falls silent by itself.
        """
        trimmed_count = await self._trim_kind(
            table.ENVELOPE_CONDITION, max_position, received_before_us
        )
        if presence_before_us is not None:
            trimmed_count += await self._trim_kind(
                table.PRESENCE_CONDITION, max_position, presence_before_us
            )
        return trimmed_count

    async def _trim_kind(self, condition: str, max_position: int, before_us: int) -> int:
        total = 0
        while True:
            trimmed_count = await self._committer.submit(
                lambda db: table.delete_old_rows(
                    db, condition, max_position, before_us, table.ROW_LIMIT
                ),
                0,
                60.0,
            )
            total += trimmed_count
            if trimmed_count < table.ROW_LIMIT:
                return total

    async def snapshot(self, target: Path) -> None:
        """A copy that opens as a journal, taken while appends go on."""
        await self._run_on_reader(lambda: table.copy_database(self._reader, target))

    async def close(self) -> None:
        """Finish what was queued; later appends are refused."""
        await asyncio.to_thread(self._committer.close)
        await self._run_on_reader(self._reader.close)
        self._pool.shutdown()
        self._lock.release()

    def _read_last_position(self) -> int:
        sequence_row = self._reader.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'log'"
        ).fetchone()
        return 0 if sequence_row is None else int(sequence_row[0])

    async def _run_on_reader(self, operation: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, operation)
        except sqlite3.Error as error:
            raise JournalError(f"The journal cannot be read: {error}.") from error


def _check_row(row: JournalRow) -> None:
    if not 0 <= row.sequence <= MAX_SEQUENCE:
        raise ValueError(f"sequence {row.sequence} is out of range")
    if len(row.body) > MAX_BODY:
        raise ValueError(f"a body of {len(row.body)} bytes is over {MAX_BODY}")
