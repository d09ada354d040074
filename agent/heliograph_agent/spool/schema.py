"""Define the tables of spool.db and the checksum of each row."""

import sqlite3
import zlib

VERSION = 3
PAGE = 4_096
# An envelope's column `priority` holds a rank: the priority of its results, DIGEST for a digest,
# which is sent first, and priority + HOUR or DAY for a summary that is not sent yet.
DIGEST = -1
HOUR = 10
DAY = 20
HIDDEN = HOUR  # ranks from here on are not sent

SEQUENCED = ("measurement", "envelope")  # tables of which SQLite keeps the last number

# All times are whole minutes. The body of an open measurement is encrypted by the process `life`.
# Its `copy` is an envelope with it alone, numbered `number`, which only a later life sends; without
# a copy the number is 0.
TABLES = """
CREATE TABLE measurement (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  priority INTEGER NOT NULL,
  size INTEGER NOT NULL,
  stored_us INTEGER NOT NULL,
  life INTEGER NOT NULL,
  number INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  body BLOB NOT NULL,
  copy BLOB NOT NULL
);
CREATE TABLE envelope (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  priority INTEGER NOT NULL,
  size INTEGER NOT NULL,
  stored_us INTEGER NOT NULL,
  measurements INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  body BLOB NOT NULL,
  cover INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE quarantine (
  sequence INTEGER PRIMARY KEY,
  reason TEXT NOT NULL,
  stored_us INTEGER NOT NULL,
  measurements INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  body BLOB NOT NULL
);
CREATE TABLE gap (kind TEXT PRIMARY KEY, count INTEGER NOT NULL, last_us INTEGER NOT NULL);
CREATE INDEX measurement_by_priority ON measurement (priority, sequence, size);
CREATE INDEX envelope_by_priority ON envelope (priority, sequence, size, measurements);
CREATE INDEX envelope_by_cover ON envelope (cover, priority, size, measurements) WHERE cover > 0;
"""


def create_tables(db: sqlite3.Connection) -> None:
    """Create the tables, inside the caller's transaction."""
    for statement in TABLES.split(";"):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {VERSION}")


def checksum(body: bytes, *labels: int | str) -> int:
    """Compute a checksum, because SQLite's check misses flipped bits inside values."""
    return zlib.crc32(body, zlib.crc32("|".join(map(str, labels)).encode()))
