"""Run the spool's operations in transactions, from append to making room."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path

from heliograph.clock import Clock
from heliograph.observation import Epoch
from heliograph.units import minute_of
from heliograph.v1 import observation_pb2 as pb
from heliograph_agent.spool.compaction import Compaction, raise_sequence
from heliograph_agent.spool.eviction import SHEDDABLE, evict_rows
from heliograph_agent.spool.loss_counts import ACKED, LossCounts
from heliograph_agent.spool.open_rows import CLASSES, BatchCloser, OpenRows
from heliograph_agent.spool.priority import BoundError, FreedRoom, Priority
from heliograph_agent.spool.quota import Quota
from heliograph_agent.spool.row_cipher import RowCipher
from heliograph_agent.spool.schema import DIGEST, HIDDEN, PAGE, SEQUENCED, checksum
from heliograph_agent.spool.sealing import BatchSealer, EnvelopeSealer, OpenRow
from heliograph_agent.spool.sequence_marks import BLOCK, SequenceMarks
from heliograph_agent.spool.summarize import ENDS, roll_up_days, roll_up_hours

BUSY_MS = 5_000  # for which a statement waits for another process
WAITING_BYTES = 2_097_152  # listed at once, so that a long backlog stays on disk
SUMMED = {f"summed_p{int(priority)}": f"p{int(priority)}" for priority in SHEDDABLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolCounts:
    """Count an agent's stored results; `dropped` counts lost ones by cause."""

    open: int = 0  # measurements not yet in an envelope
    waiting: int = 0  # envelopes not yet acknowledged
    waiting_measurements: int = 0
    quarantined: int = 0  # envelopes the collector refused
    bytes: int = 0  # in use within the bound
    limit_bytes: int = 0
    oldest_us: int | None = None  # wall clock when the oldest of them was stored
    dropped: Mapping[str, int] = field(default_factory=dict)
    summed: Mapping[str, int] = field(default_factory=dict)  # sent only in a summary
    acked: int = 0  # measurements that the collector acknowledged
    problem: str = ""  # why the spool cannot be used now

    def with_refused(self, count: int) -> "SpoolCounts":
        """Add refused appends that the ledger does not hold yet."""
        refused = self.dropped.get("refused", 0) + count
        return replace(self, dropped={**self.dropped, "refused": refused})


