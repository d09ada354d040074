"""Drop results of the lowest priority from the densest middle of the stored time.

The first results show how an outage began, and the last show how things are now; repeats between
them are expendable. So the oldest and the newest eighth of a class stay whole. Results closest to
their neighbors are dropped, until the rest is spread evenly over the whole time. Dropping the
oldest first would lose the onset of the outage.

Whole runs of results are dropped, because single deletions would leave every page of the file half
full and free none.
"""

import heapq
import sqlite3
from array import array
from collections.abc import Iterable, Sequence

from heliograph_agent.spool.compaction import drop_summary
from heliograph_agent.spool.priority import FreedRoom, Priority

SHEDDABLE = (Priority.P3, Priority.P2)  # in this order; no other class is dropped
KEPT_FRACTION = 8  # one part in so many stays at each end
RUN_BYTES = 16_384  # four pages, of which the cuts at both ends free all but one
TABLES = ("envelope", "measurement")  # envelopes hold the older results


def choose_evicted(numbers: Sequence[int], count: int) -> list[int]:
    """Choose up to `count` of ascending `numbers`: no neighbors, none at the ends."""
    edge = max(1, len(numbers) // KEPT_FRACTION)
    middle = range(edge, len(numbers) - edge)
    gaps = ((numbers[index + 1] - numbers[index - 1], index) for index in middle)
    chosen: set[int] = set()
    for _, index in heapq.nsmallest(3 * count, gaps):
        if len(chosen) < count and not {index - 1, index + 1} & chosen:
            chosen.add(index)
    return sorted(numbers[index] for index in chosen)


def evict_rows(db: sqlite3.Connection, priority: Priority, want_bytes: int) -> FreedRoom:
    """Drop about `want_bytes` of one class."""
    for table in TABLES:
        dropped = _evict_from_table(db, table, priority, want_bytes)
        if dropped:
            return FreedRoom(dropped, has_freed=True)
    return FreedRoom(0, has_freed=False)


def _evict_from_table(
    db: sqlite3.Connection, table: str, priority: Priority, want_bytes: int
) -> int:
    select = f"SELECT sequence, size FROM {table} WHERE priority = ? ORDER BY sequence"  # noqa: S608 names of ours
    (total,) = db.execute(
        f"SELECT coalesce(sum(size), 0) FROM {table} WHERE priority = ?",  # noqa: S608 names of ours
        (priority,),
    ).fetchone()
    run_bytes = min(RUN_BYTES, total // KEPT_FRACTION)
    firsts, lasts = group_runs(db.execute(select, (priority,)), run_bytes)
    if not firsts:
        return 0
    returned_columns = "measurements, sequence, cover" if table == "envelope" else "1, 0, 0"
    dropped = 0
    for first in choose_evicted(firsts, 1 + want_bytes * len(firsts) // total):
        deleted = db.execute(
            f"DELETE FROM {table} WHERE priority = ? AND sequence BETWEEN ? AND ?"  # noqa: S608 names of ours
            f" RETURNING {returned_columns}",
            (priority, first, lasts[firsts.index(first)]),
        ).fetchall()
        dropped += sum(measurements for measurements, *_ in deleted)
        for cover in {cover for *_, cover in deleted if cover}:
            drop_summary(db, cover)
    return dropped


def group_runs(rows: Iterable[tuple[int, int]], run_bytes: int) -> "tuple[array[int], array[int]]":
    """Group ascending (number, size) rows into runs of at least `run_bytes`.

    Returns the first and the last numbers of the runs.
    """
    firsts = array("q")
    lasts = array("q")
    run_size = run_bytes
    for number, size in rows:
        if run_size >= run_bytes:
            firsts.append(number)
            lasts.append(number)
            run_size = 0
        lasts[-1] = number
        run_size += size
    return firsts, lasts
