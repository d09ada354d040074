"""An agent's keys over time. Its id stays that of its first one: numbers, votes and pseudonyms do.

It offers its next key, which counts from then on beside the present one; its first hello by the
next one confirms it. What was signed by earlier ones is still taken: it may have waited long.
"""

from collections import defaultdict

from heliograph.keys import agent_id
from heliograph_collector.fleet.registry import EnrolledAgent, EnrolmentRefusedError, Fleet

KEY_LIFE_S = 90 * 86_400  # of a key; asked to be another when a third is left
EXPIRED_GRACE_S = (
    180 * 86_400
)  # an expired one may still be exchanged: so long may a country be dark
MAX_EARLIER_KEYS = 8  # earlier ones of an agent


def key_expires_s(agent: EnrolledAgent) -> int:
    return (agent.key_since_s or agent.created_s) + KEY_LIFE_S


def is_renewal_due(agent: EnrolledAgent, now_s: int) -> bool:
    return key_expires_s(agent) - now_s < KEY_LIFE_S // 3


def is_too_old(agent: EnrolledAgent, now_s: int) -> bool:
    return now_s > key_expires_s(agent) + EXPIRED_GRACE_S


def list_other_keys(fleet: Fleet) -> dict[bytes, tuple[bytes, ...]]:
    """Agent → its further keys, the next one first, then earlier ones, newest first."""
    with fleet.transaction() as db:
        rows = db.execute(
            "SELECT agent, public_key FROM agent_keys ORDER BY state = 'next' DESC, at_s DESC"
        ).fetchall()
    keys_by_agent: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for agent, key in rows:
        keys_by_agent[agent].append(key)
    return {agent: tuple(keys[: MAX_EARLIER_KEYS + 1]) for agent, keys in keys_by_agent.items()}


def offer_key(fleet: Fleet, agent: bytes, public_key: bytes, now_s: int) -> None:
    """Note the next key; the same again changes nothing, another takes its place.

    Raises RefusedError when it is or was anybody's.
    """
    with fleet.transaction() as db:
        offered_row = ("next", agent, public_key)
        offered_sql = "SELECT 1 FROM agent_keys WHERE state = ? AND agent = ? AND public_key = ?"
        if db.execute(offered_sql, offered_row).fetchone():
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
    """Its next key is its present one from now; whether it was its next one."""
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
