"""Close open measurements of one class into envelopes, oldest first."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Protocol

from heliograph.clock import Clock
from heliograph.codec import epoch_from_pb
from heliograph.observation import Epoch
from heliograph.v1 import observation_pb2 as pb
from heliograph_agent.spool.compaction import Compaction, EnvelopeRow, GrowableEnvelope
from heliograph_agent.spool.eviction import SHEDDABLE
from heliograph_agent.spool.priority import Priority
from heliograph_agent.spool.schema import checksum
from heliograph_agent.spool.sealing import EnvelopeSealer, OpenRow

BATCH_ROWS = 200
BATCH_BYTES = 200_000
NEARLY = 8  # stop the bisection when less than one part in so many is undecided
# Each batch holds one class, so that the last can be dropped and the first never is.
CLASSES = ((Priority.P0, Priority.P1), (Priority.P2, Priority.P2), (Priority.P3, Priority.P3))


class CorruptRows(Protocol):
    """Take note of corrupt rows (SpoolOperations)."""

    def drop_unreadable(self, table: str, sequence: int, measurements: int) -> None:
        """Delete a row, and count its measurements as lost."""


class BatchCloser:
    """Close batches, and merge them while the agent is offline."""

    def __init__(
        self,
        db: sqlite3.Connection,
        clock: Clock,
        compaction: Compaction,
        corrupt_rows: CorruptRows,
    ) -> None:
        self._db = db
        self._clock = clock
        self._compaction = compaction
        self._corrupt_rows = corrupt_rows

    def close_next(self, sealer: EnvelopeSealer, *, is_offline: bool) -> int | None:
        """Close the next batch; return the envelope's number, or None without open rows.

        While `is_offline`, the batch is merged with the previous one if both fit into one envelope,
        and sheddable results are summarized. Errors of `sealer` pass, and the caller rolls back.
        """
        if not is_offline:
            self._compaction.stop_growth()
        for best, worst in CLASSES:
            rows = self._open_rows(best, worst)
            if rows:
                return self._close_rows(rows, worst, sealer, is_offline=is_offline)
        return None

    def _open_rows(self, best: Priority, worst: Priority) -> list[OpenRow]:
        rows: list[OpenRow] = []
        size = 0
        candidates = self._db.execute(
            "SELECT sequence, size FROM measurement WHERE priority BETWEEN ? AND ?"
            " ORDER BY sequence LIMIT ?",
            (int(best), int(worst), BATCH_ROWS),
        ).fetchall()
        for sequence, length in candidates:
            size += length
            if rows and size > BATCH_BYTES:
                break
            epoch, priority, crc, body = self._db.execute(
                "SELECT epoch, priority, crc, body FROM measurement WHERE sequence = ?", (sequence,)
            ).fetchone()
            if crc == checksum(body, sequence, priority, epoch):
                rows.append(OpenRow(sequence, epoch, body))
            else:
                self._corrupt_rows.drop_unreadable("measurement", sequence, 1)
        return rows

    def _close_rows(
        self, rows: list[OpenRow], priority: Priority, sealer: EnvelopeSealer, *, is_offline: bool
    ) -> int:
        number = self._compaction.next_number()
        epochs = {row.epoch: self._read_epoch(row.epoch) for row in rows}
        growable = self._compaction.find_growable(priority) if is_offline else None
        sealed = b""
        if growable is not None and _fits_batch([*growable.rows, *rows]):
            sealed = sealer.seal_rows(number, [*growable.rows, *rows], growable.epochs | epochs)
        if growable is None or not sealed or not sealer.fits(sealed):
            growable = None
            rows, sealed = _seal_fitting(number, rows, epochs, sealer)
        self._db.executemany(
            "DELETE FROM measurement WHERE sequence = ?", [(row.sequence,) for row in rows]
        )
        self._db.execute("DELETE FROM epoch WHERE id NOT IN (SELECT epoch FROM measurement)")
        envelope_row = self._write_envelope(number, priority, sealed, rows, growable)
        if is_offline:
            used_epochs = {row.epoch: epochs[row.epoch] for row in rows}
            self._add_to_summary(envelope_row, rows, used_epochs, growable, sealer)
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
            stored_us=growable.envelope_row.stored_us if growable else self._clock.wall_us(),
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
        epochs: dict[str, Epoch],
        growable: GrowableEnvelope | None,
        sealer: EnvelopeSealer,
    ) -> None:
        priority = Priority(envelope_row.rank)
        cover = 0
        if priority in SHEDDABLE:
            bodies = [row.body for row in rows]
            is_grown = growable is not None
            cover = self._compaction.add_to_hour(
                priority, bodies, epochs, sealer, is_grown=is_grown
            )
        if growable is not None:
            rows = [*growable.rows, *rows]
            epochs = growable.epochs | epochs
        self._compaction.set_growable(envelope_row, rows, epochs, cover)

    def _read_epoch(self, name: str) -> Epoch:
        """Read an epoch; a lost one has only its id."""
        row = self._db.execute("SELECT crc, body FROM epoch WHERE id = ?", (name,)).fetchone()
        if row is None or row[0] != checksum(row[1], name):
            return Epoch(id=name, started_us=0)
        return epoch_from_pb(pb.Epoch.FromString(row[1]))


def _fits_batch(rows: Sequence[OpenRow]) -> bool:
    return len(rows) <= BATCH_ROWS and sum(len(row.body) for row in rows) <= BATCH_BYTES


def _seal_fitting(
    number: int, rows: list[OpenRow], epochs: Mapping[str, Epoch], sealer: EnvelopeSealer
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
        sealed = sealer.seal_rows(number, rows[:size], epochs)
        if sealer.fits(sealed) or size == 1:
            fits = size
            best = (rows[:size], sealed)
        else:
            fails = size
        size = (fits + fails) // 2
    return best
