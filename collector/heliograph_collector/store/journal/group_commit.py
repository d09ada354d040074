"""Group commit: one thread, one transaction for all that queued up during the last one."""

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from heliograph_collector.store.journal.tables import connect

MAX_QUEUED = 4_096  # requests
MAX_QUEUED_BYTES = 67_108_864
MAX_COMMIT_BYTES = 8_388_608  # of one transaction

_T = TypeVar("_T")


class JournalError(Exception):
    """The journal did not take something; the message is one sentence."""


class JournalBusyError(JournalError):
    """Too much is waiting, or the commit did not come in time: try again later."""


class JournalFullError(JournalError):
    """No room on the disk, or the disk fails."""


@dataclass(slots=True)
class _Request:
    work: Callable[[sqlite3.Connection], Any]
    size: int
    future: Future[Any]


class Commits:
    """The writing side of one SQLite file: submit from any event loop, read `last` anywhere."""

    def __init__(self, path: Path, limit_bytes: int, last: int) -> None:
        self.last = last
        self._path = path
        self._db = connect(path, limit_bytes)
        self._queue: deque[_Request] = deque()
        self._queued_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    async def submit(
        self, work: Callable[[sqlite3.Connection], _T], size: int, deadline_s: float
    ) -> _T:
        """What `work` returns, once its transaction is on disk. Raises JournalError."""
        future: Future[_T] = Future()
        with self._changed:
            self._admit(size)
            self._queue.append(_Request(work, size, future))
            self._queued_bytes += size
            self._changed.notify()
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise JournalBusyError(
                "The journal did not commit in time: the disk is slow."
            ) from None

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        """Whether `last` has passed `position` before the time is up."""
        waiter = (asyncio.get_running_loop(), asyncio.Event())
        with self._changed:
            if self.last > position:
                return True
            self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                while self.last <= position:
                    await waiter[1].wait()
                    waiter[1].clear()
        except TimeoutError:
            return False
        finally:
            with self._changed:
                self._waiters.remove(waiter)
        return True

    def close(self) -> None:
        """Commit what is queued, then stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _admit(self, size: int) -> None:
        if self._closing:
            raise JournalBusyError("The journal is closed.")
        if len(self._queue) >= MAX_QUEUED or self._queued_bytes + size > MAX_QUEUED_BYTES:
            raise JournalBusyError(
                "Too many envelopes wait for the journal's disk: try again later."
            )

    def _run(self) -> None:
        while batch := self._take():
            try:
                results = self._commit(batch)
            except sqlite3.Error as error:
                self._fail(batch, error)
            except Exception as error:  # noqa: BLE001 a bug, for who asked; the journal goes on
                for request in batch:
                    request.future.set_exception(error)
            else:
                for request, result in zip(batch, results, strict=True):
                    request.future.set_result(result)
                self._wake()
        self._db.close()

    def _take(self) -> list[_Request]:
        """Some of callers who still wait, to commit together; none when closed and empty."""
        batch: list[_Request] = []
        size = 0
        with self._changed:
            while not batch and (self._queue or not self._closing):
                while not self._queue and not self._closing:
                    self._changed.wait()
                while self._queue and (not batch or size < MAX_COMMIT_BYTES):
                    request = self._queue.popleft()
                    self._queued_bytes -= request.size
                    if request.future.set_running_or_notify_cancel():
                        batch.append(request)
                        size += request.size
        return batch

    def _commit(self, batch: list[_Request]) -> list[Any]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            results = [request.work(self._db) for request in batch]
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back by itself
                self._db.execute("ROLLBACK")
            raise
        found = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
        self.last = self.last if found is None else int(found[0])
        return results

    def _fail(self, batch: list[_Request], error: sqlite3.Error) -> None:
        code = getattr(error, "sqlite_errorcode", 0)  # the module's own errors have none
        if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            failure: JournalError = JournalBusyError("The journal is locked by another program.")
        else:
            failure = JournalFullError(
                f"The journal {self._path} cannot grow ({error}): free space on its disk."
            )
        for request in batch:
            request.future.set_exception(failure)

    def _wake(self) -> None:
        with self._changed:
            waiters = list(self._waiters)
        for loop, event in waiters:
            with contextlib.suppress(RuntimeError):  # its loop has closed meanwhile
                loop.call_soon_threadsafe(event.set)
