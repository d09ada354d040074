"""Group commit: one thread commits all writes that were queued during the last commit.

Theory of operation. A durable commit costs one sync of the disk, whatever it holds. So one thread
owns the writing connection, and writes that arrive during a sync share the next one: a slow disk
limits latency and not throughput.

States of a request:
- *queued*: `submit` put it into `_queue` and awaits its future. A request that finds MAX_QUEUED
  requests or MAX_QUEUED_BYTES there, or a closing journal, is refused instead. A cancelled request
  leaves the queue without effect.
- *taken*: the writer moved it, in order, into the batch of the present transaction, which ends with
  the request that reaches MAX_COMMIT_BYTES. It can no longer be cancelled. If its deadline passes
  now, `submit` raises, and it may be committed all the same: the caller repeats it, and the journal
  finds the duplicate.
- *done*: COMMIT returned, so the rows are on disk, and its future has the result. Waiters for a
  position wake up after that. A failed transaction fails all of its requests and stores none.

`close` lets the writer commit what is queued, and then ends its thread.
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from heliograph_collector.store.journal.tables import open_database, read_last_position

MAX_QUEUED = 4_096  # requests
MAX_QUEUED_BYTES = 67_108_864
MAX_COMMIT_BYTES = 8_388_608  # of one transaction

_T = TypeVar("_T")
_Result_co = TypeVar("_Result_co", covariant=True)


class JournalError(Exception):
    """Failure of the journal; the message is one sentence."""


class JournalBusyError(JournalError):
    """Temporary failure: too much is queued or the commit was late; try again later."""


class FencedError(JournalError):
    """Another process has written what this one wanted to write."""


class JournalFullError(JournalError):
    """The disk is full or fails."""


class JournalWrite(Protocol[_Result_co]):
    """Write of the journal: `size` bytes that `apply` puts into a transaction."""

    @property
    def size(self) -> int: ...
    def apply(self, db: sqlite3.Connection) -> _Result_co: ...


@dataclass(slots=True)
class _CommitRequest:
    write: JournalWrite[Any]
    future: Future[Any]


class GroupCommitter:
    """Writer of one SQLite file.

    `submit` works from any event loop, and any thread may read `last_position`.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self._path = path
        self._db = open_database(path, limit_bytes)
        self.last_position = read_last_position(self._db)
        self._queue: deque[_CommitRequest] = deque()
        self._queued_bytes = 0
        self._condition = threading.Condition()
        self._is_closing = False
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._thread = threading.Thread(target=self._run_writer, name="journal-writer", daemon=True)
        self._thread.start()

    async def submit(self, write: JournalWrite[_T], deadline_s: float) -> _T:
        """Apply a write; return its result once it is on disk. Raises JournalError."""
        future: Future[_T] = Future()
        with self._condition:
            self._check_capacity(write.size)
            self._queue.append(_CommitRequest(write, future))
            self._queued_bytes += write.size
            self._condition.notify()
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise JournalBusyError(
                "The journal did not commit in time: the disk is slow."
            ) from None

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        """Wait until `last_position` passes `position`; return False on timeout."""
        waiter = (asyncio.get_running_loop(), asyncio.Event())
        with self._condition:
            if self.last_position > position:
                return True
            self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                while self.last_position <= position:
                    await waiter[1].wait()
                    waiter[1].clear()
        except TimeoutError:
            return False
        finally:
            with self._condition:
                self._waiters.remove(waiter)
        return True

    def close(self) -> None:
        """Commit what is queued, then stop the thread."""
        with self._condition:
            self._is_closing = True
            self._condition.notify()
        self._thread.join()

    def _check_capacity(self, size: int) -> None:
        if self._is_closing:
            raise JournalBusyError("The journal is closed.")
        if len(self._queue) >= MAX_QUEUED or self._queued_bytes + size > MAX_QUEUED_BYTES:
            raise JournalBusyError(
                "Too many envelopes wait for the journal's disk: try again later."
            )

    def _run_writer(self) -> None:
        while batch := self._take_batch():
            try:
                results = self._commit_batch(batch)
            except sqlite3.Error as error:
                self._fail_batch(batch, error)
            except Exception as error:  # noqa: BLE001 whatever a write raises fails its batch, or its callers would wait for ever
                for request in batch:
                    request.future.set_exception(error)
            else:
                for request, result in zip(batch, results, strict=True):
                    request.future.set_result(result)
                self._wake_waiters()
        self._db.close()

    def _take_batch(self) -> list[_CommitRequest]:
        """Take queued requests that were not cancelled; none when closed and empty."""
        batch: list[_CommitRequest] = []
        size = 0
        with self._condition:
            while not batch and (self._queue or not self._is_closing):
                while not self._queue and not self._is_closing:
                    self._condition.wait()
                while self._queue and (not batch or size < MAX_COMMIT_BYTES):
                    request = self._queue.popleft()
                    self._queued_bytes -= request.write.size
                    if request.future.set_running_or_notify_cancel():
                        batch.append(request)
                        size += request.write.size
        return batch

    def _commit_batch(self, batch: list[_CommitRequest]) -> list[Any]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            results = [request.write.apply(self._db) for request in batch]
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back already
                self._db.execute("ROLLBACK")
            raise
        self.last_position = read_last_position(self._db)
        return results

    def _fail_batch(self, batch: list[_CommitRequest], error: sqlite3.Error) -> None:
        code = getattr(error, "sqlite_errorcode", 0)  # errors of the Python module have no code
        if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            failure: JournalError = JournalBusyError("The journal is locked by another program.")
        else:
            failure = JournalFullError(
                f"The journal {self._path} cannot grow ({error}): free space on its disk."
            )
        for request in batch:
            request.future.set_exception(failure)

    def _wake_waiters(self) -> None:
        with self._condition:
            waiters = list(self._waiters)
        for loop, event in waiters:
            with contextlib.suppress(RuntimeError):  # the waiter's loop is closed
                loop.call_soon_threadsafe(event.set)
