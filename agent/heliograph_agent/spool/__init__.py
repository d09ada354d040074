"""Keep the agent's durable queue, which is bounded, always starts and loses nothing it took.

SQLite in WAL mode with one writer thread and group commit. Measurements wait open until a batch of
them is closed into an envelope; an envelope is sent, byte for byte the same, until it is settled.
`export`, a second process, reads envelopes and records receipts; it closes and repairs nothing.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from heliograph.clock import Clock
from heliograph.codec import epoch_to_pb, measurement_to_pb
from heliograph.observation import Epoch, Measurement
from heliograph_agent.spool.compaction import Seal
from heliograph_agent.spool.database import SpoolDatabase
from heliograph_agent.spool.operations import SpoolCounts, SpoolOperations
from heliograph_agent.spool.priority import (
    Priority,
    PriorityClassifier,
    SealError,
    SpoolError,
    SpoolFullError,
)
from heliograph_agent.spool.schema import HIDDEN, checksum
from heliograph_agent.spool.writer_thread import SpoolWriter

__all__ = ["Priority", "PriorityClassifier", "Spool", "SpoolCounts", "SpoolError", "SpoolFullError"]
BUSY_S = 10.0
LIMIT_BYTES = 67_108_864
MAX_MEASUREMENT = 240_000  # bytes: one alone must fit the largest envelope, however badly it packs
MAX_ENVELOPE = 1_048_576  # bytes; the codec's own bound is lower
LOWEST_WORTH = len(Priority)  # for operations for which no result is dropped
RECEIPT_STATUSES = frozenset({"stored", "duplicate", "rejected", "retry"})


class Spool:
    """The queue in one file. Every method may raise SpoolError, and has then changed nothing."""

    def __init__(self, path: Path, *, limit_bytes: int = LIMIT_BYTES, clock: Clock) -> None:
        self._limit = limit_bytes
        self._writer = SpoolWriter(SpoolDatabase(path, clock, limit_bytes))

    async def append(self, measurement: Measurement, epoch: Epoch, priority: Priority) -> int:
        """Store a measurement durably; return its sequence. Raises SpoolFullError."""
        message = measurement_to_pb(measurement)
        epoch_message = epoch_to_pb(epoch)
        if message.ByteSize() > MAX_MEASUREMENT:
            raise SpoolError(
                f"A measurement of {message.ByteSize()} bytes fits no envelope: "
                f"test fewer endpoints at once (at most {MAX_MEASUREMENT} bytes)."
            )
        return await self._writer.execute(
            lambda operations: operations.append(message, epoch_message, priority), worth=priority
        )

    async def close_batch(
        self, seal: Seal, max_bytes: int = MAX_ENVELOPE, *, is_offline: bool = False
    ) -> int | None:
        """Put the next open measurements, of one class, into an envelope; None when none is open.

        Call again until None. While `is_offline`, batches are merged, and summaries are kept in
        case room runs short.

        Args:
            seal: Gets the envelope's number, the measurements and their epochs, possibly more than
                once; what it raises is raised here, and nothing has changed.
            max_bytes: Size of an envelope that the batch is cut to.
        """
        try:
            return await self._writer.execute(
                lambda operations: operations.close_batch(seal, max_bytes, is_offline=is_offline)
            )
        except SealError as failed:
            raise failed.error from None

    async def write_digest(
        self, digests: Sequence[Measurement], epoch: Epoch, seal: Seal, max_bytes: int
    ) -> None:
        """Store the first of `digests` that fits into `max_bytes`, to be sent before all else.

        It replaces the previous one. What `seal` raises is raised here.
        """
        bodies = [
            measurement_to_pb(digest).SerializeToString(deterministic=True) for digest in digests
        ]
        try:
            await self._writer.execute(
                lambda operations: operations.write_digest(bodies, epoch, seal, max_bytes)
            )
        except SealError as failed:
            raise failed.error from None

    async def list_waiting(self, limit: int, skip_through: int = 0) -> list[tuple[int, bytes]]:
        """List up to `limit` unacknowledged envelopes, the most useful first.

        P2 and P3 with numbers up to `skip_through` are left out. Call `mark_offered` before any of
        them is sent.
        """
        return await self._writer.execute(
            lambda operations: operations.list_waiting(limit, skip_through)
        )

    async def mark_offered(self, sequences: Sequence[int]) -> set[int]:
        """Mark envelopes that are to be sent: they are not merged or summarized any more.

        Returns those that still exist. Send no other: its content is in another envelope now.
        """
        try:
            return await self._writer.execute(
                lambda operations: operations.mark_offered(sequences), worth=LOWEST_WORTH
            )
        except SpoolFullError:  # the disk has no room for the mark; it is kept in memory
            return await self._writer.execute(lambda operations: operations.find_waiting(sequences))

    async def read_backlog(self) -> tuple[int, int | None]:
        """Return the youngest envelope's number, and when the oldest was stored (wall clock)."""
        return await self._writer.execute(lambda operations: operations.read_backlog())

    async def record_receipt(self, sequence: int, status: str, reason: str = "") -> None:
        """Record the collector's receipt: stored, duplicate, rejected or retry."""
        if status not in RECEIPT_STATUSES:
            raise ValueError(
                f"{status!r} settles nothing; allowed: {', '.join(sorted(RECEIPT_STATUSES))}"
            )
        if status != "retry":
            await self._writer.execute(
                lambda operations: operations.record_receipt(sequence, status, reason)
            )

    async def read_counts(self) -> SpoolCounts:
        """Return the counts; `problem` says why a spool cannot be used. Never raises."""
        try:
            counts = await self._writer.execute(lambda operations: operations.read_counts())
        except SpoolError as error:
            return SpoolCounts(limit_bytes=self._limit, problem=str(error))
        refused = self._writer.refused_count
        return counts.with_refused(refused) if refused else counts

    async def close(self) -> None:
        """Finish what was begun and close the file. Safe to call twice."""
        await self._writer.close()


