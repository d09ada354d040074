"""The one thread that touches the database. Whatever arrives during a commit shares the next."""

import asyncio
import errno
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

from heliograph_agent.spool.database import Shelf, is_damage
from heliograph_agent.spool.operations import Book
from heliograph_agent.spool.priority import BoundError, Priority, SpoolError, SpoolFull

T = TypeVar("T")

GROUP = 256  # acts in one transaction
QUEUED = 1_024  # acts that wait for the disk; the next caller waits for one of them
ANSWER_S = 60.0
RELIEFS = 16  # times that room is made for one act


class _Result:
    """What came of a block, its exception included: it belongs to a caller in another thread."""

    value: Any = None
    error: Exception | None = None

    def __enter__(self) -> "_Result":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> bool:
        self.error = error if isinstance(error, Exception) else None
        return self.error is not None


@dataclass(slots=True)
class _Job:
    act: Callable[[Book], Any]
    worth: int  # what is worth no more may be dropped to make room for it
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    result: _Result = field(default_factory=_Result)

    def answer(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._set)

    def _set(self) -> None:
        if self.future.done():
            return
        if self.result.error is not None:
            self.future.set_exception(self.result.error)
        else:
            self.future.set_result(self.result.value)


class Writer:
    """Runs acts on the book, in order, each wholly or not at all."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._book: Book | None = None
        self.refused = 0  # appends that found no room since the ledger was last written
        self._suspect = False
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(QUEUED)
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="spool", daemon=True)
        self._thread.start()

    async def do(self, act: Callable[[Book], T], worth: int = Priority.P0) -> T:
        """`act` inside a transaction that is on the disk when this returns. Raises SpoolError."""
        if self._closed:
            raise SpoolError("The spool is closed.")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_S), self._room:
                future: asyncio.Future[T] = loop.create_future()
                self._jobs.put(_Job(act, worth, loop, future))
                return await future
        except TimeoutError:
            raise SpoolError(
                f"The disk under {self._shelf.path} did not answer in {ANSWER_S:.0f} s: check it."
            ) from None

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join, ANSWER_S)

    def _serve(self) -> None:
        stopping = False
        while not stopping:
            jobs = [self._jobs.get()]
            with suppress(queue.Empty):
                while len(jobs) < GROUP:
                    jobs.append(self._jobs.get_nowait())
            stopping = None in jobs
            self._work([job for job in jobs if job is not None])
        self._shut(checkpoint=True)
        self._shelf.close()

    def _work(self, jobs: list[_Job]) -> None:
        with _Result() as group:
            self._commit(jobs)
        if group.error is not None:
            for job in jobs:
                self._alone(job)
        for job in jobs:
            job.answer()

    def _alone(self, job: _Job) -> None:
        """The same, act by act: one that finds no room does not stand in the way of the others."""
        for attempts in range(RELIEFS):
            with _Result() as attempt:
                self._commit([job])
            if attempt.error is None:
                return
            with _Result() as cure:
                cure.value = self._cure(attempt.error, job.worth, attempts)
            if not cure.value:
                break
        job.result = _Result()
        job.result.error = self._sentence(attempt.error)
        self.refused += isinstance(job.result.error, SpoolFull)

    def _commit(self, jobs: list[_Job]) -> None:
        """All in one transaction. An act's own exception undoes that act alone."""
        if not jobs:
            return
        book = self._open()
        before = book.db.total_changes
        book.db.execute("BEGIN IMMEDIATE")
        try:
            for job in jobs:
                book.db.execute("SAVEPOINT act")
                with _Result() as job.result:
                    job.result.value = job.act(book)
                if isinstance(job.result.error, sqlite3.Error | OSError | BoundError):
                    raise job.result.error
                if job.result.error is not None:
                    book.db.execute("ROLLBACK TO act")
                book.db.execute("RELEASE act")
            if book.db.total_changes > before:  # a look writes nothing, also on a full disk
                book.note("refused", self.refused)
                before = -1
            book.db.execute("COMMIT")
            self.refused = 0 if before < 0 else self.refused
        finally:
            if book.db.in_transaction:
                book.db.execute("ROLLBACK")

    def _open(self) -> Book:
        if self._book is None:
            self._book = self._shelf.open(suspect=self._suspect)
            self._suspect = False
        return self._book

    def _cure(self, error: Exception, worth: int, attempts: int) -> bool:
        """Whether there is reason to try again."""
        if _is_full(error):
            return self._book is not None and self._make_room(self._book, error, worth, attempts)
        self._shut()
        if isinstance(error, sqlite3.Error) and is_damage(error):
            self._suspect = True
            return True
        return False

    def _make_room(self, book: Book, error: Exception, worth: int, attempts: int) -> bool:
        """First the journal's own; then at the cost of lesser results."""
        if not attempts and isinstance(error, sqlite3.Error):
            book.empty_journal()
            return True
        try:
            return book.relieve(worth)
        finally:
            if book.db.in_transaction:
                book.db.execute("ROLLBACK")

    def _shut(self, *, checkpoint: bool = False) -> None:
        if self._book is not None:
            book, self._book = self._book, None
            with suppress(sqlite3.Error):
                if checkpoint:
                    book.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            book.db.close()

    def _sentence(self, error: Exception | None) -> Exception | None:
        path = self._shelf.path
        if error is not None and _is_full(error):
            return SpoolFull(
                f"{path} is full: free some space on that disk, or let the agent reach its "
                "collector."
            )
        if isinstance(error, sqlite3.Error):
            return SpoolError(f"Cannot use {path} ({error}): check that disk and its permissions.")
        if isinstance(error, OSError):
            return SpoolError(f"Cannot use {path} ({error.strerror}): check its permissions.")
        return error


def _is_full(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0)
        return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
    return isinstance(error, BoundError) or (
        isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    )
