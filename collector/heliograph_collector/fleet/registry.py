"""Registry in DATA/fleet.db: agents, invites and plans.

Commands write it while `serve` reads it.
"""

import hashlib
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from heliograph.keys import agent_id

BUSY_TIMEOUT_S = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS agents (
  id BLOB PRIMARY KEY, public_key BLOB NOT NULL, role TEXT NOT NULL, version TEXT NOT NULL,
  created_s INTEGER NOT NULL, revoked_s INTEGER, last_seen_s INTEGER,
  country TEXT NOT NULL DEFAULT 'ZZ', asn INTEGER NOT NULL DEFAULT 0,
  access TEXT NOT NULL DEFAULT 'unknown'
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS invites (
  token_hash BLOB PRIMARY KEY, role TEXT NOT NULL, uses INTEGER NOT NULL,
  created_s INTEGER NOT NULL, expires_s INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS admissions (
  token_hash BLOB NOT NULL REFERENCES invites, agent BLOB NOT NULL, PRIMARY KEY (token_hash, agent)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS plans (
  version INTEGER PRIMARY KEY, plan BLOB NOT NULL, signature BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS agent_keys (
  public_key BLOB PRIMARY KEY, agent BLOB NOT NULL, state TEXT NOT NULL, at_s INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS charters (version INTEGER PRIMARY KEY, signed BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS fingerprint_bundles (
  publisher TEXT PRIMARY KEY, version INTEGER NOT NULL, signed BLOB NOT NULL, charter BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS codes (
  agent BLOB NOT NULL, minute INTEGER NOT NULL, received_us INTEGER NOT NULL, body BLOB NOT NULL,
  handed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (agent, minute)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unproven (at_s INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS quarantine_networks (
  network TEXT NOT NULL, agent BLOB NOT NULL, PRIMARY KEY (network, agent)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS quarantine_networks_by_agent ON quarantine_networks (agent);
CREATE TABLE IF NOT EXISTS quarantine_counts (
  network TEXT PRIMARY KEY, agents INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS session_ends (
  agent BLOB PRIMARY KEY, at_s INTEGER NOT NULL, reason TEXT NOT NULL, goodbye_reason TEXT NOT NULL,
  plan INTEGER NOT NULL, clock_ahead_s INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refusals (
  agent BLOB PRIMARY KEY, at_s INTEGER NOT NULL, what TEXT NOT NULL, reason TEXT NOT NULL
) WITHOUT ROWID;
"""
# Columns added by later versions.
_ADDED_COLUMNS = {
    ("agents", "key_since_s"): "INTEGER NOT NULL DEFAULT 0",
    ("agents", "charter"): "INTEGER NOT NULL DEFAULT 0",
    ("agents", "trial_s"): "INTEGER",
    ("agents", "agreements"): "INTEGER NOT NULL DEFAULT 0",
    ("agents", "cloned_s"): "INTEGER",
    ("agents", "forks"): "INTEGER NOT NULL DEFAULT 0",
    ("codes", "carrier"): "TEXT NOT NULL DEFAULT 'code'",
    ("agents", "result_s"): "INTEGER NOT NULL DEFAULT 0",
    ("unproven", "source"): "TEXT NOT NULL DEFAULT ''",
    ("agents", "results"): "INTEGER NOT NULL DEFAULT 0",
    ("agents", "origin"): "TEXT NOT NULL DEFAULT ''",
    ("agents", "name"): "TEXT NOT NULL DEFAULT ''",
    ("agents", "note"): "TEXT NOT NULL DEFAULT ''",
}
# Their triggers. Triggers count places, so that an enrollment reads one row for each of
# its networks, however many agents there are. Agents of an earlier version enter by their AS.
_SCHEMA_OF_PLACES = """
CREATE INDEX IF NOT EXISTS agents_in_quarantine ON agents (result_s) WHERE trial_s IS NOT NULL;
CREATE TRIGGER IF NOT EXISTS place_taken AFTER INSERT ON quarantine_networks BEGIN
  INSERT INTO quarantine_counts VALUES (new.network, 1)
  ON CONFLICT (network) DO UPDATE SET agents = agents + 1;
END;
CREATE TRIGGER IF NOT EXISTS place_left AFTER DELETE ON quarantine_networks BEGIN
  UPDATE quarantine_counts SET agents = agents - 1 WHERE network = old.network;
  DELETE FROM quarantine_counts WHERE network = old.network AND agents <= 0;
END;
CREATE TRIGGER IF NOT EXISTS quarantine_left AFTER UPDATE OF trial_s, revoked_s ON agents
WHEN new.trial_s IS NULL OR new.revoked_s IS NOT NULL BEGIN
  DELETE FROM quarantine_networks WHERE agent = new.id;
END;
CREATE TRIGGER IF NOT EXISTS origin_left AFTER UPDATE OF trial_s, revoked_s ON agents
WHEN new.origin != '' AND (new.trial_s IS NULL OR new.revoked_s IS NOT NULL) BEGIN
  UPDATE agents SET origin = '' WHERE id = new.id;
END;
CREATE TRIGGER IF NOT EXISTS agent_deleted AFTER DELETE ON agents BEGIN
  DELETE FROM quarantine_networks WHERE agent = old.id;
  DELETE FROM agent_keys WHERE agent = old.id;
END;
CREATE TRIGGER IF NOT EXISTS agent_revoked AFTER UPDATE OF revoked_s ON agents
WHEN new.revoked_s IS NOT NULL BEGIN
  DELETE FROM session_ends WHERE agent = new.id;
  DELETE FROM refusals WHERE agent = new.id;
END;
CREATE TRIGGER IF NOT EXISTS agent_removed AFTER DELETE ON agents BEGIN
  DELETE FROM session_ends WHERE agent = old.id;
  DELETE FROM refusals WHERE agent = old.id;
END;
INSERT OR IGNORE INTO quarantine_networks
  SELECT '', id FROM agents WHERE trial_s IS NOT NULL AND result_s = 0 AND revoked_s IS NULL
  UNION ALL SELECT 'asn ' || asn, id FROM agents
  WHERE trial_s IS NOT NULL AND result_s = 0 AND revoked_s IS NULL AND asn > 0;
UPDATE agents SET result_s = coalesce(last_seen_s, created_s)
  WHERE trial_s IS NOT NULL AND result_s = 0;
-- Earlier versions counted no results; without one `result_s` was the enrollment, or 30 days later.
UPDATE agents SET results = 1 WHERE trial_s IS NOT NULL AND results = 0
  AND result_s NOT IN (created_s, created_s + 2592000);
"""
_SELECT_AGENTS = """
SELECT id, public_key, role, version, created_s, revoked_s, last_seen_s, country, asn, access,
  key_since_s, charter, trial_s, agreements, cloned_s, name, note,
  EXISTS (SELECT 1 FROM quarantine_networks WHERE network = '' AND agent = id) AS has_place
FROM agents
"""
_SIGHTING_VALUES = ("at_s", "version", "country", "asn", "access", "charter", "agent")

SqlValue = bytes | str | int


class EnrolmentRefusedError(Exception):
    """Refused enrollment; `reason` is one of a few fixed words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledAgent:
    id: bytes
    public_key: bytes
    role: str  # one of heliograph.plan.ROLES
    version: str
    created_s: int
    revoked_s: int | None = None
    last_seen_s: int | None = None
    country: str = "ZZ"
    asn: int = 0
    access: str = "unknown"
    key_since_s: int = 0  # start of the present key; 0 means since enrollment
    charter: int = 0  # newest charter version that the agent is known to follow
    trial_s: int | None = None  # start of quarantine, for an agent without invite
    agreements: int = 0  # hours of agreement with other agents while in quarantine
    cloned_s: int | None = None  # when two machines were found to use the key
    has_place: int = 0  # 1 while it takes one of the places in quarantine
    name: str = ""  # given by an operator, who alone sees it; the same for the note
    note: str = ""

    @property
    def is_known(self) -> bool:
        """Return whether it enrolled by invite or left quarantine, and is not revoked."""
        return self.trial_s is None and self.revoked_s is None

    @property
    def result_role(self) -> str:
        """Return the AgentRole of the agent's results."""
        is_counted = self.trial_s is None and self.cloned_s is None
        return self.role if is_counted else "quarantine"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSighting:
    """Last network of an agent, from its address before the address was discarded."""

    agent: bytes
    at_s: int
    version: str
    country: str
    asn: int
    access: str
    charter: int = 0


class Fleet:
    """Registry with one connection and lock; calls are short and safe from any thread."""

    def __init__(self, data: Path) -> None:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._marked_changes = 0
        file = data / "fleet.db"
        self._db = sqlite3.connect(
            file, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            file.chmod(0o600)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)
            _add_columns(self._db)
            self._db.executescript(_SCHEMA_OF_PLACES)
            _check_intact(self._db)
        except (OSError, sqlite3.Error):
            self._db.close()
            raise

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def data_version(self) -> int:
        """Return a number that changes on others' writes, or by `mark_changed`."""
        with self._lock:
            foreign_changes = int(self._db.execute("PRAGMA data_version").fetchone()[0])
            return foreign_changes + self._marked_changes

    def mark_changed(self) -> None:
        """Let readers of `data_version` see a change by this connection."""
        with self._lock:
            self._marked_changes += 1

    # invites

    def create_invite(self, *, role: str, uses: int, now_s: int, expires_s: int) -> bytes:
        """Create a 16-byte token, of which only the hash is stored."""
        token = secrets.token_bytes(16)
        with self.transaction() as db:
            db.execute(
                "INSERT INTO invites VALUES (?, ?, ?, ?, ?)",
                (hash_token(token), role, uses, now_s, expires_s),
            )
        return token

    def list_invites(self) -> frozenset[bytes]:
        """List the hashes of all tokens, also of expired ones."""
        return frozenset(row[0] for row in self.read_rows("SELECT token_hash FROM invites"))

    def enrol_agent(
        self, token: bytes, public_key: bytes, version: str, now_s: int
    ) -> EnrolledAgent:
        """Enroll a key by an invite; the same key may ask again, another may not reuse it.

        Raises EnrolmentRefusedError.
        """
        agent = agent_id(public_key)
        with self.transaction() as db:
            role = _use_invite(db, hash_token(token), agent, now_s)
            db.execute(
                "INSERT INTO agents (id, public_key, role, version, created_s)"
                " VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET role = excluded.role, version = excluded.version",
                (agent, public_key, role, version, now_s),
            )
            return _select_agents(db, "WHERE id = ?", (agent,))[0]

    # agents

    def get_agent(self, agent: bytes) -> EnrolledAgent | None:
        with self._lock:
            return next(iter(_select_agents(self._db, "WHERE id = ?", (agent,))), None)

    def list_agents(self) -> list[EnrolledAgent]:
        with self._lock:
            return _select_agents(self._db, "ORDER BY created_s, id")

    def revoke_agent(self, agent: bytes, now_s: int) -> bool:
        """Revoke an agent; return False if it is unknown or already revoked."""
        sql = "UPDATE agents SET revoked_s = ? WHERE id = ? AND revoked_s IS NULL"
        return self.change_row(sql, now_s, agent)

    def describe_agent(self, agent: bytes, name: str, note: str) -> bool:
        """Set an operator's name and note of an agent; return False if it is unknown."""
        sql = "UPDATE agents SET name = ?, note = ? WHERE id = ?"
        return self.change_row(sql, name, note, agent)

    def record_sightings(self, sightings: Sequence[AgentSighting]) -> None:
        with self.transaction() as db:
            db.executemany(
                "UPDATE agents SET last_seen_s = ?, version = ?, country = ?, asn = ?, access = ?,"
                " charter = max(charter, ?) WHERE id = ? AND revoked_s IS NULL",
                map(attrgetter(*_SIGHTING_VALUES), sightings),
            )

    # plans

    def read_plan(self) -> tuple[bytes, bytes] | None:
        """Return the newest plan's bytes and signature, None before the first."""
        rows = self.read_rows("SELECT plan, signature FROM plans ORDER BY version DESC LIMIT 1")
        return rows[0] if rows else None

    def add_plan(self, version: int, plan: bytes, signature: bytes) -> bool:
        """Add a plan; return False when another writer added that version first."""
        sql = "INSERT INTO plans VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        return self.change_row(sql, version, plan, signature)

    # SQL of the other modules of this package

    def read_rows(self, sql: str, *values: SqlValue) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def change_row(self, sql: str, *values: SqlValue) -> bool:
        """Run one statement as a transaction; return whether it changed one row."""
        with self.transaction() as db:
            return db.execute(sql, values).rowcount == 1

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one transaction that excludes other writers."""
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db


def _check_intact(db: sqlite3.Connection) -> None:
    """Check for damage at the start, not during an answer. Raises sqlite3.Error."""
    ((answer,),) = db.execute("PRAGMA quick_check(1)")
    if answer != "ok":
        raise sqlite3.DatabaseError("it is damaged")


def _add_columns(db: sqlite3.Connection) -> None:
    """Add missing columns; another process may add them at the same time."""
    for (table, name), kind in _ADDED_COLUMNS.items():
        if name in {row[1] for row in db.execute(f"PRAGMA table_info({table})")}:
            continue
        try:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
        except sqlite3.OperationalError as error:
            if "duplicate column" not in str(error):
                raise


def hash_token(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _use_invite(db: sqlite3.Connection, token_hash: bytes, agent: bytes, now_s: int) -> str:
    invite = db.execute(
        "SELECT role, uses, expires_s FROM invites WHERE token_hash = ?", (token_hash,)
    ).fetchone()
    if invite is None:
        raise EnrolmentRefusedError("invite_unknown")
    if db.execute("SELECT revoked_s FROM agents WHERE id = ? AND revoked_s", (agent,)).fetchone():
        raise EnrolmentRefusedError("revoked")
    role, uses, expires_s = invite
    key = (token_hash, agent)
    if db.execute("SELECT 1 FROM admissions WHERE token_hash = ? AND agent = ?", key).fetchone():
        return str(role)
    if now_s >= expires_s:
        raise EnrolmentRefusedError("invite_expired")
    count_sql = "SELECT count(*) FROM admissions WHERE token_hash = ?"
    if db.execute(count_sql, (token_hash,)).fetchone()[0] >= uses:
        raise EnrolmentRefusedError("invite_used_up")
    db.execute("INSERT INTO admissions VALUES (?, ?)", key)
    return str(role)


def _select_agents(
    db: sqlite3.Connection, condition: str, values: tuple[bytes, ...] = ()
) -> list[EnrolledAgent]:
    cursor = db.execute(f"{_SELECT_AGENTS} {condition}", values)
    names = [column[0] for column in cursor.description]  # those of the fields
    return [EnrolledAgent(**dict(zip(names, row, strict=True))) for row in cursor]
