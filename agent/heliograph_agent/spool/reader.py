"""The spool for a second process: what `export` needs, also while an agent is running on it.

It reads envelopes and settles them, and neither closes batches nor mends anything.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from heliograph.clock import Clock
from heliograph_agent.spool.compaction import KEPT_BACK
from heliograph_agent.spool.operations import Book
from heliograph_agent.spool.priority import SpoolError
from heliograph_agent.spool.schema import checksum

BUSY_S = 10.0


def envelopes(path: Path) -> Iterator[bytes]:
    """All that wait for a receipt and are as they were written: P0 and P1 first, each by age.

    Raises SpoolError.
    """
    with _opened(path) as db:
        _offer_all(db)
        order = (
            f"SELECT sequence FROM envelope WHERE priority < {KEPT_BACK:d}"  # noqa: S608
            " ORDER BY priority > 1, sequence"
        )
        for (sequence,) in db.execute(order).fetchall():
            row = db.execute("SELECT crc, body FROM envelope WHERE sequence = ?", (sequence,))
            found = row.fetchone()
            if found is not None and found[0] == checksum(found[1], sequence):
                yield bytes(found[1])


def numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    """(sequence, envelope) of all that wait. Raises SpoolError."""
    with _opened(path) as db:
        for (sequence,) in db.execute("SELECT sequence FROM envelope").fetchall():
            row = db.execute("SELECT body FROM envelope WHERE sequence = ?", (sequence,)).fetchone()
            if row is not None:
                yield sequence, bytes(row[0])


def settle(path: Path, settled: Mapping[int, tuple[str, str]], clock: Clock) -> None:
    """Sequence → status and reason, all or nothing. Raises SpoolError."""
    with _opened(path) as db:
        book = Book(db, path, clock, 0)
        db.execute("BEGIN IMMEDIATE")
        for sequence, (status, reason) in settled.items():
            book.settle(sequence, status, reason)
        db.execute("COMMIT")


def _offer_all(db: sqlite3.Connection) -> None:
    """What is carried away may arrive: nothing here may grow onto it or stand in for it.

    A running agent notices that its file was written to. On a full disk it grows nothing either.
    """
    with suppress(sqlite3.OperationalError):
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM envelope WHERE priority >= ?", (KEPT_BACK,))
        db.execute(
            "INSERT INTO gap VALUES ('exported', 0, 0)"
            " ON CONFLICT (kind) DO UPDATE SET last_us = last_us + 1"
        )
        db.execute("COMMIT")
    if db.in_transaction:
        db.execute("ROLLBACK")


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        raise SpoolError(f"There is no spool at {path}: nothing was measured yet.")
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as db:
            db.execute("PRAGMA secure_delete = ON")
            yield db
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise SpoolError(
            f"Cannot use {path} ({error}): start the agent once, which mends it, and try again."
        ) from error
