"""Quarantine of agents whose results are stored and shown, but not counted.

Transitions: an agent without invite enters on enrollment and leaves after TRIAL_S with at least
MIN_AGREEMENTS hours of agreement with others. An agent whose key two machines use enters by a
duplicate session or MAX_FORKS forks. The operator can clear both states.
"""

from collections.abc import Mapping

from heliograph.keys import agent_id
from heliograph_collector.fleet.registry import EnrolledAgent, EnrolmentRefusedError, Fleet

TRIAL_S = 7 * 86_400
MIN_AGREEMENTS = 10
MAX_IN_QUARANTINE = 10_000
MAX_FORKS = 3  # assumed; one fork may come from a power failure that damaged the spool
_MARK_CLONED_SQL = "UPDATE agents SET cloned_s = ? WHERE id = ? AND cloned_s IS NULL AND forks >= ?"


def enrol_without_invite(
    fleet: Fleet, public_key: bytes, version: str, now_s: int
) -> EnrolledAgent:
    """Enroll into quarantine, once per key. Raises EnrolmentRefusedError."""
    agent = agent_id(public_key)
    count_sql = "SELECT count(*) FROM agents WHERE trial_s IS NOT NULL"
    with fleet.transaction() as db:
        existing = db.execute("SELECT revoked_s FROM agents WHERE id = ?", (agent,)).fetchone()
        if existing is not None and existing[0] is not None:
            raise EnrolmentRefusedError("revoked")
        if existing is None and db.execute(count_sql).fetchone()[0] >= MAX_IN_QUARANTINE:
            raise EnrolmentRefusedError("no_room")
        db.execute(
            "INSERT INTO agents (id, public_key, role, version, created_s, trial_s)"
            " VALUES (?, ?, 'volunteer', ?, ?, ?) ON CONFLICT DO NOTHING",
            (agent, public_key, version, now_s, now_s),
        )
    return next(record for record in fleet.list_agents() if record.id == agent)


def add_agreements(fleet: Fleet, hours: Mapping[bytes, int], now_s: int) -> int:
    """Add hours of agreement; return how many agents have left quarantine."""
    with fleet.transaction() as db:
        db.executemany(
            "UPDATE agents SET agreements = agreements + ? WHERE id = ? AND trial_s IS NOT NULL",
            [(count, agent) for agent, count in hours.items()],
        )
        cursor = db.execute(
            "UPDATE agents SET trial_s = NULL WHERE trial_s <= ? AND agreements >= ?",
            (now_s - TRIAL_S, MIN_AGREEMENTS),
        )
        return cursor.rowcount


def record_fork(fleet: Fleet, agent: bytes, now_s: int) -> bool:
    """Record two batches under one number; return whether the agent is now cloned."""
    with fleet.transaction() as db:
        db.execute("UPDATE agents SET forks = forks + 1 WHERE id = ?", (agent,))
        return db.execute(_MARK_CLONED_SQL, (now_s, agent, MAX_FORKS)).rowcount == 1


def record_clone(fleet: Fleet, agent: bytes, now_s: int) -> bool:
    """Mark an agent with two sessions at once as cloned; return whether it is new."""
    return fleet.change_row(_MARK_CLONED_SQL, now_s, agent, 0)


def clear_quarantine(fleet: Fleet, agent: bytes) -> bool:
    """Release an agent from quarantine by the operator's decision."""
    sql = (
        "UPDATE agents SET trial_s = NULL, cloned_s = NULL, forks = 0"
        " WHERE id = ? AND (trial_s IS NOT NULL OR cloned_s IS NOT NULL)"
    )
    return fleet.change_row(sql, agent)