class SpoolOperations:
    """Run operations on a database, all but `make_room` in the caller's transaction."""

    def __init__(
        self,
        db: sqlite3.Connection,
        path: Path,
        clock: Clock,
        limit_bytes: int,
        cipher: RowCipher,
        sealer: BatchSealer,
    ) -> None:
        self.db = db
        self._sealer = sealer
        self.loss_counts = LossCounts(db, clock)
        self.has_closed_batch = False  # since the journal was last emptied
        self.sequence_marks = SequenceMarks(path.with_name(f"{path.name}.floor"))
        self._offer_marks = SequenceMarks(path.with_name(f"{path.name}.offered"))
        self._clock = clock
        self.quota = Quota(db, path, limit_bytes)
        self.compaction = Compaction(db, clock, self.sequence_marks)
        self.open_rows = OpenRows(db, cipher, self.compaction, self)
        self._batch_closer = BatchCloser(db, clock, self.compaction, self.open_rows)

    def append(self, measurement: pb.Measurement, epoch: Epoch, priority: Priority) -> int:
        """Store a measurement. Raises BoundError if only P0 and P1 may use the room."""
        self.quota.limit_pages()
        if priority in SHEDDABLE and self.quota.used_bytes() > self.quota.soft_limit:
            raise BoundError
        sequence = self._last_sequence("measurement") + 1
        self.sequence_marks.reserve_measurements(sequence)
        measurement.sequence = sequence
        body = measurement.SerializeToString(deterministic=True)
        self.open_rows.insert_or_hold(
            OpenRow(sequence, epoch, body),
            int(priority),
            minute_of(self._clock.wall_us()),
            self._sealer,
        )
        return sequence

    def close_batch(self, max_bytes: int, *, is_offline: bool) -> int | None:
        """Close the next batch, or return None. The caller rolls back after an error."""
        sealer = EnvelopeSealer(self._sealer, max_bytes)
        number = self._batch_closer.close_next(sealer, is_offline=is_offline)
        self.has_closed_batch |= number is not None
        return number

    def write_digest(self, bodies: Sequence[bytes], epoch: Epoch, max_bytes: int) -> None:
        """Write the first digest that fits, in place of a previous unsent one."""
        self.compaction.write_digest(bodies, epoch, EnvelopeSealer(self._sealer, max_bytes))

    def mark_offered(self, numbers: Sequence[int]) -> set[int]:
        """Mark envelopes before sending; return those that were not merged meanwhile."""
        waiting = self.find_waiting(numbers)
        with suppress(OSError):  # a read-only disk loses no commit
            self._offer_marks.record_offer(
                self._last_sequence("measurement"), max(waiting, default=0)
            )
        self.compaction.mark_offered(waiting)
        return waiting

    def find_waiting(self, numbers: Sequence[int]) -> set[int]:
        """Return the numbers of `numbers` whose envelopes wait for a receipt."""
        query = "SELECT 1 FROM envelope WHERE sequence = ?"
        return {number for number in numbers if self.db.execute(query, (number,)).fetchone()}

    def drop_doubtful(self) -> int:
        """Drop results that may have arrived in envelopes that a disk lost.

        An envelope is on the disk before it is sent. If this file does not know its number, the
        disk lost commits. Then its measurements are open here again, or in an older version of the
        last envelopes. Returns the highest measurement that may have arrived so, or 0.
        """
        marks = self._offer_marks.read_marks()
        last = self._last_sequence("envelope")
        if marks is None or marks.envelope <= last:
            return 0
        open_rows = self.db.execute(
            "DELETE FROM measurement WHERE sequence <= ?", (marks.measurement,)
        ).rowcount
        youngest = self.db.execute(
            "DELETE FROM envelope WHERE sequence IN"
            " (SELECT max(sequence) FROM envelope WHERE priority < ? GROUP BY priority)"
            " RETURNING measurements",
            (HIDDEN,),
        ).fetchall()
        self.count_gap("unreadable", open_rows + sum(measurements for (measurements,) in youngest))
        return marks.measurement

    def drop_rows_older_than_envelopes(self) -> None:
        """Drop open results of a damaged file that an envelope may hold too.

        A full disk can stop the journal's way into the file between two pages. If the journal is
        damaged then, old pages show results as open whose envelope stands in new ones, or was sent.
        A copy's number is drawn before that of the envelope that takes its row. So a result is in
        doubt if its copy is older than an envelope of its class, or than one that was offered.
        """
        marks = self._offer_marks.read_marks()
        offered = marks.envelope if marks else 0
        for best, worst in CLASSES:
            dropped = self.db.execute(
                "DELETE FROM measurement WHERE priority BETWEEN ? AND ? AND number < max(?, ("
                "SELECT coalesce(max(sequence), 0) FROM envelope WHERE priority BETWEEN ? AND ?))",
                (int(best), int(worst), offered, int(best), int(worst)),
            ).rowcount
            self.count_gap("unreadable", dropped)

    def offer_forked_again(self) -> None:
        """Offer batches again that a collector of an earlier version refused as forked.

        Another machine had used their numbers. Later versions keep such batches too.
        """
        self.db.execute(
            "INSERT OR IGNORE INTO envelope"
            " (sequence, priority, size, stored_us, measurements, crc, body)"
            " SELECT sequence, ?, length(body), stored_us, measurements, crc, body"
            " FROM quarantine WHERE reason = 'forked'",
            (int(Priority.P1),),
        )
        self.db.execute("DELETE FROM quarantine WHERE reason = 'forked'")

    def read_backlog(self) -> tuple[int, int | None]:
        """Return the newest envelope's number, and the oldest result's time or None."""
        return self._last_sequence("envelope"), self._oldest_us()

    def list_waiting(self, limit: int, skip_through: int = 0) -> list[tuple[int, bytes]]:
        """List the `limit` most useful envelopes, fewer if they are large.

        P2 and P3 are listed only above `skip_through`.
        """
        envelopes: list[tuple[int, bytes]] = []
        size = 0
        for sequence in _order_waiting(self.db, limit, skip_through):
            if len(envelopes) >= limit or size > WAITING_BYTES:
                break
            body = self._read_envelope(sequence)
            if body is not None:
                envelopes.append((sequence, body))
                size += len(body)
        return envelopes

    def record_receipt(self, sequence: int, status: str, reason: str) -> None:
        self.loss_counts.record_receipt(sequence, status, reason)

    def read_counts(self) -> SpoolCounts:
        (open_count,) = self.db.execute("SELECT count(*) FROM measurement").fetchone()
        waiting = self.db.execute(
            "SELECT count(*), coalesce(sum(measurements), 0) FROM envelope WHERE priority < ?",
            (HIDDEN,),
        ).fetchone()
        (quarantined,) = self.db.execute("SELECT count(*) FROM quarantine").fetchone()
        ledger = dict(self.db.execute("SELECT kind, count FROM gap WHERE count > 0"))
        return SpoolCounts(
            open=open_count,
            waiting=waiting[0],
            waiting_measurements=waiting[1],
            quarantined=quarantined,
            bytes=self.quota.used_bytes(),
            limit_bytes=self.quota.limit_bytes,
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
            (HIDDEN - 1,),
        ).fetchone()
        return None if oldest is None else int(oldest)

    def make_room(self, worth: int) -> bool:
        """Make room for a result of `worth` in separate transactions; return success.

        Summaries replace results first, of P3 before P2. Then results of no greater worth are
        dropped. Each step begins with an empty journal, because a full disk has no room for more.
        """
        if worth > max(SHEDDABLE):
            return False
        target_bytes = min(self.quota.used_bytes() - PAGE, self.quota.soft_limit)
        has_made_room = False
        for cause, free_room in self._list_room_steps(worth):
            while self.quota.used_bytes() > target_bytes:
                self.empty_journal()
                self.db.execute("BEGIN IMMEDIATE")
                freed = free_room()
                self.count_gap(cause, freed.runs)
                self.db.execute("COMMIT")
                if not freed.has_freed:
                    break
                has_made_room = True
        return has_made_room

    def _list_room_steps(self, worth: int) -> "Iterator[tuple[str, partial[FreedRoom]]]":
        """List the steps with their causes in the ledger of missing results."""
        want = self.quota.step_bytes
        for ends, priority, roll_up in product(ENDS, SHEDDABLE, (roll_up_hours, roll_up_days)):
            yield f"summed_p{int(priority)}", partial(roll_up, self.db, priority, want, ends)
        for priority in SHEDDABLE:
            if priority >= worth:
                yield f"thinned_p{int(priority)}", partial(evict_rows, self.db, priority, want)

    def empty_journal(self) -> None:
        """Write the journal back into the file, so that its space is reused."""
        with suppress(sqlite3.OperationalError):  # then the pages stay in the journal
            self.db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def truncate_journal(self) -> None:
        """Empty the journal after a batch, unless another process reads it just now."""
        self.has_closed_batch = False
        with suppress(sqlite3.Error):  # the batch is committed, and must not be closed again
            self.db.execute("PRAGMA busy_timeout = 0")
            self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with suppress(sqlite3.Error):
            self.db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")

    def count_gap(self, kind: str, count: int) -> None:
        """Add to the ledger of missing results."""
        self.loss_counts.count_gap(kind, count)

    def raise_sequences(self, is_doubtful: bool) -> None:
        """Raise the sequences above all numbers that a lost database may have given."""
        marks = self.sequence_marks.read_marks()
        offer_marks = self._offer_marks.read_marks()
        for table in SEQUENCED:
            last = self._last_sequence(table)
            if marks is None:
                minimum = self._clock.wall_us() if is_doubtful else last
            elif table == "envelope":
                minimum = marks.envelope
            else:
                is_behind = is_doubtful or last + 2 * BLOCK < marks.measurement
                minimum = marks.measurement if is_behind else last
            if table == "envelope" and offer_marks is not None:
                minimum = max(minimum, offer_marks.envelope)
            if minimum > last:
                raise_sequence(self.db, table, minimum)

    def _last_sequence(self, table: str) -> int:
        row = self.db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return int(row[0]) if row else 0

    def _read_envelope(self, sequence: int) -> bytes | None:
        crc, measurements, body = self.db.execute(
            "SELECT crc, measurements, body FROM envelope WHERE sequence = ?", (sequence,)
        ).fetchone()
        if crc == checksum(body, sequence):
            return bytes(body)
        self.drop_unreadable("envelope", sequence, measurements)
        return None

    def drop_unreadable(self, table: str, sequence: int, measurements: int) -> None:
        """Delete a corrupt row, and count its measurements as lost."""
        self.count_gap("unreadable", measurements)
        self.db.execute(f"DELETE FROM {table} WHERE sequence = ?", (sequence,))  # noqa: S608 names of ours


