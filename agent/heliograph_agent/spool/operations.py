"""What is done inside the spool's transactions: append, close a batch, look, settle, make room."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from heliograph.clock import Clock
from heliograph.observation import Epoch
from heliograph.v1 import observation_pb2 as pb
from heliograph_agent.spool.batching import Closing, marked
from heliograph_agent.spool.compaction import DIGEST, KEPT_BACK, Folds, Seal, let_go
from heliograph_agent.spool.eviction import SHEDDABLE, thin
from heliograph_agent.spool.priority import BoundError, Priority
from heliograph_agent.spool.quota import Room
from heliograph_agent.spool.schema import PAGE, checksum
from heliograph_agent.spool.sequence_marks import BLOCK, Floor
from heliograph_agent.spool.summarize import ENDS, Rolled, roll_days, roll_hours


def catch_up(
    urgent: Sequence[int], oldest: Sequence[int], newest: Sequence[int], *, newest_first: bool
) -> Iterator[int]:
    """Urgent ones as they happened, then the rest from both its ends in turn.

    The newest says how it is now, the oldest how it began; who waits for either gets it soon.
    `oldest` and `newest` are the two ends of one list, in their own order, and may overlap.
    """
    yield from urgent
    ends = (iter(newest), iter(oldest)) if newest_first else (iter(oldest), iter(newest))
    told: set[int] = set()
    for pair in zip(*ends, strict=True):
        for sequence in pair:
            if sequence not in told:
                told.add(sequence)
                yield sequence


WAITING_BYTES = 2_097_152  # envelopes handed out at once, so that a long backlog stays on disk
QUARANTINED = 64  # refused envelopes kept for their owner to look at
ACKED = "acked"  # in the ledger, beside what is missing
SUMMED = {f"summed_p{int(priority)}": f"p{int(priority)}" for priority in SHEDDABLE}
# What is done for room, until there is enough: a cause for the ledger, how many, whether at all.
Step = Callable[[sqlite3.Connection, Priority, int], tuple[str, int, bool]]


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
    summed: Mapping[str, int] = field(default_factory=dict)  # results that go out in a sum alone
    acked: int = 0  # measurements that the collector said it has
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
        self._offers = Floor(path.with_name(f"{path.name}.offered"))
        self._clock = clock
        self.room = Room(db, path, limit_bytes)
        self.folds = Folds(db, clock, self.floor)
        self._closing = Closing(db, clock, self.folds, self._unreadable)

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

    def close_batch(self, seal: Seal, at_most: int, *, dark: bool) -> int | None:
        """None when nothing is open. What `seal` raises passes, and its caller rolls back."""
        return self._closing.close(seal, at_most, dark=dark)

    def digest(self, bodies: Sequence[bytes], epoch: Epoch, seal: Seal, at_most: int) -> None:
        """The first that fits, in place of the one before if nobody saw that."""
        self.folds.digest(bodies, epoch, marked(seal), at_most)

    def offered(self, numbers: Sequence[int]) -> set[int]:
        """Before they are handed out. The others have grown, or gave way to a sum, since a look."""
        there = self.there(numbers)
        with suppress(OSError):  # a disk that is read-only loses no commit
            self._offers.offer(self._last("measurement"), max(there, default=0))
        self.folds.offered(there)
        return there

    def there(self, numbers: Sequence[int]) -> set[int]:
        """Those of them that wait."""
        ask = "SELECT 1 FROM envelope WHERE sequence = ?"
        return {number for number in numbers if self.db.execute(ask, (number,)).fetchone()}

    def forget_doubtful(self) -> None:
        """After a disk lost commits: drop what may have arrived in envelopes it knows nothing of.

        One that went out was on the disk before. If its number was never given, as this file has
        it, then what it held lies open here again, or in an older version of the last envelopes.
        """
        marks, last = self._offers.read(), self._last("envelope")
        if marks is None or marks.envelope <= last:
            return
        open_rows = self.db.execute(
            "DELETE FROM measurement WHERE sequence <= ?", (marks.measurement,)
        ).rowcount
        youngest = self.db.execute(
            "DELETE FROM envelope WHERE sequence IN"
            " (SELECT max(sequence) FROM envelope WHERE priority < ? GROUP BY priority)"
            " RETURNING measurements",
            (KEPT_BACK,),
        ).fetchall()
        self.note("unreadable", open_rows + sum(held for (held,) in youngest))

    def backlog(self) -> tuple[int, int | None]:
        """The youngest envelope's number, and when the oldest that waits was stored."""
        return self._last("envelope"), self._oldest_us()

    def waiting(self, limit: int, held_to: int = 0) -> list[tuple[int, bytes]]:
        """The most useful `limit` envelopes; fewer where they are large.

        Of P2 and P3 only those above `held_to`.
        """
        found: list[tuple[int, bytes]] = []
        size = 0
        for sequence in self._in_order(limit, held_to):
            if len(found) >= limit or size > WAITING_BYTES:
                break
            body = self._envelope(sequence)
            if body is not None:
                found.append((sequence, body))
                size += len(body)
        return found

    def settle(self, sequence: int, status: str, reason: str) -> None:
        """Stored or duplicate: it is no longer ours. Rejected: kept apart, so that others pass."""
        let_go(self.db, sequence)
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
        settled = self.db.execute(
            "DELETE FROM envelope WHERE sequence = ? RETURNING measurements", (sequence,)
        ).fetchall()
        if status != "rejected":
            self.note(ACKED, sum(held for (held,) in settled))

    def counts(self) -> SpoolCounts:
        opened = self.db.execute(
            "SELECT count(*), coalesce(sum(size), 0) FROM measurement"
        ).fetchone()
        waiting = self.db.execute(
            "SELECT count(*), coalesce(sum(measurements), 0) FROM envelope WHERE priority < ?",
            (KEPT_BACK,),
        ).fetchone()
        (quarantined,) = self.db.execute("SELECT count(*) FROM quarantine").fetchone()
        ledger = dict(self.db.execute("SELECT kind, count FROM gap WHERE count > 0"))
        return SpoolCounts(
            open=opened[0],
            open_bytes=opened[1],
            waiting=waiting[0],
            waiting_measurements=waiting[1],
            quarantined=quarantined,
            bytes=self.room.used(),
            limit_bytes=self.room.limit_bytes,
            oldest_us=self._oldest_us(),
            dropped={kind: n for kind, n in ledger.items() if kind not in (*SUMMED, ACKED)},
            acked=ledger.get(ACKED, 0),
            summed={SUMMED[kind]: n for kind, n in ledger.items() if kind in SUMMED},
        )

    def _oldest_us(self) -> int | None:
        (oldest,) = self.db.execute(
            "SELECT coalesce((SELECT stored_us FROM envelope WHERE priority BETWEEN 0 AND ?"
            " ORDER BY sequence LIMIT 1),"
            " (SELECT stored_us FROM measurement ORDER BY sequence LIMIT 1))",
            (KEPT_BACK - 1,),
        ).fetchone()
        return None if oldest is None else int(oldest)

    def relieve(self, worth: int) -> bool:
        """In transactions of its own: make room for something of `worth`.

        What can be summed up is, routine first; then is dropped what is worth no more. Step by
        step, each with an empty journal: on a full disk there is no room for more of it.
        """
        if worth > max(SHEDDABLE):
            return False
        aim = min(self.room.used() - PAGE, self.room.soft)
        relieved = False
        for step, priority in _STEPS:
            while (step is not _thinning or priority >= worth) and self.room.used() > aim:
                self.empty_journal()
                if not self._in_one(step, priority):
                    break
                relieved = True
        return relieved

    def empty_journal(self) -> None:
        """Write it back into the file; it begins anew in the space it has."""
        with suppress(sqlite3.OperationalError):  # what cannot be written back stays in it, safe
            self.db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def _in_one(self, step: Step, priority: Priority) -> bool:
        """Whether anything gave way."""
        self.db.execute("BEGIN IMMEDIATE")
        cause, count, done = step(self.db, priority, self.room.step)
        self.note(f"{cause}_p{int(priority)}", count)
        self.db.execute("COMMIT")
        return done

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
        marks, offered = self.floor.read(), self._offers.read()
        for table in ("measurement", "envelope"):
            last = self._last(table)
            if marks is None:
                floor = self._clock.wall_us() if doubtful else last
            elif table == "envelope":
                floor = marks.envelope
            else:
                behind = doubtful or last + 2 * BLOCK < marks.measurement
                floor = marks.measurement if behind else last
            if table == "envelope" and offered is not None:
                floor = max(floor, offered.envelope)
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

    def _in_order(self, limit: int, held_to: int) -> Iterator[int]:
        rest = f"priority IN ({Priority.P2:d}, {Priority.P3:d}) AND sequence > {held_to:d}"
        ((many,),) = self.db.execute(f"SELECT count(*) FROM envelope WHERE {rest}").fetchall()  # noqa: S608
        return catch_up(
            [
                *self._ends(f"priority = {DIGEST:d}", "DESC", limit),
                *self._ends(f"priority IN ({Priority.P0:d}, {Priority.P1:d})", "ASC", limit),
            ],
            self._ends(rest, "ASC", limit),
            self._ends(rest, "DESC", limit),
            newest_first=many % 2 == 0,  # each one settled turns the order round
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


def _summing(roll: Callable[[sqlite3.Connection, Priority, int, int], Rolled], ends: int) -> Step:
    def step(db: sqlite3.Connection, priority: Priority, want: int) -> tuple[str, int, bool]:
        rolled = roll(db, priority, want, ends)
        return "summed", rolled.runs, rolled.done

    return step


def _thinning(db: sqlite3.Connection, priority: Priority, want: int) -> tuple[str, int, bool]:
    gone = thin(db, priority, want)
    return "thinned", gone, gone > 0


_STEPS: tuple[tuple[Step, Priority], ...] = (
    *(
        (_summing(roll, ends), priority)
        for ends in ENDS
        for priority in SHEDDABLE
        for roll in (roll_hours, roll_days)
    ),
    *((_thinning, priority) for priority in SHEDDABLE),
)
