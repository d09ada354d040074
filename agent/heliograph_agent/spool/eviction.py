"""Makes room: drops results of the least worth from the middle of the story, where it is densest.

The beginning is when it happened and the end is how it is now; between them repeats can be spared.
So the oldest and the newest eighth of a class stay whole, and what goes is what stands closest to
its neighbours, until what is left lies evenly over the whole time. Dropping the oldest first is how
others lost the onset of their outages.

Runs of results go, not single ones: rows here and there would leave every page of the file half
full and free none.
"""

import heapq
import sqlite3
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from heliograph_agent.spool.compaction import drop_stand_in
from heliograph_agent.spool.priority import Priority

SHEDDABLE = (Priority.P3, Priority.P2)  # in this order; the others never
KEPT_AT_EACH_END = 8  # one part in so many
RUN_BYTES = 16_384  # four pages, of which the cuts at both ends spoil one
TABLES = ("envelope", "measurement")  # envelopes are the older part of the story


def victims(numbers: Sequence[int], want: int) -> list[int]:
    """Up to `want` of the ascending `numbers` to drop: no end of the list, no two neighbours."""
    edge = max(1, len(numbers) // KEPT_AT_EACH_END)
    middle = range(edge, len(numbers) - edge)
    densest = heapq.nsmallest(3 * want, middle, key=lambda i: numbers[i + 1] - numbers[i - 1])
    chosen: set[int] = set()
    for place in densest:
        if len(chosen) < want and not {place - 1, place + 1} & chosen:
            chosen.add(place)
    return sorted(numbers[place] for place in chosen)


def thin(db: sqlite3.Connection, priority: Priority, want_bytes: int) -> int:
    """Drop about `want_bytes` of one class; returns how many measurements went."""
    for table in TABLES:
        dropped = _thin_table(db, table, priority, want_bytes)
        if dropped:
            return dropped
    return 0


def _thin_table(db: sqlite3.Connection, table: str, priority: Priority, want_bytes: int) -> int:
    select = f"SELECT sequence, size FROM {table} WHERE priority = ? ORDER BY sequence"  # noqa: S608
    (total,) = db.execute(
        f"SELECT coalesce(sum(size), 0) FROM {table} WHERE priority = ?",  # noqa: S608
        (priority,),
    ).fetchone()
    runs = runs_of(db.execute(select, (priority,)), min(RUN_BYTES, total // KEPT_AT_EACH_END))
    if not runs.firsts:
        return 0
    counted = "measurements, sequence, cover" if table == "envelope" else "1, 0, 0"
    dropped = 0
    for first in victims(runs.firsts, 1 + want_bytes * len(runs.firsts) // total):
        gone = db.execute(
            f"DELETE FROM {table} WHERE priority = ? AND sequence BETWEEN ? AND ?"  # noqa: S608
            f" RETURNING {counted}",
            (priority, first, runs.last_of(first)),
        ).fetchall()
        dropped += sum(held for held, *_ in gone)
        for cover in {cover for *_, cover in gone if cover}:
            drop_stand_in(db, cover)
    return dropped


@dataclass(slots=True)
class Runs:
    """Neighbouring rows as one: their first and their last numbers."""

    firsts: "array[int]" = field(default_factory=lambda: array("q"))
    lasts: "array[int]" = field(default_factory=lambda: array("q"))

    def last_of(self, first: int) -> int:
        return self.lasts[self.firsts.index(first)]


def runs_of(rows: Iterable[tuple[int, int]], run_bytes: int) -> Runs:
    """(number, size) in ascending order, gathered until each run has at least `run_bytes`."""
    runs, filled = Runs(), run_bytes
    for number, size in rows:
        if filled >= run_bytes:
            runs.firsts.append(number)
            runs.lasts.append(number)
            filled = 0
        runs.lasts[-1] = number
        filled += size
    return runs
