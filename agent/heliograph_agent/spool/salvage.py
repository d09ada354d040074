"""Read a damaged database row by row, and copy only intact rows.

In a file whose first page is ruined only the names of the tables are lost. They begin on the same
pages in every spool, so the first page of an empty spool replaces the ruined one.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from heliograph_agent.spool import schema
from heliograph_agent.spool.eviction import SHEDDABLE
from heliograph_agent.spool.priority import Priority
from heliograph_agent.spool.schema import DAY, DIGEST, HOUR, PAGE, checksum

# SQLite's message may quote flipped bits that are no valid text.
DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError)
COLUMNS = {
    "measurement": "sequence, priority, size, stored_us, epoch, crc, body",
    "envelope": "sequence, priority, size, stored_us, measurements, crc, body, cover",
    "quarantine": "sequence, reason, stored_us, measurements, crc, body",
    "epoch": "rowid, id, crc, body",
    "gap": "rowid, kind, count, last_us",
}
CAUSES = frozenset(
    {
        "acked",
        "damaged", "refused", "rejected", "summed_p2", "summed_p3", "thinned_p2", "thinned_p3",
        "unreadable",
    }
)  # fmt: skip
MAX_COUNT = 1 << 40
RANKS = frozenset({DIGEST, *Priority, *(p + kept for p in SHEDDABLE for kept in (HOUR, DAY))})
# A damaged tree may be circular, so stop after PATIENCE * STEPS steps of SQLite's machine.
PATIENCE = 2_000
STEPS = 50_000
Row = tuple[int | str | bytes, ...]
_MAGIC = b"SQLite format 3\0" + PAGE.to_bytes(2, "big")
_LAYOUT = bytes((0, 64, 32, 32))  # no reserved bytes; the fractions of every file
_ENCODING = (1).to_bytes(4, "big")  # UTF-8


def has_own_header(path: Path) -> bool:
    """Return whether the spool wrote this header; an empty file counts as one."""
    with path.open("rb") as file:
        head = file.read(100)
    return not head or (
        head[:18] == _MAGIC
        and set(head[18:20]) <= {1, 2}
        and head[20:24] == _LAYOUT
        and head[56:60] in (_ENCODING, bytes(4))
    )


def salvage_rows(damaged: Path, borrowed: Path, new: sqlite3.Connection) -> None:
    """Copy every intact row of `damaged` to `new`; `borrowed` is a temporary path."""
    if _copy_all(damaged, new):
        return
    with suppress(OSError):  # the disk has no room for the copy
        _borrow_header(damaged, borrowed)
        _copy_all(borrowed, new)
    for leftover in ("", "-wal", "-shm", "-journal"):
        Path(f"{borrowed}{leftover}").unlink(missing_ok=True)


def _copy_all(source: Path, new: sqlite3.Connection) -> bool:
    has_all_tables = True
    with closing(sqlite3.connect(source, isolation_level=None)) as old:
        budget = iter(range(PATIENCE))
        old.set_progress_handler(lambda: next(budget, None) is None, STEPS)
        for table, columns in COLUMNS.items():
            try:
                old.execute(f"SELECT {columns} FROM {table} LIMIT 0")  # noqa: S608
            except DAMAGE:
                has_all_tables = False
            for row in _iter_readable(old, table, columns):
                marks = ", ".join("?" * len(row))
                new.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608
    return has_all_tables


def _borrow_header(damaged: Path, borrowed: Path) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
        empty.execute(f"PRAGMA page_size = {PAGE}")
        schema.create_tables(empty)
        head = bytearray(empty.serialize()[:PAGE])
    shutil.copyfile(damaged, borrowed)
    borrowed.chmod(0o600)
    head[28:32] = (borrowed.stat().st_size // PAGE).to_bytes(4, "big")
    with borrowed.open("r+b") as file:
        file.write(head)


def _is_intact(table: str, row: Row) -> bool:
    """Check a row's checksum; the ledger has none and must be plausible."""
    match (table, *row):
        case ("measurement", int(n), int(priority), int(), int(), str(epoch), int(crc), bytes(b)):
            return crc == checksum(b, n, priority, epoch)
        case ("envelope", int(n), int(p), int(), int(), int(), int(crc), bytes(b), int()):
            return crc == checksum(b, n) and p in RANKS
        case ("quarantine", int(n), str(), int(), int(), int(crc), bytes(b)):
            return crc == checksum(b, n)
        case ("epoch", str(name), int(crc), bytes(b)):
            return crc == checksum(b, name)
        case ("gap", str(cause), int(count), int()):
            return cause in CAUSES and 0 < count < MAX_COUNT
        case _:
            return False


def _iter_readable(old: sqlite3.Connection, table: str, columns: str) -> Iterator[Row]:
    """Yield every readable intact row; skip bad pages by growing steps."""
    key = columns.split(",", 1)[0]
    query = f"SELECT {columns} FROM {table} NOT INDEXED WHERE {key} > ? ORDER BY {key}"  # noqa: S608
    after = 0
    step = 1
    while after < 1 << 62:
        try:
            for row in old.execute(query, (after,)):
                values = row[1:] if key == "rowid" else row
                if _is_intact(table, values):
                    after = max(after, row[0])
                    step = 1
                    yield values
            return
        except DAMAGE:
            after += step
            step *= 2
