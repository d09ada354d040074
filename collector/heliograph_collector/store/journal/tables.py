"""SQL of the journal: its tables, access to rows, and deletion of old rows."""

import secrets
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from heliograph_collector.model.records import AgentRole, JournalRow, RowKind

SequenceRange = tuple[int, int]  # first and last, both inclusive


def merge_ranges(ranges: Iterable[SequenceRange], numbers: Iterable[int]) -> list[SequenceRange]:
    """Merge ranges and numbers into the fewest ranges."""
    merged: list[SequenceRange] = []
    for first, last in sorted([*ranges, *((n, n) for n in numbers)]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


PAGE_BYTES = 4_096
ROW_LIMIT = 500  # rows deleted in one commit
_ROW_OVERHEAD_BYTES = 200  # assumed; of a row beside its body
# the same text as in the indexes
ENVELOPE_CONDITION = "kind = 'envelope'"
PRESENCE_CONDITION = "kind <> 'envelope'"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (
  id TEXT PRIMARY KEY, alive_us INTEGER NOT NULL DEFAULT 0, expiry_us INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS log (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL, agent BLOB NOT NULL, sequence INTEGER NOT NULL, received_us INTEGER NOT NULL,
  country TEXT NOT NULL, asn INTEGER NOT NULL, prefix TEXT NOT NULL, role TEXT NOT NULL,
  carrier TEXT NOT NULL, body BLOB NOT NULL,
  heard_us INTEGER NOT NULL DEFAULT 0, since_s INTEGER NOT NULL DEFAULT 0,
  closed_us INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS log_envelope ON log (agent, sequence) WHERE kind = 'envelope';
CREATE INDEX IF NOT EXISTS log_old ON log (received_us) WHERE kind = 'envelope';
CREATE INDEX IF NOT EXISTS log_old_presence ON log (received_us) WHERE kind <> 'envelope';
CREATE INDEX IF NOT EXISTS log_presence ON log (position) WHERE kind <> 'envelope';
CREATE TABLE IF NOT EXISTS forgotten (
  agent BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (agent, first)
) STRICT, WITHOUT ROWID;
"""

# (table, column) that older journals lack. Each is added with the default above.
_ADDED_COLUMNS = (
    ("journal", "alive_us"),
    ("journal", "expiry_us"),
    ("log", "heard_us"),
    ("log", "since_s"),
    ("log", "closed_us"),
)

# A test before the insert, because ON CONFLICT DO NOTHING would use up a position.
APPEND_SQL = """
INSERT INTO log
  (kind, agent, sequence, received_us, country, asn, prefix, role, carrier, body, heard_us, since_s,
  closed_us)
SELECT :kind, :agent, :sequence, :received_us, :country, :asn, :prefix, :role, :carrier, :body,
  :heard_us, :since_s, :closed_us
WHERE :kind <> 'envelope' OR NOT EXISTS (
  SELECT 1 FROM log WHERE kind = 'envelope' AND agent = :agent AND sequence = :sequence
  UNION ALL
  SELECT 1 FROM forgotten WHERE agent = :agent AND first <= :sequence AND last >= :sequence
)
"""

_COLUMNS = (
    "position", "kind", "agent", "sequence", "received_us", "country", "asn", "prefix", "role",
    "carrier", "body", "heard_us", "since_s", "closed_us",
)  # fmt: skip


def open_database(path: Path, limit_bytes: int, *, durable: bool = True) -> sqlite3.Connection:
    """Open a connection for one thread at a time. Raises sqlite3.Error.

    Writes of a connection that is not durable wait for the next durable commit or the system.
    """
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        if limit_bytes:
            db.execute(f"PRAGMA max_page_count = {max(limit_bytes // PAGE_BYTES, 16)}")
        _create_schema(db)
    except sqlite3.Error:
        db.close()
        raise
    return db


@dataclass(frozen=True, slots=True)
class RowInsert:
    """Insert of rows; its result has their positions, None for a stored envelope."""

    rows: Sequence[JournalRow]

    @property
    def size(self) -> int:
        return sum(len(row.body) + _ROW_OVERHEAD_BYTES for row in self.rows)

    def apply(self, db: sqlite3.Connection) -> list[int | None]:
        positions: list[int | None] = []
        for row in self.rows:
            cursor = db.execute(APPEND_SQL, {name: getattr(row, name) for name in _COLUMNS})
            positions.append(cursor.lastrowid if cursor.rowcount == 1 else None)
        return positions


@dataclass(frozen=True, slots=True)
class OldRowDelete:
    """Delete of the oldest rows of one condition; its result is their number.

    `condition` is ENVELOPE_CONDITION or PRESENCE_CONDITION. The sequences of deleted envelopes are
    kept as ranges.
    """

    condition: str
    max_position: int
    before_us: int
    size = 0  # it queues no bytes

    def apply(self, db: sqlite3.Connection) -> int:
        query = (
            f"SELECT position, agent, sequence FROM log WHERE {self.condition} AND received_us < ?"  # noqa: S608 fixed text, values are parameters
            " AND position <= ? ORDER BY received_us LIMIT ?"
        )
        parameters = (self.before_us, self.max_position, ROW_LIMIT)
        old_rows = db.execute(query, parameters).fetchall()
        sequences_by_agent: dict[bytes, list[int]] = {}
        for _, agent, sequence in old_rows if self.condition == ENVELOPE_CONDITION else ():
            sequences_by_agent.setdefault(agent, []).append(sequence)
        for agent, sequences in sequences_by_agent.items():
            _record_forgotten(db, agent, sequences)
        db.executemany("DELETE FROM log WHERE position = ?", ((row[0],) for row in old_rows))
        return len(old_rows)


def read_body(db: sqlite3.Connection, agent: bytes, sequence: int) -> bytes | None:
    """Read an envelope's body, None if it is absent or was deleted."""
    row = db.execute(
        "SELECT body FROM log WHERE kind = 'envelope' AND agent = ? AND sequence = ?",
        (agent, sequence),
    ).fetchone()
    return None if row is None else bytes(row[0])


def read_last_position(db: sqlite3.Connection) -> int:
    """Return the highest position ever used, 0 before the first."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
    return 0 if row is None else int(row[0])


def mark_alive(db: sqlite3.Connection, at_us: int) -> None:
    db.execute("UPDATE journal SET alive_us = ?", (at_us,))


def mark_expiry(db: sqlite3.Connection, at_us: int) -> None:
    db.execute("UPDATE journal SET expiry_us = ?", (at_us,))


def read_expiry_us(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT expiry_us FROM journal").fetchone()[0])


def read_last_alive_us(db: sqlite3.Connection) -> int:
    """Return the later of the alive mark and the newest row, 0 without both."""
    ((marked,),) = db.execute("SELECT alive_us FROM journal")
    newest = db.execute("SELECT received_us FROM log ORDER BY position DESC LIMIT 1").fetchone()
    return int(max(marked, newest[0] if newest else 0))


def read_rows(
    db: sqlite3.Connection,
    after: int,
    limit: int,
    limit_bytes: int,
    kinds: Collection[RowKind] | None = None,
) -> list[JournalRow]:
    rows: list[JournalRow] = []
    size = 0
    condition = "1" if kinds is None else f"kind IN ({', '.join('?' * len(kinds))})"
    if kinds is not None and RowKind.ENVELOPE not in kinds:
        condition += f" AND {PRESENCE_CONDITION}"  # there is an index on these rows alone
    query = (
        f"SELECT {', '.join(_COLUMNS)} FROM log"  # noqa: S608 fixed text, values are parameters
        f" WHERE position > ? AND {condition} ORDER BY position LIMIT ?"
    )
    for values in db.execute(query, (after, *(kinds or ()), limit)):
        fields = dict(zip(_COLUMNS, values, strict=True))
        fields |= {"kind": RowKind(fields["kind"]), "role": AgentRole(fields["role"])}
        rows.append(JournalRow(**fields))
        size += len(rows[-1].body)
        if size >= limit_bytes:
            break
    return rows


def insert_as_numbered(db: sqlite3.Connection, rows: Iterable[JournalRow]) -> None:
    """Insert rows at their own positions, into the copy of another journal."""
    marks = ", ".join("?" * len(_COLUMNS))
    db.execute("BEGIN")
    db.executemany(
        f"INSERT INTO log ({', '.join(_COLUMNS)}) VALUES ({marks})",  # noqa: S608 fixed text
        ([getattr(row, name) for name in _COLUMNS] for row in rows),
    )
    db.execute("COMMIT")


def complete_copy(
    db: sqlite3.Connection,
    last_position: int,
    ranges: Iterable[tuple[bytes, int, int]],
    journal: tuple[str, int, int],
) -> None:
    """Add what a copy has beside its rows; `journal` is id, alive mark and expiry."""
    db.execute("BEGIN")
    db.executemany("INSERT INTO forgotten VALUES (?, ?, ?)", ranges)
    db.execute("UPDATE journal SET id = ?, alive_us = ?, expiry_us = ?", journal)
    db.execute("DELETE FROM sqlite_sequence WHERE name = 'log'")
    db.execute("INSERT INTO sqlite_sequence VALUES ('log', ?)", (last_position,))
    db.execute("COMMIT")


def copy_database(db: sqlite3.Connection, target: Path) -> None:
    """Write a consistent copy while another connection writes."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with closing(sqlite3.connect(target)) as target_db:
        db.backup(target_db)


def _record_forgotten(db: sqlite3.Connection, agent: bytes, sequences: list[int]) -> None:
    ranges = db.execute("SELECT first, last FROM forgotten WHERE agent = ?", (agent,)).fetchall()
    db.execute("DELETE FROM forgotten WHERE agent = ?", (agent,))
    db.executemany(
        "INSERT INTO forgotten VALUES (?, ?, ?)",
        ((agent, first, last) for first, last in merge_ranges(ranges, sequences)),
    )


def _create_schema(db: sqlite3.Connection) -> None:
    for statement in _SCHEMA.split(";"):
        db.execute(statement)
    for table, column in _ADDED_COLUMNS:
        columns = {values[1] for values in db.execute(f"PRAGMA table_info({table})")}
        if column not in columns:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
    if db.execute("SELECT count(*) FROM journal").fetchone()[0] == 0:
        db.execute("INSERT INTO journal (id) VALUES (?)", (secrets.token_hex(8),))
