"""Keep the agent's durable queue of results within a size limit.

    spool = Spool(state.path(SPOOL), sealer, clock=SystemClock())
    await spool.append(measurement, epoch, Priority.P3)  # on the disk when it returns
    await spool.close_batch(SMALL_ENVELOPE_BYTES)  # until it returns None
    waiting = await spool.list_waiting(16)
    offered = await spool.mark_offered([sequence for sequence, _ in waiting])
    await spool.record_receipt(sequence, "stored")  # after the collector's receipt

SQLite in WAL mode has one writer thread with group commit. A measurement is open until its batch is
sealed into an envelope. Until then the disk has it encrypted, and sealed as a copy for the case of
a kill (open_rows.py). An envelope is sent, always with the same bytes, until a receipt settles it.
A damaged file is repaired at the start. `export`, a second process, reads envelopes and records
receipts; it closes and repairs nothing.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from heliograph.clock import Clock
from heliograph.codec import MAX_OBSERVATIONS, measurement_to_pb
from heliograph.observation import Epoch, Measurement
from heliograph.translation import translate as _
from heliograph_agent.spool.database import SpoolDatabase
from heliograph_agent.spool.loss_counts import LossCounts
from heliograph_agent.spool.operations import SpoolCounts, SpoolOperations
from heliograph_agent.spool.priority import (
    Priority,
    PriorityClassifier,
    SealError,
    SpoolError,
    SpoolFullError,
)
from heliograph_agent.spool.schema import HIDDEN, checksum
from heliograph_agent.spool.sealing import BatchSealer
from heliograph_agent.spool.writer_thread import SpoolWriter

__all__ = ["Priority", "PriorityClassifier", "Spool", "SpoolCounts", "SpoolError", "SpoolFullError"]
BUSY_S = 10.0
LIMIT_BYTES = 67_108_864
MAX_MEASUREMENT = 240_000  # bytes; one must fit the largest envelope, however badly it compresses
MAX_ENVELOPE = 1_048_576  # bytes; the codec's own bound is lower
LOWEST_WORTH = len(Priority)  # for operations that may drop no result
RECEIPT_STATUSES = frozenset({"stored", "duplicate", "rejected", "retry"})


class Spool:
    """Queue results in one file; after a method's SpoolError nothing has changed."""

    def __init__(
        self, path: Path, sealer: BatchSealer, *, limit_bytes: int = LIMIT_BYTES, clock: Clock
    ) -> None:
        self._limit = limit_bytes
        self._writer = SpoolWriter(SpoolDatabase(path, sealer, clock, limit_bytes))

    async def append(self, measurement: Measurement, epoch: Epoch, priority: Priority) -> int:
        """Store a measurement and return its sequence.

        A round that fits no envelope, or has more steps than collectors accept, is stored as its
        light checks, one by one: who intercepts may send chains of certificates as long as he
        likes. Then the last sequence is returned.

        Raises:
            SpoolFullError: There is no room, and no result of less worth that can be dropped.
            SpoolError: The measurement is larger than MAX_MEASUREMENT, or the disk failed.
        """
        message = measurement_to_pb(measurement)
        step_count = sum(len(part.observations) for part in measurement.parts)
        if measurement.parts and (
            message.ByteSize() > MAX_MEASUREMENT or step_count > MAX_OBSERVATIONS
        ):
            return max([await self.append(part, epoch, priority) for part in measurement.parts])
        if message.ByteSize() > MAX_MEASUREMENT:
            raise SpoolError(
                f"A measurement of {message.ByteSize()} bytes fits no envelope: "
                f"test fewer endpoints at once (at most {MAX_MEASUREMENT} bytes)."
            )
        return await self._writer.execute(
            priority, SpoolOperations.append, message, epoch, priority
        )

    async def close_batch(
        self, max_bytes: int = MAX_ENVELOPE, *, is_offline: bool = False
    ) -> int | None:
        """Seal the next open measurements, of one class, into an envelope.

        Call again until None. While `is_offline`, batches are merged, and summaries are kept in
        case room runs short. Errors of the sealer are raised here, and nothing has changed.

        Args:
            max_bytes: Size limit of the envelope.

        Returns:
            The envelope's number, None when no measurement is open.
        """
        try:
            return await self._writer.execute(
                Priority.P0,
                SpoolOperations.close_batch,
                max_bytes,
                is_offline=is_offline,
            )
        except SealError as failed:
            raise failed.error from None

    async def write_digest(
        self, digests: Sequence[Measurement], epoch: Epoch, max_bytes: int
    ) -> None:
        """Store the first of `digests` that fits into `max_bytes`; it is sent first.

        It replaces the previous one. Errors of the sealer are raised here.
        """
        bodies = [
            measurement_to_pb(digest).SerializeToString(deterministic=True) for digest in digests
        ]
        try:
            await self._writer.execute(
                Priority.P0, SpoolOperations.write_digest, bodies, epoch, max_bytes
            )
        except SealError as failed:
            raise failed.error from None

    async def list_waiting(self, limit: int, skip_through: int = 0) -> list[tuple[int, bytes]]:
        """List up to `limit` unacknowledged envelopes, the most useful first.

        P2 and P3 with numbers up to `skip_through` are left out. Call `mark_offered` before one is
        sent.

        Returns:
            Pairs of sequence and sealed envelope.
        """
        return await self._writer.execute(
            Priority.P0, SpoolOperations.list_waiting, limit, skip_through
        )

    async def mark_offered(self, sequences: Sequence[int]) -> set[int]:
        """Mark envelopes before sending, which ends their merging and summaries.

        Returns the numbers that still exist. Send no other: its content is in another envelope now.
        """
        try:
            return await self._writer.execute(LOWEST_WORTH, SpoolOperations.mark_offered, sequences)
        except SpoolFullError:  # no room on the disk for the mark, which stays in memory
            return await self._writer.execute(Priority.P0, SpoolOperations.find_waiting, sequences)

    async def read_backlog(self) -> tuple[int, int | None]:
        """Return the newest envelope's number, and the oldest's time (wall clock) or None."""
        return await self._writer.execute(Priority.P0, SpoolOperations.read_backlog)

    async def record_receipt(self, sequence: int, status: str, reason: str = "") -> None:
        """Record the collector's receipt: stored, duplicate, rejected or retry."""
        if status not in RECEIPT_STATUSES:
            raise ValueError(
                f"{status!r} settles nothing; allowed: {', '.join(sorted(RECEIPT_STATUSES))}"
            )
        if status != "retry":
            await self._writer.execute(
                Priority.P0, SpoolOperations.record_receipt, sequence, status, reason
            )

    async def read_counts(self) -> SpoolCounts:
        """Return the counts, with `problem` for an unusable spool. Never raises."""
        try:
            counts = await self._writer.execute(Priority.P0, SpoolOperations.read_counts)
        except SpoolError as error:
            return SpoolCounts(limit_bytes=self._limit, problem=str(error))
        refused = self._writer.refused_count
        return counts.with_refused(refused) if refused else counts

    async def close(self) -> None:
        """Finish the queued operations and close the file; a second call does nothing."""
        await self._writer.close()


