"""Closes open measurements into envelopes: of one class, as full as fits, from their first on."""

import sqlite3
from collections.abc import Callable, Sequence

from heliograph.clock import Clock
from heliograph.codec import epoch_from_pb
from heliograph.observation import Epoch
from heliograph.v1 import observation_pb2 as pb
from heliograph_agent.spool.compaction import Folds, Rows, Seal, Sealed, Tail
from heliograph_agent.spool.eviction import SHEDDABLE
from heliograph_agent.spool.priority import Priority, SealError
from heliograph_agent.spool.schema import checksum

BATCH_ROWS = 200
BATCH_BYTES = 200_000
NEARLY = 8  # a batch is as full as may be when one part in so many is not known to fit
# Batches of these classes are closed apart, so that the last can be dropped and the first never is.
CLASSES = ((Priority.P0, Priority.P1), (Priority.P2, Priority.P2), (Priority.P3, Priority.P3))


class Closing:
    """`unreadable` is told of a row that is not as it was written: table, number, how many."""

    def __init__(
        self,
        db: sqlite3.Connection,
        clock: Clock,
        folds: Folds,
        unreadable: Callable[[str, int, int], None],
    ) -> None:
        self._db, self._clock, self._folds, self._unreadable = db, clock, folds, unreadable

    def close(self, seal: Seal, at_most: int, *, dark: bool) -> int | None:
        """The number of the envelope; None when nothing is open.

        In the dark the batch grows onto the one before where both fit into one, and what may have
        to make room is summed up. What `seal` raises passes, and its caller rolls back.
        """
        if not dark:
            self._folds.begin_anew()
        for best, worst in CLASSES:
            rows = self._open_rows(best, worst)
            if rows:
                return self._close(rows, worst, marked(seal), at_most, dark=dark)
        return None

    def _open_rows(self, best: Priority, worst: Priority) -> Rows:
        """Sequence, epoch and body of the next batch, less what is not as it was written."""
        rows: Rows = []
        size = 0
        picked = self._db.execute(
            "SELECT sequence, size FROM measurement WHERE priority BETWEEN ? AND ?"
            " ORDER BY sequence LIMIT ?",
            (int(best), int(worst), BATCH_ROWS),
        ).fetchall()
        for sequence, length in picked:
            size += length
            if rows and size > BATCH_BYTES:
                break
            epoch, priority, crc, body = self._db.execute(
                "SELECT epoch, priority, crc, body FROM measurement WHERE sequence = ?", (sequence,)
            ).fetchone()
            if crc == checksum(body, sequence, priority, epoch):
                rows.append((sequence, epoch, body))
            else:
                self._unreadable("measurement", sequence, 1)
        return rows

    def _close(
        self, rows: Rows, priority: Priority, seal: Seal, at_most: int, *, dark: bool
    ) -> int:
        number = self._folds.next()
        epochs = {name: self._epoch(name) for _, name, _ in rows}
        tail = self._folds.tail(priority) if dark else None
        sealed = b""
        if tail is not None and _fit([*tail.rows, *rows]):
            together = [*tail.rows, *rows]
            sealed = _seal_first(len(together), number, together, tail.epochs | epochs, seal)
        if tail is None or not 0 < len(sealed) <= at_most:
            tail = None
            rows, sealed = _sealed(number, rows, epochs, seal, at_most)
        self._db.executemany(
            "DELETE FROM measurement WHERE sequence = ?", [(sequence,) for sequence, *_ in rows]
        )
        self._db.execute("DELETE FROM epoch WHERE id NOT IN (SELECT epoch FROM measurement)")
        kept = self._keep(number, priority, sealed, rows, tail)
        if dark:
            self._fold(kept, rows, epochs, tail, seal, at_most)
        return number

    def _keep(
        self, number: int, priority: Priority, sealed: bytes, rows: Rows, tail: Tail | None
    ) -> Sealed:
        """Put the envelope down, in place of `tail`, which is in it."""
        kept = Sealed(
            number=number,
            rank=priority,
            stored_us=tail.kept.stored_us if tail else self._clock.wall_us(),
            measurements=len(rows) + (len(tail.rows) if tail else 0),
            body=sealed,
        )
        if tail is not None:
            self._folds.grow(tail)
        self._folds.keep(kept)
        return kept

    def _fold(
        self,
        kept: Sealed,
        rows: Rows,
        epochs: dict[str, Epoch],
        tail: Tail | None,
        seal: Seal,
        at_most: int,
    ) -> None:
        priority, cover = Priority(kept.rank), 0
        named = {name: epochs[name] for _, name, _ in rows}
        if priority in SHEDDABLE:
            bodies = [body for *_, body in rows]
            cover = self._folds.cover(
                priority, bodies, named, seal, at_most, grown=tail is not None
            )
        if tail is not None:
            rows, named = [*tail.rows, *rows], tail.epochs | named
        self._folds.closed(kept, rows, named, cover)

    def _epoch(self, name: str) -> Epoch:
        """As stored; one that was lost says of itself what it must and no more."""
        row = self._db.execute("SELECT crc, body FROM epoch WHERE id = ?", (name,)).fetchone()
        if row is None or row[0] != checksum(row[1], name):
            return Epoch(id=name, started_us=0)
        return epoch_from_pb(pb.Epoch.FromString(row[1]))


def marked(seal: Seal) -> Seal:
    """Its failures told from those of the spool's own disk."""

    def sealed(number: int, measurements: Sequence[bytes], epochs: Sequence[Epoch]) -> bytes:
        try:
            return seal(number, measurements, epochs)
        except (OSError, sqlite3.Error) as error:
            raise SealError(error) from error

    return sealed


def _fit(rows: Rows) -> bool:
    return len(rows) <= BATCH_ROWS and sum(len(body) for *_, body in rows) <= BATCH_BYTES


def _sealed(
    number: int,
    rows: Rows,
    epochs: dict[str, Epoch],
    seal: Seal,
    at_most: int,
) -> tuple[Rows, bytes]:
    """As many of the rows as make an envelope of `at_most` bytes; one alone may make a larger.

    Found by halving: sizes come in steps, and what compresses how well is not known before.
    """
    fits, fails, best = 0, len(rows) + 1, None
    size = len(rows)
    while best is None or fails - fits > 1 + fails // NEARLY:
        sealed = _seal_first(size, number, rows, epochs, seal)
        if len(sealed) <= at_most or size == 1:
            fits, best = size, (rows[:size], sealed)
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
    named = dict.fromkeys(epoch for _, epoch, _ in rows[:size])
    bodies = [body for *_, body in rows[:size]]
    return seal(number, bodies, [epochs[name] for name in named])
