"""Keys of an agent over time; its id stays that of its first key.

So sequence numbers, votes and pseudonyms stay too. Transitions: the agent offers its *next* key,
which is accepted from then on beside the *present* one. The first hello with the next key makes it
the present key, and the old one *earlier*. Envelopes signed by earlier keys are still accepted,
because they may have waited long in a spool.
"""

from collections import defaultdict

from heliograph.keys import agent_id
from heliograph_collector.fleet.registry import EnrolledAgent, EnrolmentRefusedError, Fleet

KEY_LIFE_S = 90 * 86_400  # assumed; renewal is due when a third remains
# assumed; an expired key may still be renewed, because a country may be offline this long
EXPIRED_GRACE_S = 180 * 86_400
MAX_EARLIER_KEYS = 8  # per agent


def key_expires_s(agent: EnrolledAgent) -> int:
    return (agent.key_since_s or agent.created_s) + KEY_LIFE_S


def is_renewal_due(agent: EnrolledAgent, now_s: int) -> bool:
    return key_expires_s(agent) - now_s < KEY_LIFE_S // 3


def is_too_old(agent: EnrolledAgent, now_s: int) -> bool:
    return now_s > key_expires_s(agent) + EXPIRED_GRACE_S


def list_other_keys(fleet: Fleet) -> dict[bytes, tuple[bytes, ...]]:
    """List each agent's next key, then its earlier keys, newest first."""
    rows = fleet.read_rows(
        "SELECT agent, public_key FROM agent_keys ORDER BY state = 'next' DESC, at_s DESC"
    )
    keys_by_agent: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for agent, key in rows:
        keys_by_agent[agent].append(key)
    return {agent: tuple(keys[: MAX_EARLIER_KEYS + 1]) for agent, keys in keys_by_agent.items()}


def offer_key(fleet: Fleet, agent: bytes, public_key: bytes, now_s: int) -> None:
    """Record the agent's next key. Raises EnrolmentRefusedError for any known key."""
    with fleet.transaction() as db:
        offered_sql = "SELECT 1 FROM agent_keys WHERE state = ? AND agent = ? AND public_key = ?"
        if db.execute(offered_sql, ("next", agent, public_key)).fetchone():
            return
        owners = db.execute(
            "SELECT 1 FROM agents WHERE public_key = ? OR id = ? UNION ALL"
            " SELECT 1 FROM agent_keys WHERE public_key = ?",
            (public_key, agent_id(public_key), public_key),
        )
        if owners.fetchone():
            raise EnrolmentRefusedError("key_taken")
        db.execute("DELETE FROM agent_keys WHERE state = 'next' AND agent = ?", (agent,))
        db.execute("INSERT INTO agent_keys VALUES (?, ?, 'next', ?)", (public_key, agent, now_s))


def confirm_key(fleet: Fleet, agent: bytes, public_key: bytes, now_s: int) -> bool:
    """Make the next key the present one; return False if it was not the next key."""
    with fleet.transaction() as db:
        result = db.execute(
            "DELETE FROM agent_keys WHERE state = 'next' AND agent = ? AND public_key = ?",
            (agent, public_key),
        )
        if result.rowcount != 1:
            return False
        db.execute(
            "INSERT INTO agent_keys SELECT public_key, id, 'earlier', ? FROM agents WHERE id = ?",
            (now_s, agent),
        )
        db.execute(
            "UPDATE agents SET public_key = ?, key_since_s = ? WHERE id = ?",
            (public_key, now_s, agent),
        )
        return True