def iter_envelopes(path: Path) -> Iterator[bytes]:
    """Yield all intact envelopes that wait for a receipt, P0 and P1 first.

    Each part is in the order of age. For a second process. Raises SpoolError.
    """
    with _open_spool(path) as db:
        _mark_all_offered(db)
        order = (
            f"SELECT sequence FROM envelope WHERE priority < {HIDDEN:d}"  # noqa: S608 names of ours
            " ORDER BY priority > 1, sequence"
        )
        for (sequence,) in db.execute(order).fetchall():
            row = db.execute("SELECT crc, body FROM envelope WHERE sequence = ?", (sequence,))
            envelope_row = row.fetchone()
            if envelope_row is not None and envelope_row[0] == checksum(envelope_row[1], sequence):
                yield bytes(envelope_row[1])


def iter_numbered_envelopes(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (sequence, envelope) of all waiting envelopes. Raises SpoolError."""
    with _open_spool(path) as db:
        for (sequence,) in db.execute("SELECT sequence FROM envelope").fetchall():
            row = db.execute("SELECT body FROM envelope WHERE sequence = ?", (sequence,)).fetchone()
            if row is not None:
                yield sequence, bytes(row[0])


def record_receipts(path: Path, receipts: Mapping[int, tuple[str, str]], clock: Clock) -> None:
    """Record (status, reason) by sequence, all or nothing. Raises SpoolError."""
    with _open_spool(path) as db:
        loss_counts = LossCounts(db, clock)
        db.execute("BEGIN IMMEDIATE")
        for sequence, (status, reason) in receipts.items():
            loss_counts.record_receipt(sequence, status, reason)
        db.execute("COMMIT")


def _mark_all_offered(db: sqlite3.Connection) -> None:
    """Drop all summaries and end all merging, because exported envelopes may arrive.

    A running agent notices that another process wrote to its file. On a full disk the agent merges
    nothing either.
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


# Of the disk, not of the file: the extra files beside a database need room and a writable place.
_DISK_CODES = (
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
)


@contextmanager
def _open_spool(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        raise SpoolError(
            _("There is no spool at {file}: nothing was measured yet.").format(file=path)
        )
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as db:
            db.execute("PRAGMA secure_delete = ON")
            yield db
    except (sqlite3.Error, UnicodeDecodeError) as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code
        cure = "start the agent once, which mends it, and try again"
        if code in _DISK_CODES:
            cure = "make room on that disk, and let this user write there"
        raise SpoolError(f"Cannot use {path} ({error}): {cure}.") from error
