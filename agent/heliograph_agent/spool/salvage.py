"""Read a damaged database row by row, and copy only intact rows.

In a file whose first page is ruined only the names of the tables are lost. They begin on the same
pages in every spool, so the first page of an empty spool replaces the ruined one. Versions 1 and 2
kept open measurements readable; the caller encrypts these.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from heliograph.codec import epoch_from_pb
from heliograph.observation import Epoch
from heliograph.units import minute_of
from heliograph.v1 import observation_pb2 as pb
from heliograph_agent.spool import schema
from heliograph_agent.spool.eviction import SHEDDABLE
from heliograph_agent.spool.open_rows import checksum_row
from heliograph_agent.spool.priority import Priority
from heliograph_agent.spool.schema import DAY, DIGEST, HOUR, PAGE, checksum
from heliograph_agent.spool.sealing import OpenRow

# SQLite's message may quote flipped bits that are no valid text.
DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError)
COLUMNS = {
    "measurement": "sequence, priority, size, stored_us, life, number, crc, body, copy",
    "envelope": "sequence, priority, size, stored_us, measurements, crc, body, cover",
    "quarantine": "sequence, reason, stored_us, measurements, crc, body",
    "gap": "rowid, kind, count, last_us",
}
CLEAR_COLUMNS = "sequence, priority, stored_us, epoch, crc, body"
CLEAR_COLUMNS_BORROWED = "sequence, priority, stored_us, life, number, crc"  # the same by place
EPOCH_COLUMNS = "rowid, id, crc, body"
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


class ClearRow(NamedTuple):
    """Hold an open measurement of a version that kept it readable."""

    row: OpenRow
    priority: int
    stored_us: int


def salvage_rows(damaged: Path, borrowed: Path, new: sqlite3.Connection) -> list[ClearRow]:
    """Copy intact rows of `damaged` to `new`, and return the readable measurements.

    `borrowed` is a temporary path.
    """
    clear_rows, has_all_tables = _copy_all(damaged, new)
    if has_all_tables:
        return clear_rows
    with suppress(OSError):  # the disk has no room for the copy
        _borrow_header(damaged, borrowed)
        clear_rows += _copy_all(borrowed, new)[0]
    for leftover in ("", "-wal", "-shm", "-journal"):
        erase_file(Path(f"{borrowed}{leftover}"))
    return list({clear.row.sequence: clear for clear in clear_rows}.values())


def erase_file(path: Path) -> None:
    """Overwrite a file that may show results, if its disk permits, and remove it."""
    with suppress(FileNotFoundError):
        with path.open("r+b") as file:
            for _ in range(0, path.stat().st_size, PAGE):
                file.write(bytes(PAGE))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()


def _copy_all(source: Path, new: sqlite3.Connection) -> tuple[list[ClearRow], bool]:
    """Copy all tables; return the readable rows, and whether every table was whole."""
    has_all_tables = True
    with closing(sqlite3.connect(source, isolation_level=None)) as old:
        budget = iter(range(PATIENCE))

        def is_out_of_patience() -> bool:
            return next(budget, None) is None

        old.set_progress_handler(is_out_of_patience, STEPS)
        for table, columns in COLUMNS.items():
            names = _read_column_names(old, table)
            column_names = columns.split(", ")
            has_all_tables &= set(column_names) <= names or "epoch" in names
            # A column that an earlier version lacks reads as 0.
            present = ", ".join(column if column in names else "0" for column in column_names)
            for row in _iter_readable(old, table, present):
                marks = ", ".join("?" * len(row))
                new.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608 names of ours
        return _read_clear_rows(old), has_all_tables


def _read_column_names(db: sqlite3.Connection, table: str) -> set[str]:
    """Read the names of a table's columns; the empty set if it cannot be found."""
    try:
        names = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
    except DAMAGE:
        return set()
    return names | {"rowid"} if names else names


def _read_clear_rows(db: sqlite3.Connection) -> list[ClearRow]:
    """Read clear measurements of version 1 or 2; a lost epoch has only its id."""
    is_own_header = "epoch" in _read_column_names(db, "measurement")
    columns = CLEAR_COLUMNS if is_own_header else CLEAR_COLUMNS_BORROWED
    epochs: dict[str, Epoch] = {}
    clear_rows: list[ClearRow] = []
    for record in _iter_readable(db, "epoch", EPOCH_COLUMNS):
        match record:
            case (str(name), _, bytes(body)):
                epochs[name] = epoch_from_pb(pb.Epoch.FromString(body))
    for record in _iter_readable(db, "measurement", columns):
        match record:
            case (int(sequence), int(priority), int(at_us), str(name), _, bytes(body)):
                row = OpenRow(sequence, epochs.get(name, Epoch(id=name, started_us=0)), body)
                clear_rows.append(ClearRow(row, priority, minute_of(at_us)))
    return clear_rows


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
        case (
            "measurement", int(n), int(priority), int(), int(), int(), int(number), int(crc),
            bytes(body), bytes(copy),
        ):  # fmt: skip
            return crc == checksum_row(n, priority, number, body, copy)
        case ("measurement", int(n), int(priority), int(), str(epoch), int(crc), bytes(b)):  # clear
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
    query = f"SELECT {columns} FROM {table} NOT INDEXED WHERE {key} > ? ORDER BY {key}"  # noqa: S608 names of ours
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
