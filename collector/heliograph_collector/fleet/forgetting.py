"""Forget an agent that asks for it: what the registry knows of its machine and its person.

The key stays, revoked, with the days of joining and leaving: results that still arrive under it
must be refused, and those in the store are judged by its age. Results have no address.
"""

from heliograph_collector.fleet.registry import Fleet

ERASE = "erase"  # the reason of the goodbye that asks for it


def forget_agent(fleet: Fleet, agent: bytes, now_s: int) -> None:
    """Revoke an agent and clear what is known of it. Raises sqlite3.Error.

    The link to its invite goes too, as the operator knows whom that was given to; the invite is
    used up as before.
    """
    with fleet.transaction() as db:
        db.execute(
            "UPDATE agents SET revoked_s = coalesce(revoked_s, ?), last_seen_s = NULL,"
            " version = '', country = 'ZZ', asn = 0, access = 'unknown', origin = '', charter = 0"
            " WHERE id = ?",
            (now_s, agent),
        )
        db.execute("DELETE FROM codes WHERE agent = ?", (agent,))
        db.execute("DELETE FROM quarantine_networks WHERE agent = ?", (agent,))
        db.execute(
            "UPDATE invites SET uses = uses - 1 WHERE token_hash IN"
            " (SELECT token_hash FROM admissions WHERE agent = ?)",
            (agent,),
        )
        db.execute("DELETE FROM admissions WHERE agent = ?", (agent,))
