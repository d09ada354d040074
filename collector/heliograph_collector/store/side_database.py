"""A SQLite file beside the store: one process writes it while others read."""

import sqlite3
from pathlib import Path

_BUSY_TIMEOUT_S = 10.0


def open_side_database(file: Path, schema: str) -> sqlite3.Connection:
    """Open the file, and make it if it is missing. Raises OSError, sqlite3.Error."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)
    db = sqlite3.connect(file, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(schema)
    except BaseException:
        db.close()
        raise
    return db
