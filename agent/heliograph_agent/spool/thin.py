"""Makes room: drops results of the least worth from the middle of the story, evenly.

The beginning is when it happened and the end is how it is now; between them every second repeat can
be spared. So the oldest and the newest eighth of a class stay whole, and what is dropped is spread
evenly over the rest. Dropping the oldest first is how others lost the onset of their outages.
"""

import sqlite3

from heliograph_agent.spool.priority import Priority

SHEDDABLE = (Priority.P3, Priority.P2)  # in this order; the others never
KEPT_AT_EACH_END = 8  # one part in so many
TABLES = ("envelope", "measurement")  # envelopes are the older part of the story


def victims(rows: int, want_rows: int) -> range:
    """Which of `rows`, counted from 0 = the oldest, to drop so that about `want_rows` go."""
    edge = max(1, rows // KEPT_AT_EACH_END)
    middle = rows - 2 * edge
    if middle < 1 or want_rows < 1:
        return range(0)
    stride = max(2, middle // want_rows)
    return range(edge + (1 if middle > 1 else 0), rows - edge, stride)


def thin(db: sqlite3.Connection, priority: Priority, want_bytes: int) -> int:
    """Drop about `want_bytes` of one class; returns how many measurements went."""
    for table in TABLES:
        dropped = _thin_table(db, table, priority, want_bytes)
        if dropped:
            return dropped
    return 0


def _thin_table(db: sqlite3.Connection, table: str, priority: Priority, want_bytes: int) -> int:
    rows, size = db.execute(
        f"SELECT count(*), coalesce(sum(size), 0) FROM {table} WHERE priority = ?",  # noqa: S608
        (priority,),
    ).fetchone()
    chosen = victims(rows, want_bytes * rows // size + 1) if size else range(0)
    if not chosen:
        return 0
    picked = db.execute(
        "WITH ranked AS (SELECT sequence, row_number() OVER (ORDER BY sequence) - 1 AS place"  # noqa: S608
        f" FROM {table} WHERE priority = ?)"
        " SELECT sequence FROM ranked WHERE place >= ? AND place < ? AND (place - ?) % ? = 0",
        (priority, chosen.start, chosen.stop, chosen.start, chosen.step),
    ).fetchall()
    counted = "measurements" if table == "envelope" else "1"
    dropped = 0
    for (sequence,) in picked:
        ((held,),) = db.execute(
            f"DELETE FROM {table} WHERE sequence = ? RETURNING {counted}",  # noqa: S608
            (sequence,),
        ).fetchall()
        dropped += held
    return dropped
