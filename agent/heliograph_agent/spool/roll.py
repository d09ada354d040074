"""Makes room without loss of count: the results of an hour, then of a day, give way to their sum.

The beginning and the end of the story stay whole as long as anything else can be summed up, for it
is they that tell how a shutdown began and how things are now.
"""

import sqlite3
from dataclasses import dataclass

from heliograph_agent.spool.fold import DAY, HOUR
from heliograph_agent.spool.priority import Priority

# One part in so many at each end stays whole; when that is not enough, a smaller one.
ENDS = (8, 64)


@dataclass(frozen=True, slots=True)
class Rolled:
    runs: int  # that are now counted in a sum, and cannot be read one by one
    done: bool  # whether anything gave way


Group = tuple[int, int, int, int]  # number and size of a sum; size and results of what it sums


def roll_hours(db: sqlite3.Connection, priority: Priority, want_bytes: int, ends: int) -> Rolled:
    """Results of one class in favour of the sums of their hours, about `want_bytes` of them."""
    groups = db.execute(
        "SELECT s.sequence, s.size, sum(m.size), sum(m.measurements) FROM envelope s"
        " JOIN envelope m ON m.cover = s.sequence AND m.priority = ?"
        " WHERE s.priority = ? AND s.size > 0 GROUP BY s.sequence",
        (priority, priority + HOUR),
    ).fetchall()
    return _roll(db, priority, want_bytes, groups, ends)


def roll_days(db: sqlite3.Connection, priority: Priority, want_bytes: int, ends: int) -> Rolled:
    """Sums of hours, and results whose hour was not worth a sum, in favour of those of days."""
    groups = db.execute(
        "SELECT s.sequence, s.size, sum(h.size + coalesce(m.size, 0)), sum(coalesce(m.runs, 0))"
        " FROM envelope s JOIN envelope h ON h.cover = s.sequence LEFT JOIN"
        " (SELECT cover, sum(size) AS size, sum(measurements) AS runs FROM envelope"
        "  WHERE cover > 0 AND priority = ? GROUP BY cover) m"
        " ON m.cover = h.sequence AND h.priority = ?"
        " WHERE s.priority = ? AND s.size > 0 GROUP BY s.sequence",
        (priority, priority + HOUR, priority + DAY),
    ).fetchall()
    return _roll(db, priority, want_bytes, groups, ends)


def _roll(
    db: sqlite3.Connection, priority: Priority, want_bytes: int, groups: list[Group], ends: int
) -> Rolled:
    """Those that free the most first: there many results are like each other."""
    freed, runs = 0, 0
    within = _within(db, priority, groups, ends)
    for number, size, members, measurements in sorted(within, key=lambda g: g[1] - g[2]):
        if freed >= want_bytes or members <= size:
            break
        _replace(db, priority, number)
        freed += members - size
        runs += measurements
    return Rolled(runs, done=freed > 0)


def _replace(db: sqlite3.Connection, priority: Priority, number: int) -> None:
    """Let a sum go out, and nothing of what it sums up."""
    db.execute(
        "DELETE FROM envelope WHERE priority = ? AND cover IN"
        " (SELECT sequence FROM envelope WHERE cover = ? AND priority = ?)",
        (int(priority), number, priority + HOUR),
    )
    db.execute("DELETE FROM envelope WHERE cover = ?", (number,))
    db.execute("UPDATE envelope SET priority = ? WHERE sequence = ?", (int(priority), number))


def _within(
    db: sqlite3.Connection, priority: Priority, groups: list[Group], ends: int
) -> list[Group]:
    """Those between the two ends of the story; numbers rise with time."""
    first, last = db.execute(
        "SELECT min(sequence), max(sequence) FROM envelope WHERE priority = ?", (int(priority),)
    ).fetchone()
    if first is None:
        return []
    edge = max(1, (last - first) // ends)
    return [group for group in groups if first + edge <= group[0] <= last - edge]
