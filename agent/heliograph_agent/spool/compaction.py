"""Compact unsent envelopes while offline: merge batches and keep summaries.

Nobody can read a sealed envelope again, neither this agent nor a thief of the disk. So merging and
summarizing need the rows that sealed them, which are in memory.

- Growing: the youngest envelope of a class is sealed again with the rows of the next batch, under
  a new number, while both fit into one batch; a summarized one only within its hour.
- Summarized: P2 and P3 are also counted in a summary of their hour, and a past hour in that of its
  day. Summaries are sealed into hidden rows (rank + HOUR, rank + DAY). The column `cover` of a
  member is the number of its summary. When room runs short, summarize.py replaces members by it.
- Offered: an envelope that may be sent grows no more, and its summaries are dropped, because a
  result that arrived would count twice.

After a restart, a rollback or a write by another process, memory and file differ: growth ends, and
new summaries begin.
"""

import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from heliograph.clock import Clock
from heliograph.observation import Epoch
from heliograph.units import HOUR_US
from heliograph_agent.spool.priority import Priority
from heliograph_agent.spool.schema import DAY, DIGEST, HIDDEN, HOUR, checksum
from heliograph_agent.spool.sequence_marks import SequenceMarks
from heliograph_agent.spool.summarize import DETAILS, RunSummary

Seal = Callable[[int, Sequence[bytes], Sequence[Epoch]], bytes]
Rows = list[tuple[int, str, bytes]]  # sequence, epoch, body

HOURS_A_DAY = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeRow:
    """Hold a row of the table `envelope`."""

    number: int
    rank: int
    stored_us: int
    measurements: int
    body: bytes


@dataclass(slots=True)
class GrowableEnvelope:
    """Hold the youngest envelope of a class with its rows, for merging."""

    envelope_row: EnvelopeRow
    rows: Rows
    epochs: dict[str, Epoch]
    version: int  # PRAGMA data_version, which changes when another process writes
    cover: int = 0


@dataclass(slots=True)
class RunningSummary:
    """Hold the summary of an hour or a day so far, and its last sealed envelope."""

    key: int  # hour or day of the wall clock since 1970
    envelope_row: EnvelopeRow
    members: int  # envelopes that it can replace
    summary: RunSummary = field(default_factory=RunSummary)
    epochs: dict[str, Epoch] = field(default_factory=dict)


