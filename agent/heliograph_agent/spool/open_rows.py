"""Store results that are not in a batch yet, and close them into envelopes.

A seized disk shows none of them. A row is in one of these states:

- Open: this process encrypted it, and can put it into a batch. The batch and the deletion of the
  row are one transaction.
- Orphaned: the process that encrypted it is gone, as another has opened the file alone. Its crash
  copy becomes an envelope, in one transaction too, before the next batch is closed.

So a result is delivered in a batch or by its copy, never by both. The copy's number is drawn from
the envelopes' own numbers and is used by nothing else.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from heliograph.clock import Clock
from heliograph.codec import epoch_from_pb, epoch_to_pb
from heliograph.units import minute_of
from heliograph.v1 import envelope_pb2, observation_pb2
from heliograph_agent.spool.compaction import Compaction, EnvelopeRow, GrowableEnvelope
from heliograph_agent.spool.eviction import SHEDDABLE
from heliograph_agent.spool.priority import Priority
from heliograph_agent.spool.row_cipher import RowCipher
from heliograph_agent.spool.schema import checksum
from heliograph_agent.spool.sealing import BatchSealer, EnvelopeSealer, OpenRow

BATCH_ROWS = 200
BATCH_BYTES = 200_000
NEARLY = 8  # stop the bisection when less than one part in so many is undecided
# Each batch holds one class, so that the last can be dropped and the first never is.
CLASSES = ((Priority.P0, Priority.P1), (Priority.P2, Priority.P2), (Priority.P3, Priority.P3))


class CorruptRows(Protocol):
    """Take note of corrupt rows (SpoolOperations)."""

    def drop_unreadable(self, table: str, sequence: int, measurements: int) -> None:
        """Delete a row, and count its measurements as lost."""


class OpenRows:
    """Encrypt rows, read them in the same process, and send copies in a later one."""

    def __init__(
        self,
        db: sqlite3.Connection,
        cipher: RowCipher,
        compaction: Compaction,
        corrupt_rows: CorruptRows,
    ) -> None:
        self._db = db
        self._cipher = cipher
        self._compaction = compaction
        self._corrupt_rows = corrupt_rows
        self.may_send_orphans = False  # set when no other process has the file open

    def insert(self, row: OpenRow, priority: int, stored_us: int, sealer: BatchSealer) -> None:
        """Insert a row with a copy. Raises what the seal raises, and has inserted nothing."""
        number = self._compaction.take_number()
        copy = sealer.seal_batch(number, [row.body], [row.epoch])
        self._insert(row, priority, stored_us, number, copy)

    def insert_or_hold(
        self, row: OpenRow, priority: int, stored_us: int, sealer: BatchSealer
    ) -> None:
        """Insert a row; if the seal fails, without a copy, for this process alone."""
        number = self._compaction.take_number()
        try:
            copy = sealer.seal_batch(number, [row.body], [row.epoch])
        except Exception:  # noqa: BLE001 - a batch meets the same error, and reports it
            number = 0
            copy = b""
        self._insert(row, priority, stored_us, number, copy)

    def _insert(
        self, row: OpenRow, priority: int, stored_us: int, number: int, copy: bytes
    ) -> None:
        plaintext = envelope_pb2.Batch(
            epochs=[epoch_to_pb(row.epoch)],
            measurements=[observation_pb2.Measurement.FromString(row.body)],
        ).SerializeToString(deterministic=True)
        body = self._cipher.encrypt(plaintext, row.sequence, priority)
        self._db.execute(
            "INSERT INTO measurement VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.sequence, priority, len(row.body), stored_us, self._cipher.life, number,
                checksum_row(row.sequence, priority, number, body, copy), body, copy,
            ),
        )  # fmt: skip

    def read_next(self, best: Priority, worst: Priority) -> list[OpenRow]:
        """Read the oldest rows of one class, as many as one batch takes."""
        rows: list[OpenRow] = []
        size = 0
        candidates = self._db.execute(
            "SELECT sequence, size FROM measurement WHERE priority BETWEEN ? AND ? AND life = ?"
            " ORDER BY sequence LIMIT ?",
            (int(best), int(worst), self._cipher.life, BATCH_ROWS),
        ).fetchall()
        for sequence, length in candidates:
            size += length
            if rows and size > BATCH_BYTES:
                break
            row = self._read_row(sequence)
            if row is not None:
                rows.append(row)
        return rows

    def _read_row(self, sequence: int) -> OpenRow | None:
        """Decrypt a row; drop a corrupt one and return None."""
        from cryptography.exceptions import InvalidTag

        priority, body = self._db.execute(
            "SELECT priority, body FROM measurement WHERE sequence = ?", (sequence,)
        ).fetchone()
        with suppress(InvalidTag):
            batch = envelope_pb2.Batch.FromString(self._cipher.decrypt(body, sequence, priority))
            body = batch.measurements[0].SerializeToString(deterministic=True)
            return OpenRow(sequence, epoch_from_pb(batch.epochs[0]), body)
        self._corrupt_rows.drop_unreadable("measurement", sequence, 1)
        return None

    def send_orphans(self) -> int | None:
        """Turn the copies of some rows of other processes into envelopes, oldest first.

        Returns the last envelope's number, None when no row was left.
        """
        number = None
        if self.may_send_orphans:
            orphans = self._db.execute(
                "SELECT sequence FROM measurement WHERE life <> ? ORDER BY sequence LIMIT ?",
                (self._cipher.life, BATCH_ROWS),
            ).fetchall()
            self.may_send_orphans = bool(orphans)
            for (sequence,) in orphans:
                number = self._send_orphan(sequence) or number
        return number

    def _send_orphan(self, sequence: int) -> int:
        """Replace a row by its copy; return the copy's number, 0 without an intact one."""
        priority, stored_us, number, crc, body, copy = self._db.execute(
            "SELECT priority, stored_us, number, crc, body, copy FROM measurement"
            " WHERE sequence = ?",
            (sequence,),
        ).fetchone()
        if not number or crc != checksum_row(sequence, priority, number, body, copy):
            self._corrupt_rows.drop_unreadable("measurement", sequence, 1)
            return 0
        # Deleted first, because a full file has no room for both.
        self._db.execute("DELETE FROM measurement WHERE sequence = ?", (sequence,))
        self._compaction.write_envelope(
            EnvelopeRow(
                number=number, rank=priority, stored_us=stored_us, measurements=1, body=copy
            )
        )
        return int(number)


