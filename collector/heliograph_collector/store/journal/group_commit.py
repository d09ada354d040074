"""Group commit: one thread commits all writes queued during the last commit.

Theory of operation. A durable commit costs one sync of the disk, whatever it holds. So one thread
owns the writing connection, and writes that arrive during a sync share the next one: a slow disk
limits latency and not throughput. Their callers are woken together.

States of a request:
- *queued*: `submit` put it into `_queue` and awaits its future. A request that finds MAX_QUEUED
  requests or MAX_QUEUED_BYTES there, or a closing journal, is refused instead. A cancelled request
  leaves the queue without effect.
- *taken*: the writer moved it, in order, into the batch of the present transaction, which ends with
  the request that reaches MAX_COMMIT_BYTES. It can no longer be cancelled. If its deadline passes
  now, `submit` raises, and it may be committed all the same: the caller repeats it, and the journal
  finds the duplicate.
- *done*: COMMIT returned, so the rows are on disk, and its future gets the result. Waiters for a
  position wake up after that. A failed transaction fails all of its requests and stores none.

`close` lets the writer commit what is queued, and then ends its thread.
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
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


@dataclass(slots=True, eq=False)
class _CommitRequest:
    """A write and its caller; `outcome` is the result or the error."""

    write: JournalWrite[Any]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    is_cancelled: bool = False
    outcome: Any = None
    error: Exception | None = None

    def resolve(self) -> None:
        """Tell the waiter, in its event loop."""
        if self.future.done():  # cancelled, or too late
            return
        if self.error is None:
            self.future.set_result(self.outcome)
        else:
            self.future.set_exception(self.error)


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
        # By which event loop to wake whom, once `last_position` passes a position.
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = []
        self._thread = threading.Thread(target=self._run_writer, name="journal-writer", daemon=True)
        self._thread.start()

    async def submit(self, write: JournalWrite[_T], deadline_s: float) -> _T:
        """Apply a write; return its result once it is on disk. Raises JournalError."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()
        request = _CommitRequest(write, loop, future)
        with self._condition:
            self._check_capacity(write.size)
            self._queue.append(request)
            self._queued_bytes += write.size
            self._condition.notify()
        try:
            async with asyncio.timeout(deadline_s):
                return await future
        except TimeoutError:
            raise JournalBusyError(
                "The journal did not commit in time: the disk is slow."
            ) from None
        finally:
            if future.cancelled():
                with self._condition:
                    request.is_cancelled = True

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        """Wait until `last_position` passes `position`; return False on timeout."""
        waiter = (asyncio.get_running_loop(), asyncio.Event(), position)
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
        """Commit the queued writes, then stop the thread."""
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
                self._commit_batch(batch)
            except sqlite3.Error as error:
                _fail(batch, self._translate_error(error))
            except Exception as error:  # noqa: BLE001 whatever a write raises fails its batch, or its callers would wait for ever
                _fail(batch, error)
            else:
                self._wake_waiters()
            _resolve(batch)
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
                    if not request.is_cancelled:
                        batch.append(request)
                        size += request.write.size
        return batch

    def _commit_batch(self, batch: list[_CommitRequest]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for request in batch:
                request.outcome = request.write.apply(self._db)
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back already
                self._db.execute("ROLLBACK")
            raise
        self.last_position = read_last_position(self._db)

    def _translate_error(self, error: sqlite3.Error) -> JournalError:
        code = getattr(error, "sqlite_errorcode", 0)  # errors of the Python module have no code
        if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return JournalBusyError("The journal is locked by another program.")
        return JournalFullError(
            f"The journal {self._path} cannot grow ({error}): free space on its disk."
        )

    def _wake_waiters(self) -> None:
        with self._condition:
            waiters = [waiter for waiter in self._waiters if waiter[2] < self.last_position]
        for loop, event, _ in waiters:
            with contextlib.suppress(RuntimeError):  # the waiter's loop is closed
                loop.call_soon_threadsafe(event.set)


def _fail(batch: list[_CommitRequest], error: Exception) -> None:
    for request in batch:
        request.error = error


def _resolve(batch: list[_CommitRequest]) -> None:
    """Tell all waiters, with one call to each event loop: a call wakes it by a socket."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_CommitRequest]] = {}
    for request in batch:
        by_loop.setdefault(request.loop, []).append(request)
    for loop, requests in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(_resolve_all, requests)


def _resolve_all(requests: list[_CommitRequest]) -> None:
    for request in requests:
        request.resolve()
