"""While nobody takes what was sealed: batches grow together, and every hour gets a stand-in.

What is sealed cannot be read again, here or by anybody who takes the disk. So what an hour, and a
day, came to is summed up while its results are still at hand, and sealed beside them: when room
runs short the summary goes out in their place. It is worth nothing once one of them may have
arrived, for then it would count twice: whoever hands an envelope out lets its stand-ins go.

All that is remembered here is of one life of the agent and believed only while the file has it.
"""

import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from heliograph.clock import Clock
from heliograph.observation import Epoch
from heliograph_agent.spool.priority import Priority
from heliograph_agent.spool.schema import checksum
from heliograph_agent.spool.sequence_marks import Floor
from heliograph_agent.spool.summarize import DETAILS, Tally

Seal = Callable[[int, Sequence[bytes], Sequence[Epoch]], bytes]
Rows = list[tuple[int, str, bytes]]  # sequence, epoch, body

HOUR_US = 3_600_000_000
HOURS_A_DAY = 24
DIGEST = -1  # goes before everything
# What is kept back has its priority and this; only what is below the first of them goes out.
KEPT_BACK = HOUR = 10
DAY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A row of the table of envelopes."""

    number: int
    rank: int
    stored_us: int
    measurements: int
    body: bytes


@dataclass(slots=True)
class Tail:
    """The youngest envelope of a class, with what is in it."""

    kept: Sealed
    rows: Rows
    epochs: dict[str, Epoch]
    version: int  # of the file, which another process changes
    cover: int = 0


@dataclass(slots=True)
class Standing:
    """The sum of an hour or a day so far, and its stand-in as it was last sealed."""

    key: int  # which hour or day of the wall clock
    kept: Sealed
    members: int  # envelopes that it can stand in for
    tally: Tally = field(default_factory=Tally)
    epochs: dict[str, Epoch] = field(default_factory=dict)


class Folds:
    def __init__(self, db: sqlite3.Connection, clock: Clock, floor: Floor) -> None:
        self._db, self._clock, self._floor = db, clock, floor
        self._tails: dict[Priority, Tail] = {}
        self._hours: dict[Priority, Standing] = {}
        self._days: dict[Priority, Standing] = {}
        self._digest: Tail | None = None

    def keep(self, sealed: Sealed) -> None:
        """Write it, in place of what has its number."""
        self._floor.give(sealed.number)
        self._db.execute(
            "INSERT OR REPLACE INTO envelope VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
            (
                sealed.number, sealed.rank, len(sealed.body), sealed.stored_us,
                sealed.measurements, checksum(sealed.body, sealed.number), sealed.body,
            ),
        )  # fmt: skip

    def tail(self, priority: Priority) -> Tail | None:
        """What the next batch of this class may grow onto: nobody else can have seen it."""
        tail, hour = self._tails.get(priority), self._hours.get(priority)
        if tail is None or not self._is_ours(tail):
            return None
        if not tail.cover:
            return tail
        # What is summed up belongs to one hour, and to a sum that is still going on.
        same = hour is not None and (hour.key, hour.kept.number) == (self._hour(), tail.cover)
        return tail if same and hour is not None and self._stands(hour) else None

    def grow(self, tail: Tail) -> None:
        """Another envelope takes its place."""
        self._forget(tail.kept.number)

    def closed(self, sealed: Sealed, rows: Rows, epochs: dict[str, Epoch], cover: int) -> None:
        """The youngest of its class now."""
        self._db.execute("UPDATE envelope SET cover = ? WHERE sequence = ?", (cover, sealed.number))
        self._tails[Priority(sealed.rank)] = Tail(sealed, rows, epochs, self._version(), cover)

    def cover(
        self,
        priority: Priority,
        bodies: Sequence[bytes],
        epochs: dict[str, Epoch],
        seal: Seal,
        at_most: int,
        *,
        grown: bool,
    ) -> int:
        """Add a batch to its hour; the number of the hour's stand-in.

        For one envelope alone it is an empty row: it would be as large as that.
        """
        hour = self._hours.get(priority)
        standing = hour is not None and self._stands(hour)
        if hour is not None and standing and hour.key != self._hour():
            self._into_day(priority, hour, seal, at_most)
            standing = False
        if hour is None or not standing:
            hour = self._hours[priority] = self._begin(self._hour(), priority + HOUR)
        for body in bodies:
            hour.tally.add(body)
        hour.epochs |= epochs
        hour.members += not grown
        self._seal(hour, seal, at_most)
        return hour.kept.number

    def digest(self, bodies: Sequence[bytes], epoch: Epoch, seal: Seal, at_most: int) -> None:
        """The first of `bodies` that fits, in place of the digest before if nobody saw it."""
        before = self._digest
        number = self.next()
        sealed = b""
        for body in bodies:
            sealed = seal(number, [body], [epoch])
            if len(sealed) <= at_most:
                break
        if before is not None and self._is_ours(before):
            self._forget(before.kept.number)
        kept = Sealed(
            number=number, rank=DIGEST, stored_us=self._clock.wall_us(), measurements=0, body=sealed
        )
        self.keep(kept)
        self._digest = Tail(kept, [], {}, self._version())

    def offered(self, numbers: Collection[int]) -> None:
        """They may arrive from now on: they grow no more, and nothing stands in for them."""
        for number in numbers:
            self._tails = {p: t for p, t in self._tails.items() if t.kept.number != number}
            if self._digest is not None and self._digest.kept.number == number:
                self._digest = None
        for number in numbers:
            let_go(self._db, number)

    def begin_anew(self) -> None:
        """Nothing grows further: somebody may take it at any time now."""
        self._tails.clear()

    def _into_day(self, priority: Priority, hour: Standing, seal: Seal, at_most: int) -> None:
        key = hour.key // HOURS_A_DAY
        day = self._days.get(priority)
        if day is None or day.key != key or not self._stands(day):
            day = self._days[priority] = self._begin(key, priority + DAY)
        day.tally.merge(hour.tally)
        day.epochs |= hour.epochs
        day.members += hour.members
        self._seal(day, seal, at_most)
        self._db.execute(
            "UPDATE envelope SET cover = ? WHERE sequence = ?", (day.kept.number, hour.kept.number)
        )

    def _begin(self, key: int, rank: int) -> Standing:
        stored_us = self._clock.wall_us()
        empty = Sealed(number=0, rank=rank, stored_us=stored_us, measurements=0, body=b"")
        return Standing(key, empty, 0)

    def _seal(self, standing: Standing, seal: Seal, at_most: int) -> None:
        number, sealed = standing.kept.number or self.next(), b""
        epochs = [standing.epochs[name] for name in sorted(standing.tally.epochs())]
        for detail in DETAILS if standing.members > 1 else ():
            sealed = seal(number, standing.tally.bodies(detail), epochs)
            if len(sealed) <= at_most:
                break
        standing.kept = Sealed(
            number=number,
            rank=standing.kept.rank,
            stored_us=standing.kept.stored_us,
            measurements=standing.tally.runs,
            body=sealed,
        )
        self.keep(standing.kept)

    def _stands(self, standing: Standing) -> bool:
        return self._is_kept(standing.kept)

    def _is_ours(self, tail: Tail) -> bool:
        return tail.version == self._version() and self._is_kept(tail.kept)

    def _is_kept(self, kept: Sealed) -> bool:
        """Whether the file has it byte for byte: a transaction may have been undone since."""
        row = self._db.execute(
            "SELECT priority, body FROM envelope WHERE sequence = ?", (kept.number,)
        ).fetchone()
        return row is not None and row == (kept.rank, kept.body)

    def _forget(self, number: int) -> None:
        self._db.execute("DELETE FROM envelope WHERE sequence = ?", (number,))

    def next(self) -> int:
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'envelope'").fetchone()
        return int(row[0]) + 1 if row else 1

    def _version(self) -> int:
        ((version,),) = self._db.execute("PRAGMA data_version").fetchall()
        return int(version)

    def _hour(self) -> int:
        return self._clock.wall_us() // HOUR_US


def let_go(db: sqlite3.Connection, number: int) -> None:
    """An envelope is no longer ours alone: drop what stands in for it."""
    row = db.execute("SELECT cover FROM envelope WHERE sequence = ?", (number,)).fetchone()
    drop_stand_in(db, row[0] if row else 0)


def drop_stand_in(db: sqlite3.Connection, number: int) -> None:
    """And what would stand in for it in turn; nothing where it went out already."""
    for _ in (HOUR, DAY):
        if number:
            row = db.execute(
                "DELETE FROM envelope WHERE sequence = ? AND priority >= ? RETURNING cover",
                (number, KEPT_BACK),
            ).fetchone()
            number = row[0] if row else 0
