"""The journal's SQL: its tables, a row in and a row out, and how old rows are forgotten."""

import secrets
import sqlite3
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from heliograph_collector.model.records import JournalRow, Kind, Role

Range = tuple[int, int]  # first and last, both inclusive


def fold(ranges: Iterable[Range], numbers: Iterable[int]) -> list[Range]:
    """The fewest ranges that cover the same numbers as `ranges` and `numbers` together."""
    folded: list[Range] = []
    for first, last in sorted([*ranges, *((n, n) for n in numbers)]):
        if folded and first <= folded[-1][1] + 1:
            folded[-1] = (folded[-1][0], max(folded[-1][1], last))
        else:
            folded.append((first, last))
    return folded


PAGE = 4_096
ROW_LIMIT = 500  # rows forgotten in one commit
ENVELOPES, PRESENCE = "kind = 'envelope'", "kind <> 'envelope'"  # in the words of the indices

_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (
  id TEXT PRIMARY KEY, alive_us INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS log (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL, agent BLOB NOT NULL, sequence INTEGER NOT NULL, received_us INTEGER NOT NULL,
  country TEXT NOT NULL, asn INTEGER NOT NULL, prefix TEXT NOT NULL, role TEXT NOT NULL,
  carrier TEXT NOT NULL, body BLOB NOT NULL,
  heard_us INTEGER NOT NULL DEFAULT 0, since_s INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS log_envelope ON log (agent, sequence) WHERE kind = 'envelope';
CREATE INDEX IF NOT EXISTS log_old ON log (received_us) WHERE kind = 'envelope';
CREATE INDEX IF NOT EXISTS log_old_presence ON log (received_us) WHERE kind <> 'envelope';
CREATE INDEX IF NOT EXISTS log_presence ON log (position) WHERE kind <> 'envelope';
CREATE TABLE IF NOT EXISTS forgotten (
  agent BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (agent, first)
) STRICT, WITHOUT ROWID;
"""

# What journals of before do not have: (table, column). Each is added with the default above.
_LATER = (("journal", "alive_us"), ("log", "heard_us"), ("log", "since_s"))

# Asked first instead of ON CONFLICT DO NOTHING, which would use up a position for nothing.
APPEND = """
INSERT INTO log
  (kind, agent, sequence, received_us, country, asn, prefix, role, carrier, body, heard_us, since_s)
SELECT :kind, :agent, :sequence, :received_us, :country, :asn, :prefix, :role, :carrier, :body,
  :heard_us, :since_s
WHERE :kind <> 'envelope' OR NOT EXISTS (
  SELECT 1 FROM log WHERE kind = 'envelope' AND agent = :agent AND sequence = :sequence
  UNION ALL
  SELECT 1 FROM forgotten WHERE agent = :agent AND first <= :sequence AND last >= :sequence
)
"""

READ = (
    "SELECT position, kind, agent, sequence, received_us, country, asn, prefix, role, carrier,"
    " body, heard_us, since_s FROM log"
)


def connect(path: Path, limit_bytes: int, *, durable: bool = True) -> sqlite3.Connection:
    """A connection that belongs to one thread at a time. Raises sqlite3.Error.

    What goes through one that is not durable waits for the next commit that is, or for the system.
    """
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        if limit_bytes:
            db.execute(f"PRAGMA max_page_count = {max(limit_bytes // PAGE, 16)}")
        _create(db)
    except sqlite3.Error:
        db.close()
        raise
    return db


def parameters(row: JournalRow) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "agent": row.agent,
        "sequence": row.sequence,
        "received_us": row.received_us,
        "country": row.country,
        "asn": row.asn,
        "prefix": row.prefix,
        "role": row.role,
        "carrier": row.carrier,
        "body": row.body,
        "heard_us": row.heard_us,
        "since_s": row.since_s,
    }


def row_of(found: tuple[Any, ...]) -> JournalRow:
    position, kind, agent, sequence, received_us, country, asn, prefix, role, carrier = found[:10]
    body, heard_us, since_s = found[10:]
    return JournalRow(
        kind=Kind(kind),
        agent=agent,
        received_us=received_us,
        country=country,
        asn=asn,
        prefix=prefix,
        role=Role(role),
        carrier=carrier,
        sequence=sequence,
        body=body,
        position=position,
        heard_us=heard_us,
        since_s=since_s,
    )


def insert(db: sqlite3.Connection, values: list[dict[str, Any]]) -> list[int | None]:
    """The position of each row, None where the envelope was there already."""
    positions: list[int | None] = []
    for row in values:
        cursor = db.execute(APPEND, row)
        positions.append(cursor.lastrowid if cursor.rowcount == 1 else None)
    return positions


def body_of(db: sqlite3.Connection, agent: bytes, sequence: int) -> bytes | None:
    """None when there is no such envelope, or not any more."""
    found = db.execute(
        "SELECT body FROM log WHERE kind = 'envelope' AND agent = ? AND sequence = ?",
        (agent, sequence),
    ).fetchone()
    return None if found is None else bytes(found[0])


def mark_alive(db: sqlite3.Connection, at_us: int) -> None:
    db.execute("UPDATE journal SET alive_us = ?", (at_us,))


def last_alive_us(db: sqlite3.Connection) -> int:
    """The latest that the mark or a row says; 0 when there is neither."""
    ((marked,),) = db.execute("SELECT alive_us FROM journal")
    newest = db.execute("SELECT received_us FROM log ORDER BY position DESC LIMIT 1").fetchone()
    return int(max(marked, newest[0] if newest else 0))


def read(
    db: sqlite3.Connection,
    after: int,
    limit: int,
    limit_bytes: int,
    kinds: Collection[Kind] | None = None,
) -> list[JournalRow]:
    rows: list[JournalRow] = []
    size = 0
    wanted = "1" if kinds is None else f"kind IN ({', '.join('?' * len(kinds))})"
    if kinds is not None and Kind.ENVELOPE not in kinds:
        wanted += f" AND {PRESENCE}"  # there is an index on these alone
    query = f"{READ} WHERE position > ? AND {wanted} ORDER BY position LIMIT ?"
    for found in db.execute(query, (after, *(kinds or ()), limit)):
        rows.append(row_of(found))
        size += len(rows[-1].body)
        if size >= limit_bytes:
            break
    return rows


def forget(db: sqlite3.Connection, which: str, up_to: int, before_us: int, limit: int) -> int:
    """Drop the oldest ENVELOPES or the oldest PRESENCE at or below `up_to` that came before.

    The sequences of envelopes are kept as ranges.
    """
    query = (
        f"SELECT position, agent, sequence FROM log WHERE {which} AND received_us < ?"  # noqa: S608 ours
        " AND position <= ? ORDER BY received_us LIMIT ?"
    )
    old = db.execute(query, (before_us, up_to, limit)).fetchall()
    used: dict[bytes, list[int]] = {}
    for _, agent, sequence in old if which == ENVELOPES else ():
        used.setdefault(agent, []).append(sequence)
    for agent, sequences in used.items():
        _remember(db, agent, sequences)
    db.executemany("DELETE FROM log WHERE position = ?", ((row[0],) for row in old))
    return len(old)


def copy(db: sqlite3.Connection, target: Path) -> None:
    """A consistent copy, while another connection writes."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    other = sqlite3.connect(target)
    try:
        db.backup(other)
    finally:
        other.close()


def _remember(db: sqlite3.Connection, agent: bytes, sequences: list[int]) -> None:
    known = db.execute("SELECT first, last FROM forgotten WHERE agent = ?", (agent,)).fetchall()
    db.execute("DELETE FROM forgotten WHERE agent = ?", (agent,))
    db.executemany(
        "INSERT INTO forgotten VALUES (?, ?, ?)",
        ((agent, first, last) for first, last in fold(known, sequences)),
    )


def _create(db: sqlite3.Connection) -> None:
    for statement in _SCHEMA.split(";"):
        db.execute(statement)
    for table, column in _LATER:
        there = {found[1] for found in db.execute(f"PRAGMA table_info({table})")}
        if column not in there:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
    if db.execute("SELECT count(*) FROM journal").fetchone()[0] == 0:
        db.execute("INSERT INTO journal (id) VALUES (?)", (secrets.token_hex(8),))