def _order_waiting(db: sqlite3.Connection, limit: int, skip_through: int) -> Iterator[int]:
    """Yield the numbers of waiting envelopes; P2 and P3 only above `skip_through`.

    Why: after weeks offline a link may open for minutes, and may close again at any time. So
    the envelopes sent until then must contain as much as possible. The order is:

    1. The digest, which covers the whole offline time in one small envelope.
    2. P0 and P1 by age: how the link was, and what changed, from the onset of the outage on.
    3. P2 and P3 from both ends of their list in turn. The newest show how things are now, and the
       oldest how they began; the middle fills up last.

    Only a receipt removes an envelope, so each call lists the rest again. The turns have to
    alternate across calls too, although nothing remembers the last one. The parity of the remaining
    count does that: each receipt changes it.
    """
    rest = f"priority IN ({Priority.P2:d}, {Priority.P3:d}) AND sequence > {skip_through:d}"
    ((count,),) = db.execute(f"SELECT count(*) FROM envelope WHERE {rest}").fetchall()  # noqa: S608 names of ours
    changes = f"priority IN ({Priority.P0:d}, {Priority.P1:d})"
    yield from _list_ends(db, f"priority = {DIGEST:d}", "DESC", limit)
    yield from _list_ends(db, changes, "ASC", limit)
    yield from alternate_ends(
        _list_ends(db, rest, "ASC", limit),
        _list_ends(db, rest, "DESC", limit),
        is_newest_first=count % 2 == 0,
    )


def alternate_ends(
    oldest: Sequence[int], newest: Sequence[int], *, is_newest_first: bool
) -> Iterator[int]:
    """Yield each number once, from both ends of one list in turn.

    Each end goes inward, and both may overlap.
    """
    ends = (iter(newest), iter(oldest)) if is_newest_first else (iter(oldest), iter(newest))
    yielded: set[int] = set()
    for pair in zip(*ends, strict=True):
        for sequence in pair:
            if sequence not in yielded:
                yielded.add(sequence)
                yield sequence


def _list_ends(db: sqlite3.Connection, rank: str, direction: str, limit: int) -> list[int]:
    rows = db.execute(
        f"SELECT sequence FROM envelope INDEXED BY envelope_by_priority WHERE {rank}"  # noqa: S608 names of ours
        f" ORDER BY sequence {direction} LIMIT ?",
        (limit,),
    )
    return [sequence for (sequence,) in rows]
