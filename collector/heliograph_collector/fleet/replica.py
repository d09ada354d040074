"""The fleet as keys and values, for processes that follow it from another machine.

A key is a table and a primary key, a value the row by its columns, both as MessagePack. A follower
applies them to its fleet.db, which all other code reads. The time at which an agent was last seen
changes with each heartbeat, and is left out.
"""

import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec

from heliograph_collector.fleet.registry import Fleet

_PRIMARY_KEYS = {
    "agents": ("id",),
    "invites": ("token_hash",),
    "admissions": ("token_hash", "agent"),
    "plans": ("version",),
    "charters": ("version",),
    "agent_keys": ("public_key",),
    "fingerprint_bundles": ("publisher",),
}
_LEFT_OUT = {"agents": ("last_seen_s",)}
_ENCODER = msgspec.msgpack.Encoder()


class ReplicaError(Exception):
    """A key or value is of no fleet that this version knows."""


def read_rows(fleet: Fleet) -> dict[str, bytes]:
    """Return all rows by key."""
    rows = {}
    for table, key_columns in _PRIMARY_KEYS.items():
        columns = [row[1] for row in fleet.read_rows(f"PRAGMA table_info({table})")]
        columns = [name for name in columns if name not in _LEFT_OUT.get(table, ())]
        select_sql = f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608 our own names
        for values in fleet.read_rows(select_sql):
            row = dict(zip(columns, values, strict=True))
            key = _ENCODER.encode([row[name] for name in key_columns]).hex()
            rows[f"{table}.{key}"] = _ENCODER.encode(row)
    return rows


def apply_rows(fleet: Fleet, changes: Mapping[str, bytes | None]) -> None:
    """Apply changes, None for a deleted row. Raises ReplicaError, sqlite3.Error."""
    if not changes:
        return
    with fleet.transaction() as db:
        for key, content in changes.items():
            table, _, digits = key.partition(".")
            if table not in _PRIMARY_KEYS:
                raise ReplicaError(f"The fleet has a table {table[:40]!r}: update this collector.")
            if content is None:
                _delete(db, table, digits)
            else:
                _upsert(db, table, content)
    fleet.mark_changed()


def replace_rows(fleet: Fleet, rows: Mapping[str, bytes | None]) -> None:
    """Make a fleet equal to these rows. Raises ReplicaError, sqlite3.Error."""
    own = read_rows(fleet)
    changes: dict[str, bytes | None] = {key: None for key in own if not rows.get(key)}
    changes |= {key: row for key, row in rows.items() if row and row != own.get(key)}
    apply_rows(fleet, changes)


def _delete(db: sqlite3.Connection, table: str, digits: str) -> None:
    try:
        values = msgspec.msgpack.decode(bytes.fromhex(digits), type=list[Any])
    except (ValueError, msgspec.MsgspecError) as error:
        raise ReplicaError(f"The fleet has a bad key in {table}.") from error
    condition = " AND ".join(f"{name} = ?" for name in _PRIMARY_KEYS[table])
    db.execute(f"DELETE FROM {table} WHERE {condition}", values)  # noqa: S608 our own names


def _upsert(db: sqlite3.Connection, table: str, content: bytes) -> None:
    try:
        row: object = msgspec.msgpack.decode(content)
    except msgspec.MsgspecError as error:
        raise ReplicaError(f"The fleet has a bad row in {table}.") from error
    if not isinstance(row, dict):
        raise ReplicaError(f"The fleet has a bad row in {table}.")
    present = {column[1] for column in db.execute(f"PRAGMA table_info({table})")}
    columns = [name for name in row if name in present]  # a later version may have more
    keys = _PRIMARY_KEYS[table]
    others = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
    action = f"UPDATE SET {others}" if others else "NOTHING"
    marks = ", ".join("?" * len(columns))
    insert_sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 our own
    conflict_sql = f" ON CONFLICT ({', '.join(keys)}) DO {action}"
    db.execute(insert_sql + conflict_sql, [row[name] for name in columns])
