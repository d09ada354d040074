"""What is done inside the spool's transactions: append, close a batch, look, settle, make room."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from heliograph.clock import Clock
from heliograph.codec import epoch_from_pb
from heliograph.observation import Epoch
from heliograph.v1 import observation_pb2 as pb
from heliograph_agent.spool.errors import BoundError, SealError
from heliograph_agent.spool.floor import BLOCK, Floor
from heliograph_agent.spool.order import catch_up
from heliograph_agent.spool.priority import Priority
from heliograph_agent.spool.room import Room
from heliograph_agent.spool.schema import PAGE, checksum
from heliograph_agent.spool.thin import SHEDDABLE, thin

Seal = Callable[[int, Sequence[bytes], Sequence[Epoch]], bytes]

BATCH_ROWS = 200
NEARLY = 8  # a batch is as full as may be when one part in so many is not known to fit
BATCH_BYTES = 200_000
WAITING_BYTES = 2_097_152  # envelopes handed out at once, so that a long backlog stays on disk
QUARANTINED = 64  # refused envelopes kept for their owner to look at
# Batches of these classes are closed apart, so that the last can be dropped and the first never is.
CLASSES = ((Priority.P0, Priority.P1), (Priority.P2, Priority.P2), (Priority.P3, Priority.P3))


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolCounts:
    """What an agent still holds. `dropped` counts measurements that will never arrive, by cause."""

    open: int = 0  # measurements not yet in an envelope
    open_bytes: int = 0
    waiting: int = 0  # envelopes not yet acknowledged
    waiting_measurements: int = 0
    quarantined: int = 0  # envelopes the collector refused
    bytes: int = 0  # in use within the bound
    limit_bytes: int = 0
    oldest_us: int | None = None  # wall clock when the oldest of them was stored
    dropped: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""  # why the spool cannot be used now

    def with_refused(self, more: int) -> "SpoolCounts":
        """And those appends that found not even room to be written down as refused."""
        refused = self.dropped.get("refused", 0) + more
        return replace(self, dropped={**self.dropped, "refused": refused})


class Book:
    """One open database. Every method but `relieve` runs inside a transaction of its caller."""

    def __init__(self, db: sqlite3.Connection, path: Path, clock: Clock, limit_bytes: int) -> None:
        self.db = db
        self.floor = Floor(path.with_name(f"{path.name}.floor"))
        self._clock = clock
        self.room = Room(db, path, limit_bytes)

    def append(self, measurement: pb.Measurement, epoch: pb.Epoch, priority: Priority) -> int:
        """Raises BoundError when the rest of the room is for P0 and P1."""
        self.room.fit()
        if priority in SHEDDABLE and self.room.used() > self.room.soft:
            raise BoundError
        sequence = self._last("measurement") + 1
        self.floor.reserve(sequence)
        measurement.sequence = sequence
        body = measurement.SerializeToString(deterministic=True)
        self._keep_epoch(epoch)
        self.db.execute(
            "INSERT INTO measurement VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                sequence, int(priority), len(body), self._clock.wall_us(), epoch.id,
                checksum(body, sequence, int(priority), epoch.id), body,
            ),
        )  # fmt: skip
        return sequence

    def close_batch(self, seal: Seal, at_most: int) -> int | None:
        """None when nothing is open. What `seal` raises passes, and its caller rolls back."""
        for best, worst in CLASSES:
            rows = self._open_rows(best, worst)
            if rows:
                return self._close(rows, worst, seal, at_most)
        return None

    def waiting(self, limit: int) -> list[tuple[int, bytes]]:
        """The most useful `limit` envelopes; fewer where they are large."""
        found: list[tuple[int, bytes]] = []
        size = 0
        for sequence in self._in_order(limit):
            if len(found) >= limit or size > WAITING_BYTES:
                break
            body = self._envelope(sequence)
            if body is not None:
                found.append((sequence, body))
                size += len(body)
        return found

    def settle(self, sequence: int, status: str, reason: str) -> None:
        """Stored or duplicate: it is no longer ours. Rejected: kept apart, so that others pass."""
        if status == "rejected":
            self.db.execute(
                "INSERT OR REPLACE INTO quarantine SELECT sequence, ?, ?, measurements, crc, body"
                " FROM envelope WHERE sequence = ?",
                (reason, self._clock.wall_us(), sequence),
            )
            gone = self.db.execute(
                "DELETE FROM quarantine WHERE sequence NOT IN"
                " (SELECT sequence FROM quarantine ORDER BY sequence DESC LIMIT ?)"
                " RETURNING measurements",
                (QUARANTINED,),
            ).fetchall()
            self.note("rejected", sum(held for (held,) in gone))
        self.db.execute("DELETE FROM envelope WHERE sequence = ?", (sequence,))

    def counts(self) -> SpoolCounts:
        opened = self.db.execute(
            "SELECT count(*), coalesce(sum(size), 0) FROM measurement"
        ).fetchone()
        waiting = self.db.execute(
            "SELECT count(*), coalesce(sum(measurements), 0) FROM envelope"
        ).fetchone()
        (quarantined,) = self.db.execute("SELECT count(*) FROM quarantine").fetchone()
        (oldest,) = self.db.execute(
            "SELECT coalesce((SELECT stored_us FROM envelope ORDER BY sequence LIMIT 1),"
            " (SELECT stored_us FROM measurement ORDER BY sequence LIMIT 1))"
        ).fetchone()
        return SpoolCounts(
            open=opened[0],
            open_bytes=opened[1],
            waiting=waiting[0],
            waiting_measurements=waiting[1],
            quarantined=quarantined,
            bytes=self.room.used(),
            limit_bytes=self.room.limit_bytes,
            oldest_us=oldest,
            dropped=dict(self.db.execute("SELECT kind, count FROM gap WHERE count > 0")),
        )

    def relieve(self, worth: Priority) -> bool:
        """In transactions of its own: drop some of what is worth no more than `worth`.

        Step by step, each with an empty journal: on a full disk there is no room for more of it.
        """
        aim = min(self.room.used() - PAGE, self.room.soft)
        dropped = 0
        for priority in SHEDDABLE:
            while priority >= worth and self.room.used() > aim:
                self.empty_journal()
                gone = self._drop(priority)
                if not gone:
                    break
                dropped += gone
        return dropped > 0

    def empty_journal(self) -> None:
        """Write it back into the file; it begins anew in the space it has."""
        with suppress(sqlite3.OperationalError):  # what cannot be written back stays in it, safe
            self.db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def _drop(self, priority: Priority) -> int:
        self.db.execute("BEGIN IMMEDIATE")
        gone = thin(self.db, priority, self.room.step)
        self.note(f"thinned_p{int(priority)}", gone)
        self.db.execute("COMMIT")
        return gone

    def note(self, kind: str, count: int) -> None:
        """Add to the ledger of what is missing."""
        if count:
            self.db.execute(
                "INSERT INTO gap VALUES (?, ?, ?) ON CONFLICT (kind)"
                " DO UPDATE SET count = count + excluded.count, last_us = excluded.last_us",
                (kind, count, self._clock.wall_us()),
            )

    def raise_sequences(self, doubtful: bool) -> None:
        """Go on above every number that may have been given, also by a database that is no more."""
        marks = self.floor.read()
        for table in ("measurement", "envelope"):
            last = self._last(table)
            if marks is None:
                floor = self._clock.wall_us() if doubtful else last
            elif table == "envelope":
                floor = marks.envelope
            else:
                behind = doubtful or last + 2 * BLOCK < marks.measurement
                floor = marks.measurement if behind else last
            if floor > last:
                self.db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
                self.db.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, floor))

    def _last(self, table: str) -> int:
        row = self.db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return int(row[0]) if row else 0

    def _keep_epoch(self, epoch: pb.Epoch) -> None:
        body = epoch.SerializeToString(deterministic=True)
        self.db.execute(
            "INSERT INTO epoch VALUES (?, ?, ?) ON CONFLICT (id)"
            " DO UPDATE SET crc = excluded.crc, body = excluded.body WHERE body <> excluded.body",
            (epoch.id, checksum(body, epoch.id), body),
        )

    def _open_rows(self, best: Priority, worst: Priority) -> list[tuple[int, str, bytes]]:
        """Sequence, epoch and body of the next batch, less what is not as it was written."""
        rows: list[tuple[int, str, bytes]] = []
        size = 0
        picked = self.db.execute(
            "SELECT sequence, size FROM measurement WHERE priority BETWEEN ? AND ?"
            " ORDER BY sequence LIMIT ?",
            (int(best), int(worst), BATCH_ROWS),
        ).fetchall()
        for sequence, length in picked:
            size += length
            if rows and size > BATCH_BYTES:
                break
            epoch, priority, crc, body = self.db.execute(
                "SELECT epoch, priority, crc, body FROM measurement WHERE sequence = ?", (sequence,)
            ).fetchone()
            if crc == checksum(body, sequence, priority, epoch):
                rows.append((sequence, epoch, body))
            else:
                self._unreadable("measurement", sequence, 1)
        return rows

    def _close(
        self, rows: list[tuple[int, str, bytes]], priority: Priority, seal: Seal, at_most: int
    ) -> int:
        number = self._last("envelope") + 1
        epochs = [self._epoch(name) for name in dict.fromkeys(epoch for _, epoch, _ in rows)]
        try:
            rows, sealed = _sealed(number, rows, epochs, seal, at_most)
        except (OSError, sqlite3.Error) as error:  # or it would be taken for the spool's own
            raise SealError(error) from error
        self.floor.give(number)
        self.db.executemany(
            "DELETE FROM measurement WHERE sequence = ?", [(sequence,) for sequence, *_ in rows]
        )
        self.db.execute("DELETE FROM epoch WHERE id NOT IN (SELECT epoch FROM measurement)")
        self.db.execute(
            "INSERT INTO envelope VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                number, int(priority), len(sealed), self._clock.wall_us(), len(rows),
                checksum(sealed, number), sealed,
            ),
        )  # fmt: skip
        return number

    def _epoch(self, name: str) -> Epoch:
        """As stored; one that was lost says of itself what it must and no more."""
        row = self.db.execute("SELECT crc, body FROM epoch WHERE id = ?", (name,)).fetchone()
        if row is None or row[0] != checksum(row[1], name):
            return Epoch(id=name, started_us=0)
        return epoch_from_pb(pb.Epoch.FromString(row[1]))

    def _in_order(self, limit: int) -> Iterator[int]:
        ranks = f"priority <= {Priority.P1:d}", f"priority > {Priority.P1:d}"
        urgent = self._ends(ranks[0], "ASC", limit)
        ((rest,),) = self.db.execute(f"SELECT count(*) FROM envelope WHERE {ranks[1]}").fetchall()  # noqa: S608
        return catch_up(
            urgent,
            self._ends(ranks[1], "ASC", limit),
            self._ends(ranks[1], "DESC", limit),
            newest_first=rest % 2 == 0,  # each one settled turns the order round
        )

    def _ends(self, rank: str, direction: str, limit: int) -> list[int]:
        found = self.db.execute(
            f"SELECT sequence FROM envelope INDEXED BY envelope_by_priority WHERE {rank}"  # noqa: S608
            f" ORDER BY sequence {direction} LIMIT ?",
            (limit,),
        )
        return [sequence for (sequence,) in found]

    def _envelope(self, sequence: int) -> bytes | None:
        crc, measurements, body = self.db.execute(
            "SELECT crc, measurements, body FROM envelope WHERE sequence = ?", (sequence,)
        ).fetchone()
        if crc == checksum(body, sequence):
            return bytes(body)
        self._unreadable("envelope", sequence, measurements)
        return None

    def _unreadable(self, table: str, sequence: int, measurements: int) -> None:
        self.note("unreadable", measurements)
        self.db.execute(f"DELETE FROM {table} WHERE sequence = ?", (sequence,))  # noqa: S608


def _sealed(
    number: int,
    rows: list[tuple[int, str, bytes]],
    epochs: list[Epoch],
    seal: Seal,
    at_most: int,
) -> tuple[list[tuple[int, str, bytes]], bytes]:
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
    rows: list[tuple[int, str, bytes]],
    epochs: list[Epoch],
    seal: Seal,
) -> bytes:
    named = {epoch for _, epoch, _ in rows[:size]}
    bodies = [body for *_, body in rows[:size]]
    return seal(number, bodies, [epoch for epoch in epochs if epoch.id in named])
