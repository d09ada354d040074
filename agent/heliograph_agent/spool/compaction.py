"""Compact unsent envelopes while offline: merge batches and keep summaries.

Why: a shutdown lasts for weeks, and the spool is limited. Nobody can read a sealed envelope again,
neither this agent nor a thief of the disk. So merging and summarizing need the rows that sealed
them, and these are in memory for as long as this run of the agent.

An envelope of a class is in one of these states:

- Growing: the youngest envelope of its class. The next batch is sealed together with its rows,
  under a new number, while both fit into one batch, and a summarized one only within its hour.
  Then the new envelope grows, and the old one is deleted.
- Closed: a younger one of its class grows, or growth has ended. Its bytes change no more.
- Offered: it may be sent, or a second process may have exported it. It is closed, and its
  summaries are dropped, because a result that arrived would count twice.

P2 and P3 are also counted in a summary of their hour, and a past hour in that of its day. Summaries
are sealed into hidden rows (rank + HOUR, rank + DAY). The column `cover` of a member is the number
of its summary. A summary is in one of these states:

- Running: its hour or day is not over. Each batch is added, and the row is sealed again.
- Past: it changes no more. A past hour is a member of its day.
- Published: room ran short, and summarize.py replaced its members by it. It is sent like a result.
- Dropped: one of its members was offered first.

After a restart, a rollback or a write by another process, memory and file differ: growth ends, and
new summaries begin.
"""

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from heliograph.clock import Clock
from heliograph.observation import Epoch
from heliograph.units import HOUR_US, minute_of
from heliograph_agent.spool.priority import Priority
from heliograph_agent.spool.schema import DAY, DIGEST, HIDDEN, HOUR, checksum
from heliograph_agent.spool.sealing import EnvelopeSealer, OpenRow
from heliograph_agent.spool.sequence_marks import SequenceMarks
from heliograph_agent.spool.summarize import DETAILS, RunSummary

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
    rows: list[OpenRow]
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
        self._sequence_marks.reserve_envelopes(envelope_row.number)
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
        if growable is None or not self._is_unchanged(growable):
            return None
        if not growable.cover:
            return growable
        # A summarized envelope belongs to one hour, and to a summary that is still running.
        hour = self._hours.get(priority)
        is_running = (
            hour is not None
            and hour.envelope_row.number == growable.cover
            and hour.key == self._current_hour()
            and self._is_stored(hour.envelope_row)
        )
        return growable if is_running else None

    def delete_envelope(self, number: int) -> None:
        """Delete an envelope whose results are in a newer one."""
        self._db.execute("DELETE FROM envelope WHERE sequence = ?", (number,))

    def set_growable(self, envelope_row: EnvelopeRow, rows: list[OpenRow], cover: int) -> None:
        """Record an envelope as the youngest of its class."""
        self._db.execute(
            "UPDATE envelope SET cover = ? WHERE sequence = ?", (cover, envelope_row.number)
        )
        self._growable[Priority(envelope_row.rank)] = GrowableEnvelope(
            envelope_row, rows, self._data_version(), cover
        )

    def add_to_hour(
        self,
        priority: Priority,
        rows: Sequence[OpenRow],
        sealer: EnvelopeSealer,
        *,
        is_grown: bool,
    ) -> int:
        """Add a batch to the summary of its hour; return the number of its envelope.

        The summary of a single envelope is an empty row, because it would be as large as the
        envelope.
        """
        key = self._current_hour()
        hour = self._hours.get(priority)
        if hour is not None and not self._is_stored(hour.envelope_row):
            hour = None
        if hour is not None and hour.key != key:
            self._add_to_day(priority, hour, sealer)
            hour = None
        if hour is None:
            hour = self._hours[priority] = self._begin_summary(key, priority + HOUR)
        for row in rows:
            hour.summary.add(row.body)
            hour.epochs[row.epoch.id] = row.epoch
        hour.members += not is_grown
        self._seal_summary(hour, sealer)
        return hour.envelope_row.number

    def write_digest(self, bodies: Sequence[bytes], epoch: Epoch, sealer: EnvelopeSealer) -> None:
        """Write the first of `bodies` that fits, in place of an unsent digest."""
        previous = self._digest
        number = self.next_number()
        sealed = sealer.seal_first_fitting(number, ([body] for body in bodies), [epoch])
        if previous is not None and self._is_unchanged(previous):
            self.delete_envelope(previous.envelope_row.number)
        envelope_row = EnvelopeRow(
            number=number,
            rank=DIGEST,
            stored_us=minute_of(self._clock.wall_us()),
            measurements=0,
            body=sealed,
        )
        self.write_envelope(envelope_row)
        self._digest = GrowableEnvelope(envelope_row, [], self._data_version())

    def mark_offered(self, numbers: Collection[int]) -> None:
        """End the growth of envelopes before they are sent, and drop their summaries."""
        for priority, growable in list(self._growable.items()):
            if growable.envelope_row.number in numbers:
                del self._growable[priority]
        if self._digest is not None and self._digest.envelope_row.number in numbers:
            self._digest = None
        for number in numbers:
            drop_summaries_of(self._db, number)

    def stop_growth(self) -> None:
        """End all growth, because from now on any envelope may be sent."""
        self._growable.clear()

    def _add_to_day(self, priority: Priority, hour: RunningSummary, sealer: EnvelopeSealer) -> None:
        key = hour.key // HOURS_A_DAY
        day = self._days.get(priority)
        if day is None or day.key != key or not self._is_stored(day.envelope_row):
            day = self._days[priority] = self._begin_summary(key, priority + DAY)
        day.summary.merge(hour.summary)
        day.epochs |= hour.epochs
        day.members += hour.members
        self._seal_summary(day, sealer)
        self._db.execute(
            "UPDATE envelope SET cover = ? WHERE sequence = ?",
            (day.envelope_row.number, hour.envelope_row.number),
        )

    def _begin_summary(self, key: int, rank: int) -> RunningSummary:
        stored_us = minute_of(self._clock.wall_us())
        empty = EnvelopeRow(number=0, rank=rank, stored_us=stored_us, measurements=0, body=b"")
        return RunningSummary(key, empty, 0)

    def _seal_summary(self, summary: RunningSummary, sealer: EnvelopeSealer) -> None:
        number = summary.envelope_row.number or self.next_number()
        epochs = [summary.epochs[name] for name in sorted(summary.summary.epoch_ids())]
        variants = (summary.summary.serialize(detail) for detail in DETAILS)
        summary.envelope_row = replace(
            summary.envelope_row,
            number=number,
            measurements=summary.summary.runs,
            body=sealer.seal_first_fitting(number, variants if summary.members > 1 else (), epochs),
        )
        self.write_envelope(summary.envelope_row)

    def _is_unchanged(self, growable: GrowableEnvelope) -> bool:
        return growable.version == self._data_version() and self._is_stored(growable.envelope_row)

    def _is_stored(self, envelope_row: EnvelopeRow) -> bool:
        """Return whether the file holds exactly this row, which a rollback could undo."""
        row = self._db.execute(
            "SELECT priority, body FROM envelope WHERE sequence = ?", (envelope_row.number,)
        ).fetchone()
        return row is not None and row == (envelope_row.rank, envelope_row.body)

    def take_number(self) -> int:
        """Take a number that no later envelope gets, for a copy that may never be sent."""
        number = self.next_number()
        self._sequence_marks.reserve_envelopes(number)
        raise_sequence(self._db, "envelope", number)
        return number

    def next_number(self) -> int:
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'envelope'").fetchone()
        return int(row[0]) + 1 if row else 1

    def _data_version(self) -> int:
        ((version,),) = self._db.execute("PRAGMA data_version").fetchall()
        return int(version)

    def _current_hour(self) -> int:
        return self._clock.wall_us() // HOUR_US


def raise_sequence(db: sqlite3.Connection, table: str, number: int) -> None:
    """Continue a table's numbers above `number`."""
    db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
    db.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, number))


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
