"""Settle envelopes by receipts, and count acknowledged and missing results."""

import sqlite3

from heliograph.clock import Clock
from heliograph.units import minute_of
from heliograph_agent.spool.compaction import drop_summaries_of

QUARANTINED = 64  # refused envelopes that the volunteer can inspect
ACKED = "acked"  # a kind in the ledger, beside the missing ones


class LossCounts:
    """Write the tables `quarantine` and `gap`, in the caller's transaction."""

    def __init__(self, db: sqlite3.Connection, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def record_receipt(self, sequence: int, status: str, reason: str) -> None:
        """Delete a stored or duplicate envelope; quarantine a rejected one."""
        drop_summaries_of(self._db, sequence)
        if status == "rejected":
            self._db.execute(
                "INSERT OR REPLACE INTO quarantine SELECT sequence, ?, ?, measurements, crc, body"
                " FROM envelope WHERE sequence = ?",
                (reason, minute_of(self._clock.wall_us()), sequence),
            )
            evicted = self._db.execute(
                "DELETE FROM quarantine WHERE sequence NOT IN"
                " (SELECT sequence FROM quarantine ORDER BY sequence DESC LIMIT ?)"
                " RETURNING measurements",
                (QUARANTINED,),
            ).fetchall()
            self.count_gap("rejected", sum(measurements for (measurements,) in evicted))
        deleted = self._db.execute(
            "DELETE FROM envelope WHERE sequence = ? RETURNING measurements", (sequence,)
        ).fetchall()
        if status != "rejected":
            self.count_gap(ACKED, sum(measurements for (measurements,) in deleted))

    def count_gap(self, kind: str, count: int) -> None:
        """Add to the ledger of missing results."""
        if count:
            self._db.execute(
                "INSERT INTO gap VALUES (?, ?, ?) ON CONFLICT (kind)"
                " DO UPDATE SET count = count + excluded.count, last_us = excluded.last_us",
                (kind, count, minute_of(self._clock.wall_us())),
            )
