"""Close open measurements of one class into envelopes, oldest first."""

import sqlite3
from collections.abc import Callable, Sequence

from heliograph.clock import Clock
from heliograph.codec import epoch_from_pb
from heliograph.observation import Epoch
from heliograph.v1 import observation_pb2 as pb
from heliograph_agent.spool.compaction import Compaction, EnvelopeRow, GrowableEnvelope, Rows, Seal
from heliograph_agent.spool.eviction import SHEDDABLE
from heliograph_agent.spool.priority import Priority, SealError
from heliograph_agent.spool.schema import checksum

BATCH_ROWS = 200
BATCH_BYTES = 200_000
NEARLY = 8  # stop the bisection when less than one part in so many is undecided
# Each batch holds one class, so that the last can be dropped and the first never is.
CLASSES = ((Priority.P0, Priority.P1), (Priority.P2, Priority.P2), (Priority.P3, Priority.P3))


class BatchCloser:
    """Close batches; `on_unreadable` gets table, number and count of a corrupt row."""

    def __init__(
        self,
        db: sqlite3.Connection,
        clock: Clock,
        compaction: Compaction,
        on_unreadable: Callable[[str, int, int], None],
    ) -> None:
        self._db = db
        self._clock = clock
        self._compaction = compaction
        self._on_unreadable = on_unreadable

    def close_next(self, seal: Seal, max_bytes: int, *, is_offline: bool) -> int | None:
        """Close the next batch; return the envelope's number, or None without open rows.

        While `is_offline`, the batch is merged with the previous one if both fit into one envelope,
        and sheddable results are summarized. Errors of `seal` pass, and the caller rolls back.
        """
        if not is_offline:
            self._compaction.stop_growth()
        for best, worst in CLASSES:
            rows = self._open_rows(best, worst)
            if rows:
                return self._close_rows(
                    rows, worst, mark_seal_errors(seal), max_bytes, is_offline=is_offline
                )
        return None

    def _open_rows(self, best: Priority, worst: Priority) -> Rows:
        rows: Rows = []
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
                rows.append((sequence, epoch, body))
            else:
                self._on_unreadable("measurement", sequence, 1)
        return rows

    def _close_rows(
        self, rows: Rows, priority: Priority, seal: Seal, max_bytes: int, *, is_offline: bool
    ) -> int:
        number = self._compaction.next_number()
        epochs = {name: self._read_epoch(name) for _, name, _ in rows}
        growable = self._compaction.find_growable(priority) if is_offline else None
        sealed = b""
        if growable is not None and _fits_batch([*growable.rows, *rows]):
            joined_rows = [*growable.rows, *rows]
            sealed = _seal_first(
                len(joined_rows), number, joined_rows, growable.epochs | epochs, seal
            )
        if growable is None or not 0 < len(sealed) <= max_bytes:
            growable = None
            rows, sealed = _seal_fitting(number, rows, epochs, seal, max_bytes)
        self._db.executemany(
            "DELETE FROM measurement WHERE sequence = ?", [(sequence,) for sequence, *_ in rows]
        )
        self._db.execute("DELETE FROM epoch WHERE id NOT IN (SELECT epoch FROM measurement)")
        envelope_row = self._write_envelope(number, priority, sealed, rows, growable)
        if is_offline:
            self._add_to_summary(envelope_row, rows, epochs, growable, seal, max_bytes)
        return number

    def _write_envelope(
        self,
        number: int,
        priority: Priority,
        sealed: bytes,
        rows: Rows,
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
            self._compaction.delete_grown(growable)
        self._compaction.write_envelope(envelope_row)
        return envelope_row

    def _add_to_summary(
        self,
        envelope_row: EnvelopeRow,
        rows: Rows,
        epochs: dict[str, Epoch],
        growable: GrowableEnvelope | None,
        seal: Seal,
        max_bytes: int,
    ) -> None:
        priority = Priority(envelope_row.rank)
        cover = 0
        used_epochs = {name: epochs[name] for _, name, _ in rows}
        if priority in SHEDDABLE:
            bodies = [body for *_, body in rows]
            cover = self._compaction.add_to_hour(
                priority, bodies, used_epochs, seal, max_bytes, is_grown=growable is not None
            )
        if growable is not None:
            rows = [*growable.rows, *rows]
            used_epochs = growable.epochs | used_epochs
        self._compaction.set_growable(envelope_row, rows, used_epochs, cover)

    def _read_epoch(self, name: str) -> Epoch:
        """Read an epoch; a lost one has only its id."""
        row = self._db.execute("SELECT crc, body FROM epoch WHERE id = ?", (name,)).fetchone()
        if row is None or row[0] != checksum(row[1], name):
            return Epoch(id=name, started_us=0)
        return epoch_from_pb(pb.Epoch.FromString(row[1]))


def mark_seal_errors(seal: Seal) -> Seal:
    """Wrap a seal so that its errors differ from those of the spool's own disk."""

    def seal_marked(number: int, measurements: Sequence[bytes], epochs: Sequence[Epoch]) -> bytes:
        try:
            return seal(number, measurements, epochs)
        except (OSError, sqlite3.Error) as error:
            raise SealError(error) from error

    return seal_marked


def _fits_batch(rows: Rows) -> bool:
    return len(rows) <= BATCH_ROWS and sum(len(body) for *_, body in rows) <= BATCH_BYTES


def _seal_fitting(
    number: int,
    rows: Rows,
    epochs: dict[str, Epoch],
    seal: Seal,
    max_bytes: int,
) -> tuple[Rows, bytes]:
    """Seal as many rows as fit into `max_bytes`; a single row may exceed it.

    The count is found by bisection, because envelope sizes come in steps and the compression of the
    rows is not known beforehand.
    """
    fits = 0
    fails = len(rows) + 1
    best = None
    size = len(rows)
    while best is None or fails - fits > 1 + fails // NEARLY:
        sealed = _seal_first(size, number, rows, epochs, seal)
        if len(sealed) <= max_bytes or size == 1:
            fits = size
            best = (rows[:size], sealed)
        else:
            fails = size
        size = (fits + fails) // 2
    return best


def _seal_first(
    size: int,
    number: int,
    rows: Rows,
    epochs: dict[str, Epoch],
    seal: Seal,
) -> bytes:
    epoch_ids = dict.fromkeys(epoch for _, epoch, _ in rows[:size])
    bodies = [body for *_, body in rows[:size]]
    return seal(number, bodies, [epochs[name] for name in epoch_ids])
