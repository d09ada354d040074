"""Whose results are stored, shown to the operator and not counted: who came without an invite,
until it has proved itself, and whose key two machines use."""

import sqlite3
from collections.abc import Mapping

from heliograph.keys import agent_id
from heliograph_collector.fleet.registry import Agent, Fleet, RefusedError

TRIAL_S = 7 * 86_400
AGREEMENTS = 10
MOST_ON_TRIAL = 10_000
FORKS = 3  # one may be a power failure that the spool did not survive whole


def enrol_stranger(fleet: Fleet, public_key: bytes, version: str, now_s: int) -> Agent:
    """Without an invite, into quarantine. The same key may ask again. Raises RefusedError."""
    agent = agent_id(public_key)
    with fleet.transaction() as db:
        known = db.execute("SELECT revoked_s FROM agents WHERE id = ?", (agent,)).fetchone()
        waiting = db.execute("SELECT count(*) FROM agents WHERE trial_s IS NOT NULL").fetchone()
        if known is not None and known[0] is not None:
            raise RefusedError("revoked")
        if known is None and waiting[0] >= MOST_ON_TRIAL:
            raise RefusedError("no_room")
        db.execute(
            "INSERT INTO agents (id, public_key, role, version, created_s, trial_s)"
            " VALUES (?, ?, 'volunteer', ?, ?, ?) ON CONFLICT DO NOTHING",
            (agent, public_key, version, now_s, now_s),
        )
    return next(one for one in fleet.agents() if one.id == agent)


def agreed(fleet: Fleet, hours: Mapping[bytes, int], now_s: int) -> int:
    """Add hours of agreement; how many agents have now proved themselves and count from here."""
    with fleet.transaction() as db:
        db.executemany(
            "UPDATE agents SET agreements = agreements + ? WHERE id = ? AND trial_s IS NOT NULL",
            [(count, agent) for agent, count in hours.items()],
        )
        done = db.execute(
            "UPDATE agents SET trial_s = NULL WHERE trial_s <= ? AND agreements >= ?",
            (now_s - TRIAL_S, AGREEMENTS),
        )
        return done.rowcount


def fork(fleet: Fleet, agent: bytes, now_s: int) -> bool:
    """Two different batches came under one number; whether that is now one time too many."""
    with fleet.transaction() as db:
        db.execute("UPDATE agents SET forks = forks + 1 WHERE id = ?", (agent,))
        return _flag(db, agent, now_s, FORKS)


def doubled(fleet: Fleet, agent: bytes, now_s: int) -> bool:
    """Two sessions of one key spoke at the same time; whether that is news."""
    with fleet.transaction() as db:
        return _flag(db, agent, now_s, 0)


def clear(fleet: Fleet, agent: bytes) -> bool:
    """The operator's word that all is well: out of quarantine, one machine again."""
    with fleet.transaction() as db:
        done = db.execute(
            "UPDATE agents SET trial_s = NULL, cloned_s = NULL, forks = 0"
            " WHERE id = ? AND (trial_s IS NOT NULL OR cloned_s IS NOT NULL)",
            (agent,),
        )
        return done.rowcount == 1


def _flag(db: sqlite3.Connection, agent: bytes, now_s: int, forks: int) -> bool:
    done = db.execute(
        "UPDATE agents SET cloned_s = ? WHERE id = ? AND cloned_s IS NULL AND forks >= ?",
        (now_s, agent, forks),
    )
    return done.rowcount == 1
