"""Run the only thread that uses the database, with one commit for many jobs.

Callers queue jobs; at most QUEUED jobs wait, and further callers wait for a slot. The thread takes
all queued jobs, up to GROUP, and runs them in one transaction, because a commit costs a sync of the
disk. A job is resolved after the commit, so its change is then on the disk.

- A job's own exception rolls back that job alone, by its savepoint.
- A failure of the disk, or a full one, rolls back the group. Then each job runs alone.
- A job alone that finds the file full makes room and tries again, up to MAX_RETRIES times.
- A damaged file is closed, and repaired when it is opened again. Any other failure closes the file
  and is raised to the caller; the next job opens the file again.
"""

import asyncio
import errno
import queue
import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from heliograph_agent.spool.database import SpoolDatabase, is_damage
from heliograph_agent.spool.operations import SpoolOperations
from heliograph_agent.spool.priority import BoundError, SpoolError, SpoolFullError

T = TypeVar("T")
P = ParamSpec("P")

GROUP = 256  # jobs in one transaction
QUEUED = 1_024  # jobs that wait for the disk; the next caller waits for a free slot
TIMEOUT_S = 60.0
MAX_RETRIES = 16  # attempts of one job


class SpoolOperation(Protocol):
    """A method of SpoolOperations."""

    def __call__(self, operations: SpoolOperations, /, *args: Any, **kwargs: Any) -> Any: ...


@dataclass(slots=True)
class _Job:
    operation: SpoolOperation
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    worth: int  # results of no greater worth may be dropped for it
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    result: Any = None
    error: Exception | None = None

    def resolve(self) -> None:
        with suppress(RuntimeError):  # the loop is closed and no caller waits
            self.loop.call_soon_threadsafe(self._set_future)

    def _set_future(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)

    def run(self, operations: SpoolOperations) -> None:
        """Run the operation; raise only what concerns the disk or the whole group."""
        self.error = None
        try:
            self.result = self.operation(operations, *self.arguments, **self.options)
        except (sqlite3.Error, OSError, BoundError):
            raise
        except Exception as error:  # noqa: BLE001 - it is raised to the caller
            self.error = error


class SpoolWriter:
    """Run operations in order, each completely or not at all."""

    def __init__(self, database: SpoolDatabase) -> None:
        self._database = database
        self._operations: SpoolOperations | None = None
        self.refused_count = 0  # appends that found no room since the ledger was last written
        self._is_suspect = False
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._queue_slots = asyncio.Semaphore(QUEUED)
        self._is_closed = False
        self._thread = threading.Thread(target=self._run_thread, name="spool", daemon=True)
        self._thread.start()

    async def execute(
        self,
        worth: int,
        operation: Callable[Concatenate[SpoolOperations, P], T],
        *arguments: P.args,
        **options: P.kwargs,
    ) -> T:
        """Run a method of SpoolOperations in a transaction, durable on return.

        Results of no greater worth may be dropped for it. Raises SpoolError.
        """
        if self._is_closed:
            raise SpoolError("The spool is closed.")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIMEOUT_S), self._queue_slots:
                future: asyncio.Future[T] = loop.create_future()
                self._jobs.put(_Job(operation, arguments, options, worth, loop, future))
                return await future
        except TimeoutError:
            raise SpoolError(
                f"The disk under {self._database.path} did not answer in {TIMEOUT_S:.0f} s: "
                "check it."
            ) from None

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join, TIMEOUT_S)

    def _run_thread(self) -> None:
        is_stopping = False
        while not is_stopping:
            jobs = [self._jobs.get()]
            with suppress(queue.Empty):
                while len(jobs) < GROUP:
                    jobs.append(self._jobs.get_nowait())
            is_stopping = None in jobs
            self._run_jobs([job for job in jobs if job is not None])
        self._close_operations(checkpoint=True)
        self._database.close()

    def _run_jobs(self, jobs: list[_Job]) -> None:
        try:
            self._commit(jobs)
        except Exception:  # noqa: BLE001 - each job runs into it alone
            for job in jobs:
                self._run_single(job)
        for job in jobs:
            job.resolve()

    def _run_single(self, job: _Job) -> None:
        """Run one job alone, so that one that finds no room does not stop the others."""
        for attempts in range(MAX_RETRIES):
            try:
                self._commit([job])
            except Exception as error:  # noqa: BLE001 - it is raised to the caller
                job.error = self._describe_error(error)
                if not self._recover(error, job.worth, attempts):
                    break
            else:
                return
        self.refused_count += isinstance(job.error, SpoolFullError)

    def _commit(self, jobs: list[_Job]) -> None:
        """Run jobs in one transaction; a job's exception rolls back that job alone."""
        if not jobs:
            return
        if self._operations is None:
            self._operations = self._database.open(is_suspect=self._is_suspect)
            self._is_suspect = False
        operations = self._operations
        changes_before = operations.db.total_changes
        operations.db.execute("BEGIN IMMEDIATE")
        try:
            for job in jobs:
                operations.db.execute("SAVEPOINT job")
                job.run(operations)
                if job.error is not None:
                    operations.db.execute("ROLLBACK TO job")
                operations.db.execute("RELEASE job")
            if operations.db.total_changes > changes_before:  # reads must work on a full disk too
                operations.count_gap("refused", self.refused_count)
                changes_before = -1
            operations.db.execute("COMMIT")
            self.refused_count = 0 if changes_before < 0 else self.refused_count
            if operations.has_closed_batch:
                operations.truncate_journal()
        finally:
            if operations.db.in_transaction:
                operations.db.execute("ROLLBACK")

    def _recover(self, error: Exception, worth: int, attempts: int) -> bool:
        """Make room or reopen the file; return whether to try again."""
        try:
            if _is_full(error):
                return self._operations is not None and self._make_room(
                    self._operations, error, worth, attempts
                )
            self._close_operations()
        except (sqlite3.Error, OSError):
            return False
        if isinstance(error, sqlite3.Error) and is_damage(error):
            self._is_suspect = True
            return True
        return False

    def _make_room(
        self, operations: SpoolOperations, error: Exception, worth: int, attempts: int
    ) -> bool:
        """Free the journal's space first, then that of results of less worth."""
        if not attempts and isinstance(error, sqlite3.Error):
            operations.empty_journal()
            return True
        try:
            return operations.make_room(worth)
        finally:
            if operations.db.in_transaction:
                operations.db.execute("ROLLBACK")

    def _close_operations(self, *, checkpoint: bool = False) -> None:
        if self._operations is not None:
            operations = self._operations
            self._operations = None
            with suppress(sqlite3.Error):
                if checkpoint:
                    operations.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            operations.db.close()

    def _describe_error(self, error: Exception) -> Exception:
        path = self._database.path
        if _is_full(error):
            return SpoolFullError(
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
