"""Quarantine of agents whose results are stored and shown, but not counted.

Places are limited, in all and for each network (`network_shares`). A place is free again after
PLACE_S without an accepted result, by `free_places`, which runs regularly and before an enrollment
where places are short. Its agent stays enrolled without a place, so that a volunteer who was
offline for a week delivers what it measured, and can still leave quarantine. Of agents without a
place at most MAX_WITHOUT_PLACE stay. Networks are stored as keyed hashes of the day of the
enrollment, and no address is.

The order is such that a flood of keys pushes out itself, and no volunteer who has been
dark for days: on the worst day the honest ones are those that are silent. First go keys above the
share of their network or AS, then keys that never had a result accepted, the longest silent first.
Then go the newest, because newcomers push out nobody who was there before them. An agent that
agreed with others for an hour counts in no share, and goes last.

Transitions: an agent without invite enters on enrollment and leaves after TRIAL_S with at least
MIN_AGREEMENTS hours of agreement with others. An agent whose key two machines use enters by a
duplicate session or MAX_FORKS forks. The operator can clear both states.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence

from heliograph.keys import agent_id
from heliograph.network_shares import NetworkKey, share_of
from heliograph.units import DAY_S
from heliograph_collector.fleet.registry import EnrolledAgent, EnrolmentRefusedError, Fleet

TRIAL_S = 7 * 86_400
MIN_AGREEMENTS = 10
MAX_IN_QUARANTINE = 10_000
PLACE_S = 48 * 3_600  # assumed; a place without an accepted result for so long is free again
NAMED_DAYS = 31  # a network's name changes daily; its places of so many days count together
MAX_FREED = 100  # places that one enrollment frees, so that its work is bounded
MAX_WITHOUT_PLACE = MAX_IN_QUARANTINE  # assumed; as many again as can have a place
VOUCHED_S = 30 * DAY_S  # assumed: above the age at which a vantage is established
MAX_FORKS = 3  # assumed; one fork may come from a power failure that damaged the spool
_FORGET_SQL = """
WITH placeless AS (
  SELECT id, created_s, result_s, origin, asn, agreements > 0 AS agreed, results > 0 AS heard
  FROM agents WHERE trial_s IS NOT NULL AND revoked_s IS NULL AND NOT EXISTS (
    SELECT 1 FROM quarantine_networks WHERE network = '' AND agent = agents.id
  )
), ranked AS (
  SELECT *, origin != '' AND row_number() OVER of_origin > :network
    OR asn > 0 AND row_number() OVER of_asn > :asn AS above
  FROM placeless WINDOW
    of_origin AS (PARTITION BY origin ORDER BY agreed DESC, heard DESC, created_s, id),
    of_asn AS (PARTITION BY asn ORDER BY agreed DESC, heard DESC, created_s, id)
)
DELETE FROM agents WHERE id IN (
  SELECT id FROM ranked ORDER BY agreed DESC, above, heard DESC,
    CASE WHEN heard THEN created_s ELSE -result_s END, id LIMIT -1 OFFSET :stay
) RETURNING id"""
_MARK_CLONED_SQL = "UPDATE agents SET cloned_s = ? WHERE id = ? AND cloned_s IS NULL AND forks >= ?"


def enrol_without_invite(
    fleet: Fleet,
    public_key: bytes,
    version: str,
    now_s: int,
    networks: Sequence[Sequence[NetworkKey]] = (),
    grace_s: int = 0,
) -> EnrolledAgent:
    """Enroll into quarantine, once per key. Raises EnrolmentRefusedError.

    Args:
        networks: The networks of the agent's address, named as on each of the last days, today
            first; none for an operator, who enrolls by file.
        grace_s: How much later the place may expire, for a response that travels by hand.
    """
    agent = agent_id(public_key)
    with fleet.transaction() as db:
        _make_room(db, now_s, networks)
        existing = db.execute("SELECT revoked_s FROM agents WHERE id = ?", (agent,)).fetchone()
        if existing is not None and existing[0] is not None:
            raise EnrolmentRefusedError("revoked")
        if existing is None:
            _check_room(db, networks)
            keys = networks[0] if networks else ()
            asn = next((int(key.name) for key in keys if key.width == "asn"), 0)
            names = ["", *map(_name_network, keys)]
            db.execute(
                "INSERT INTO agents"
                " (id, public_key, role, version, created_s, asn, trial_s, result_s, origin)"
                " VALUES (?, ?, 'volunteer', ?, ?, ?, ?, ?, ?)",
                (
                    agent,
                    public_key,
                    version,
                    now_s,
                    asn,
                    now_s,
                    now_s + grace_s,
                    "".join(names[1:2]),
                ),
            )
            db.executemany(
                "INSERT OR IGNORE INTO quarantine_networks VALUES (?, ?)",
                [(name, agent) for name in names],
            )
    enrolled = fleet.get_agent(agent)
    if enrolled is None:
        raise EnrolmentRefusedError("no_room")  # its place expired meanwhile
    return enrolled


def record_results(fleet: Fleet, result_s_by_agent: Mapping[bytes, int]) -> None:
    """Record the time of quarantined agents' results, which keep their places."""
    with fleet.transaction() as db:
        db.executemany(
            "UPDATE agents SET result_s = ?, results = results + 1"
            " WHERE id = ? AND trial_s IS NOT NULL",
            [(at_s, agent) for agent, at_s in result_s_by_agent.items()],
        )


