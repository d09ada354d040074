"""Forget an agent that asks for it, with all data on its machine and its person.

The key stays, revoked, with the days of joining and leaving: results that still arrive under it
must be refused, and those in the store are judged by its age. Results have no address.

A place in quarantine, with the keyed names of its networks, stays for its 48 hours: else an agent
that enrolls and erases again and again would take more than the share of a network.
"""

from heliograph_collector.fleet.registry import Fleet

ERASE = "erase"  # the reason of the goodbye that asks for it


def forget_agent(fleet: Fleet, agent: bytes, now_s: int) -> None:
    """Revoke an agent and clear its record. Raises sqlite3.Error.

    The link to its invite is removed too, as the operator knows who got the invite, which stays
    used up.
    """
    places_sql = "SELECT network, agent FROM quarantine_networks WHERE agent = ?"
    with fleet.transaction() as db:
        places = db.execute(places_sql, (agent,)).fetchall()
        db.execute(
            "UPDATE agents SET revoked_s = coalesce(revoked_s, ?), last_seen_s = NULL,"
            " version = '', country = 'ZZ', asn = 0, access = 'unknown', origin = '', charter = 0,"
            " name = '', note = '' WHERE id = ?",
            (now_s, agent),
        )
        # the revocation has freed them (trigger quarantine_left)
        db.executemany("INSERT INTO quarantine_networks VALUES (?, ?)", places)
        db.execute("DELETE FROM codes WHERE agent = ?", (agent,))
        db.execute(
            "UPDATE invites SET uses = uses - 1 WHERE token_hash IN"
            " (SELECT token_hash FROM admissions WHERE agent = ?)",
            (agent,),
        )
        db.execute("DELETE FROM admissions WHERE agent = ?", (agent,))