class Compaction:
    """Hold the growing envelopes and running summaries of one run of the agent."""

    def __init__(self, db: sqlite3.Connection, clock: Clock, sequence_marks: SequenceMarks) -> None:
        self._db = db
        self._clock = clock
        self._sequence_marks = sequence_marks
        self._growable: dict[Priority, GrowableEnvelope] = {}
        self._hours: dict[Priority, RunningSummary] = {}
        self._days: dict[Priority, RunningSummary] = {}
        self._digest: GrowableEnvelope | None = None

    def write_envelope(self, envelope_row: EnvelopeRow) -> None:
        """Write a row, in place of one with the same number."""
        self._sequence_marks.record_envelope(envelope_row.number)
        body = envelope_row.body
        self._db.execute(
            "INSERT OR REPLACE INTO envelope VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
            (
                envelope_row.number, envelope_row.rank, len(body), envelope_row.stored_us,
                envelope_row.measurements, checksum(body, envelope_row.number), body,
            ),
        )  # fmt: skip

    def find_growable(self, priority: Priority) -> GrowableEnvelope | None:
        """Return the envelope of this class that the next batch may join, or None."""
        growable = self._growable.get(priority)
        hour = self._hours.get(priority)
        if growable is None or not self._is_unchanged(growable):
            return None
        if not growable.cover:
            return growable
        # A summarized envelope belongs to one hour, and to a summary that is still open.
        is_same_hour = hour is not None and (hour.key, hour.envelope_row.number) == (
            self._current_hour(),
            growable.cover,
        )
        return growable if is_same_hour and hour is not None and self._is_current(hour) else None

    def delete_grown(self, grown: GrowableEnvelope) -> None:
        """Delete an envelope whose rows are in a newer one."""
        self._delete_envelope(grown.envelope_row.number)

    def set_growable(
        self, envelope_row: EnvelopeRow, rows: Rows, epochs: dict[str, Epoch], cover: int
    ) -> None:
        """Record an envelope as the youngest of its class."""
        self._db.execute(
            "UPDATE envelope SET cover = ? WHERE sequence = ?", (cover, envelope_row.number)
        )
        self._growable[Priority(envelope_row.rank)] = GrowableEnvelope(
            envelope_row, rows, epochs, self._data_version(), cover
        )

    def add_to_hour(
        self,
        priority: Priority,
        bodies: Sequence[bytes],
        epochs: dict[str, Epoch],
        seal: Seal,
        max_bytes: int,
        *,
        is_grown: bool,
    ) -> int:
        """Add a batch to the summary of its hour; return the number of its envelope.

        The summary of a single envelope is an empty row, because it would be as large as the
        envelope.
        """
        hour = self._hours.get(priority)
        is_current = hour is not None and self._is_current(hour)
        if hour is not None and is_current and hour.key != self._current_hour():
            self._add_to_day(priority, hour, seal, max_bytes)
            is_current = False
        if hour is None or not is_current:
            hour = self._hours[priority] = self._begin_summary(
                self._current_hour(), priority + HOUR
            )
        for body in bodies:
            hour.summary.add(body)
        hour.epochs |= epochs
        hour.members += not is_grown
        self._seal_summary(hour, seal, max_bytes)
        return hour.envelope_row.number

    def write_digest(
        self, bodies: Sequence[bytes], epoch: Epoch, seal: Seal, max_bytes: int
    ) -> None:
        """Write the first of `bodies` that fits, in place of an unsent digest."""
        previous = self._digest
        number = self.next_number()
        sealed = b""
        for body in bodies:
            sealed = seal(number, [body], [epoch])
            if len(sealed) <= max_bytes:
                break
        if previous is not None and self._is_unchanged(previous):
            self._delete_envelope(previous.envelope_row.number)
        envelope_row = EnvelopeRow(
            number=number, rank=DIGEST, stored_us=self._clock.wall_us(), measurements=0, body=sealed
        )
        self.write_envelope(envelope_row)
        self._digest = GrowableEnvelope(envelope_row, [], {}, self._data_version())

    def mark_offered(self, numbers: Collection[int]) -> None:
        """End the growth of envelopes before they are sent, and drop their summaries."""
        for number in numbers:
            self._growable = {
                p: t for p, t in self._growable.items() if t.envelope_row.number != number
            }
            if self._digest is not None and self._digest.envelope_row.number == number:
                self._digest = None
        for number in numbers:
            drop_summaries_of(self._db, number)

    def stop_growth(self) -> None:
        """End all growth, because from now on any envelope may be sent."""
        self._growable.clear()

    def _add_to_day(
        self, priority: Priority, hour: RunningSummary, seal: Seal, max_bytes: int
    ) -> None:
        key = hour.key // HOURS_A_DAY
        day = self._days.get(priority)
        if day is None or day.key != key or not self._is_current(day):
            day = self._days[priority] = self._begin_summary(key, priority + DAY)
        day.summary.merge(hour.summary)
        day.epochs |= hour.epochs
        day.members += hour.members
        self._seal_summary(day, seal, max_bytes)
        self._db.execute(
            "UPDATE envelope SET cover = ? WHERE sequence = ?",
            (day.envelope_row.number, hour.envelope_row.number),
        )

    def _begin_summary(self, key: int, rank: int) -> RunningSummary:
        stored_us = self._clock.wall_us()
        empty = EnvelopeRow(number=0, rank=rank, stored_us=stored_us, measurements=0, body=b"")
        return RunningSummary(key, empty, 0)

    def _seal_summary(self, summary: RunningSummary, seal: Seal, max_bytes: int) -> None:
        number = summary.envelope_row.number or self.next_number()
        sealed = b""
        epochs = [summary.epochs[name] for name in sorted(summary.summary.epoch_ids())]
        for detail in DETAILS if summary.members > 1 else ():
            sealed = seal(number, summary.summary.serialize(detail), epochs)
            if len(sealed) <= max_bytes:
                break
        summary.envelope_row = EnvelopeRow(
            number=number,
            rank=summary.envelope_row.rank,
            stored_us=summary.envelope_row.stored_us,
            measurements=summary.summary.runs,
            body=sealed,
        )
        self.write_envelope(summary.envelope_row)

    def _is_current(self, summary: RunningSummary) -> bool:
        return self._is_stored(summary.envelope_row)

    def _is_unchanged(self, growable: GrowableEnvelope) -> bool:
        return growable.version == self._data_version() and self._is_stored(growable.envelope_row)

    def _is_stored(self, envelope_row: EnvelopeRow) -> bool:
        """Return whether the file holds exactly this row, which a rollback could undo."""
        row = self._db.execute(
            "SELECT priority, body FROM envelope WHERE sequence = ?", (envelope_row.number,)
        ).fetchone()
        return row is not None and row == (envelope_row.rank, envelope_row.body)

    def _delete_envelope(self, number: int) -> None:
        self._db.execute("DELETE FROM envelope WHERE sequence = ?", (number,))

    def next_number(self) -> int:
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'envelope'").fetchone()
        return int(row[0]) + 1 if row else 1

    def _data_version(self) -> int:
        ((version,),) = self._db.execute("PRAGMA data_version").fetchall()
        return int(version)

    def _current_hour(self) -> int:
        return self._clock.wall_us() // HOUR_US


def drop_summaries_of(db: sqlite3.Connection, number: int) -> None:
    """Drop the summaries of an envelope that may have been sent."""
    row = db.execute("SELECT cover FROM envelope WHERE sequence = ?", (number,)).fetchone()
    drop_summary(db, row[0] if row else 0)


def drop_summary(db: sqlite3.Connection, number: int) -> None:
    """Drop a summary and its day's summary, except those already published."""
    for _ in (HOUR, DAY):
        if number:
            row = db.execute(
                "DELETE FROM envelope WHERE sequence = ? AND priority >= ? RETURNING cover",
                (number, HIDDEN),
            ).fetchone()
            number = row[0] if row else 0