def free_places(fleet: Fleet, now_s: int) -> tuple[int, list[bytes]]:
    """Free each place without a result for PLACE_S.

    Returns their number, and the agents without a place that were deleted because there were too
    many. Those may enroll again; a revoked agent stays, so that it may not.
    """
    with fleet.transaction() as db:
        freed = _free_places(db, now_s, [""], -1)
        shares = {
            "network": share_of(MAX_WITHOUT_PLACE, "24"),
            "asn": share_of(MAX_WITHOUT_PLACE, "asn"),
        }
        rows = db.execute(_FORGET_SQL, {"stay": MAX_WITHOUT_PLACE, **shares})
        deleted = [row[0] for row in rows.fetchall()]
    if deleted:
        fleet.mark_changed()
    return freed, deleted


def _make_room(
    db: sqlite3.Connection, now_s: int, networks: Sequence[Sequence[NetworkKey]]
) -> None:
    """Free places where all of them are taken."""
    for names, limit in _limits(networks):
        if _count_places(db, names) >= limit:
            _free_places(db, now_s, names, MAX_FREED)


def _free_places(db: sqlite3.Connection, now_s: int, names: Sequence[str], limit: int) -> int:
    """Free places in the networks of these names; return their number.

    `limit` is -1 for all.
    """
    sql = f"""
SELECT id FROM quarantine_networks JOIN agents ON id = agent
WHERE network IN ({_mark(names)}) AND result_s < ? LIMIT ?"""  # noqa: S608 only marks
    agents = db.execute(sql, (*names, now_s - PLACE_S, limit)).fetchall()
    db.executemany("DELETE FROM quarantine_networks WHERE agent = ?", agents)
    return len(agents)


def _limits(networks: Sequence[Sequence[NetworkKey]]) -> Iterator[tuple[list[str], int]]:
    """Yield the names of each network on all days, the widest last, and its places."""
    for keys in zip(*networks, strict=True):
        yield sorted(set(map(_name_network, keys))), share_of(MAX_IN_QUARANTINE, keys[0].width)
    yield [""], MAX_IN_QUARANTINE


def _check_room(db: sqlite3.Connection, networks: Sequence[Sequence[NetworkKey]]) -> None:
    """Raise EnrolmentRefusedError if a network's share, or all places, are taken."""
    for names, limit in _limits(networks):
        if _count_places(db, names) >= limit:
            raise EnrolmentRefusedError("network_full" if names != [""] else "no_room")


def _count_places(db: sqlite3.Connection, names: Sequence[str]) -> int:
    sql = "SELECT coalesce(sum(agents), 0) FROM quarantine_counts WHERE network IN"
    return int(db.execute(f"{sql} ({_mark(names)})", names).fetchone()[0])


def _mark(names: Sequence[str]) -> str:
    return ", ".join("?" * len(names))


def _name_network(key: NetworkKey) -> str:
    return f"{key.width} {key.name}"


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
    if cursor.rowcount:
        fleet.mark_changed()
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


def vouch_for(fleet: Fleet, agent: bytes, now_s: int) -> None:
    """Let an agent count as an old one, because the operator knows who runs it."""
    with fleet.transaction() as db:
        db.execute(
            "UPDATE agents SET created_s = min(created_s, ?), trial_s = NULL WHERE id = ?",
            (now_s - VOUCHED_S, agent),
        )
