"""Close open measurements of one class into envelopes, oldest first."""

import sqlite3
from collections.abc import Sequence

from heliograph.clock import Clock
from heliograph.units import minute_of
from heliograph_agent.spool.compaction import Compaction, EnvelopeRow, GrowableEnvelope
from heliograph_agent.spool.eviction import SHEDDABLE
from heliograph_agent.spool.open_rows import BATCH_BYTES, BATCH_ROWS, OpenRows
from heliograph_agent.spool.priority import Priority
from heliograph_agent.spool.sealing import EnvelopeSealer, OpenRow

NEARLY = 8  # stop the bisection when less than one part in so many is undecided
# Each batch holds one class, so that the last can be dropped and the first never is.
CLASSES = ((Priority.P0, Priority.P1), (Priority.P2, Priority.P2), (Priority.P3, Priority.P3))


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
