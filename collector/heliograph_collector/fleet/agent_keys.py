"""An agent's keys over time. Its id stays that of its first one: numbers, votes and pseudonyms do.

It offers its next key, which counts from then on beside the present one; its first hello by the
next one confirms it. What was signed by earlier ones is still taken: it may have waited long.
"""

from collections import defaultdict

from heliograph.keys import agent_id
from heliograph_collector.fleet.registry import Agent, Fleet, RefusedError

LIFE_S = 90 * 86_400  # of a key; asked to be another when a third is left
GRACE_S = 180 * 86_400  # an expired one may still be exchanged: so long may a country be dark
KEPT = 8  # earlier ones of an agent


def expires_s(agent: Agent) -> int:
    return (agent.key_since_s or agent.created_s) + LIFE_S


def due(agent: Agent, now_s: int) -> bool:
    return expires_s(agent) - now_s < LIFE_S // 3


def too_old(agent: Agent, now_s: int) -> bool:
    return now_s > expires_s(agent) + GRACE_S


def others(fleet: Fleet) -> dict[bytes, tuple[bytes, ...]]:
    """Agent → its further keys, the next one first, then earlier ones, newest first."""
    with fleet.transaction() as db:
        rows = db.execute(
            "SELECT agent, public_key FROM agent_keys ORDER BY state = 'next' DESC, at_s DESC"
        ).fetchall()
    found: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for agent, key in rows:
        found[agent].append(key)
    return {agent: tuple(keys[: KEPT + 1]) for agent, keys in found.items()}


def offer(fleet: Fleet, agent: bytes, public_key: bytes, now_s: int) -> None:
    """Note the next key; the same again changes nothing, another takes its place.

    Raises RefusedError when it is or was anybody's.
    """
    with fleet.transaction() as db:
        mine = ("next", agent, public_key)
        known = "SELECT 1 FROM agent_keys WHERE state = ? AND agent = ? AND public_key = ?"
        if db.execute(known, mine).fetchone():
            return
        taken = db.execute(
            "SELECT 1 FROM agents WHERE public_key = ? OR id = ? UNION ALL"
            " SELECT 1 FROM agent_keys WHERE public_key = ?",
            (public_key, agent_id(public_key), public_key),
        )
        if taken.fetchone():
            raise RefusedError("key_taken")
        db.execute("DELETE FROM agent_keys WHERE state = 'next' AND agent = ?", (agent,))
        db.execute("INSERT INTO agent_keys VALUES (?, ?, 'next', ?)", (public_key, agent, now_s))


def confirm(fleet: Fleet, agent: bytes, public_key: bytes, now_s: int) -> bool:
    """Its next key is its present one from now; whether it was its next one."""
    with fleet.transaction() as db:
        done = db.execute(
            "DELETE FROM agent_keys WHERE state = 'next' AND agent = ? AND public_key = ?",
            (agent, public_key),
        )
        if done.rowcount != 1:
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