def checksum_row(sequence: int, priority: int, number: int, body: bytes, copy: bytes) -> int:
    """Compute the checksum of an open row with its copy."""
    return checksum(copy, checksum(body, sequence, priority, number))


class BatchCloser:
    """Close batches, and merge them while the agent is offline."""

    def __init__(
        self,
        db: sqlite3.Connection,
        clock: Clock,
        compaction: Compaction,
        open_rows: OpenRows,
    ) -> None:
        self._db = db
        self._clock = clock
        self._compaction = compaction
        self._open_rows = open_rows

    def close_next(self, sealer: EnvelopeSealer, *, is_offline: bool) -> int | None:
        """Close the next batch; return the envelope's number, or None without open rows.

        Rows of a killed process come first, one envelope each.

        While `is_offline`, the batch is merged with the previous one if both fit into one envelope,
        and sheddable results are summarized. Errors of `sealer` pass, and the caller rolls back.
        """
        if not is_offline:
            self._compaction.stop_growth()
        orphan = self._open_rows.send_orphans()
        if orphan is not None:
            return orphan
        for best, worst in CLASSES:
            rows = self._open_rows.read_next(best, worst)
            if rows:
                return self._close_rows(rows, worst, sealer, is_offline=is_offline)
        return None

    def _close_rows(
        self, rows: list[OpenRow], priority: Priority, sealer: EnvelopeSealer, *, is_offline: bool
    ) -> int:
        number = self._compaction.next_number()
        growable = self._compaction.find_growable(priority) if is_offline else None
        sealed = b""
        if growable is not None and _fits_batch([*growable.rows, *rows]):
            sealed = sealer.seal_rows(number, [*growable.rows, *rows])
        if growable is None or not sealed or not sealer.fits(sealed):
            growable = None
            rows, sealed = _seal_fitting(number, rows, sealer)
        self._db.executemany(
            "DELETE FROM measurement WHERE sequence = ?", [(row.sequence,) for row in rows]
        )
        envelope_row = self._write_envelope(number, priority, sealed, rows, growable)
        if is_offline:
            self._add_to_summary(envelope_row, rows, growable, sealer)
        return number

    def _write_envelope(
        self,
        number: int,
        priority: Priority,
        sealed: bytes,
        rows: Sequence[OpenRow],
        growable: GrowableEnvelope | None,
    ) -> EnvelopeRow:
        envelope_row = EnvelopeRow(
            number=number,
            rank=priority,
            stored_us=growable.envelope_row.stored_us
            if growable
            else minute_of(self._clock.wall_us()),
            measurements=len(rows) + (len(growable.rows) if growable else 0),
            body=sealed,
        )
        if growable is not None:
            self._compaction.delete_envelope(growable.envelope_row.number)
        self._compaction.write_envelope(envelope_row)
        return envelope_row

    def _add_to_summary(
        self,
        envelope_row: EnvelopeRow,
        rows: list[OpenRow],
        growable: GrowableEnvelope | None,
        sealer: EnvelopeSealer,
    ) -> None:
        priority = Priority(envelope_row.rank)
        cover = 0
        if priority in SHEDDABLE:
            is_grown = growable is not None
            cover = self._compaction.add_to_hour(priority, rows, sealer, is_grown=is_grown)
        if growable is not None:
            rows = [*growable.rows, *rows]
        self._compaction.set_growable(envelope_row, rows, cover)


def _fits_batch(rows: Sequence[OpenRow]) -> bool:
    return len(rows) <= BATCH_ROWS and sum(len(row.body) for row in rows) <= BATCH_BYTES


def _seal_fitting(
    number: int, rows: list[OpenRow], sealer: EnvelopeSealer
) -> tuple[list[OpenRow], bytes]:
    """Seal as many rows as fit; a single row may exceed the limit.

    The count is found by bisection, because envelope sizes come in steps and the compression of the
    rows is not known beforehand.
    """
    fits = 0
    fails = len(rows) + 1
    best = None
    size = len(rows)
    while best is None or fails - fits > 1 + fails // NEARLY:
        sealed = sealer.seal_rows(number, rows[:size])
        if sealer.fits(sealed) or size == 1:
            fits = size
            best = (rows[:size], sealed)
        else:
            fails = size
        size = (fits + fails) // 2
    return best