def iter_envelopes(path: Path) -> Iterator[bytes]:
    """Yield all intact envelopes that wait for a receipt: P0 and P1 first, each by age.

    From a second process. Raises SpoolError.
    """
    with _open_spool(path) as db:
        _mark_all_offered(db)
        order = (
            f"SELECT sequence FROM envelope WHERE priority < {HIDDEN:d}"  # noqa: S608
            " ORDER BY priority > 1, sequence"
        )
        for (sequence,) in db.execute(order).fetchall():
            row = db.execute("SELECT crc, body FROM envelope WHERE sequence = ?", (sequence,))
            envelope_row = row.fetchone()
            if envelope_row is not None and envelope_row[0] == checksum(envelope_row[1], sequence):
                yield bytes(envelope_row[1])


def iter_numbered_envelopes(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (sequence, envelope) of all that wait. Raises SpoolError."""
    with _open_spool(path) as db:
        for (sequence,) in db.execute("SELECT sequence FROM envelope").fetchall():
            row = db.execute("SELECT body FROM envelope WHERE sequence = ?", (sequence,)).fetchone()
            if row is not None:
                yield sequence, bytes(row[0])


def record_receipts(path: Path, receipts: Mapping[int, tuple[str, str]], clock: Clock) -> None:
    """Record receipts, sequence → (status, reason), all or nothing. Raises SpoolError."""
    with _open_spool(path) as db:
        operations = SpoolOperations(db, path, clock, 0)
        db.execute("BEGIN IMMEDIATE")
        for sequence, (status, reason) in receipts.items():
            operations.record_receipt(sequence, status, reason)
        db.execute("COMMIT")


def _mark_all_offered(db: sqlite3.Connection) -> None:
    """Drop all summaries, and stop the merging of exported envelopes, which may arrive.

    A running agent notices that another process wrote to its file. On a full disk it merges nothing
    either.
    """
    with suppress(sqlite3.OperationalError):
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM envelope WHERE priority >= ?", (HIDDEN,))
        db.execute(
            "INSERT INTO gap VALUES ('exported', 0, 0)"
            " ON CONFLICT (kind) DO UPDATE SET last_us = last_us + 1"
        )
        db.execute("COMMIT")
    if db.in_transaction:
        db.execute("ROLLBACK")


@contextmanager
def _open_spool(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        raise SpoolError(f"There is no spool at {path}: nothing was measured yet.")
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as db:
            db.execute("PRAGMA secure_delete = ON")
            yield db
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise SpoolError(
            f"Cannot use {path} ({error}): start the agent once, which mends it, and try again."
        ) from error
