"""The tables of spool.db, and the checksum that every row carries."""

import sqlite3
import zlib

VERSION = 2
PAGE = 4_096

TABLES = """
CREATE TABLE measurement (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  priority INTEGER NOT NULL,
  size INTEGER NOT NULL,
  stored_us INTEGER NOT NULL,
  epoch TEXT NOT NULL,
  crc INTEGER NOT NULL,
  body BLOB NOT NULL
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
CREATE TABLE epoch (id TEXT PRIMARY KEY, crc INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE gap (kind TEXT PRIMARY KEY, count INTEGER NOT NULL, last_us INTEGER NOT NULL);
CREATE INDEX measurement_by_priority ON measurement (priority, sequence, size);
CREATE INDEX envelope_by_priority ON envelope (priority, sequence, size, measurements);
CREATE INDEX envelope_by_cover ON envelope (cover, priority, size, measurements) WHERE cover > 0;
"""
# What a file of the edition before lacks.
SINCE_1 = """
ALTER TABLE envelope ADD COLUMN cover INTEGER NOT NULL DEFAULT 0;
CREATE INDEX envelope_by_cover ON envelope (cover, priority, size, measurements) WHERE cover > 0;
"""


def create(db: sqlite3.Connection) -> None:
    """Inside the caller's transaction."""
    _run(db, TABLES)


def upgrade(db: sqlite3.Connection) -> None:
    """From the edition before; inside the caller's transaction."""
    _run(db, SINCE_1)


def _run(db: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";"):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {VERSION}")


def checksum(body: bytes, *labels: int | str) -> int:
    """SQLite has none of its own: a bit that flips inside a value passes its integrity check."""
    return zlib.crc32(body, zlib.crc32("|".join(map(str, labels)).encode()))
