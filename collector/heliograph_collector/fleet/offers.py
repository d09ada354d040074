"""Invites as they stand: how many uses are left, until when, and the end of one.

A token is kept as its hash alone, so an invite can be shown once only: when it is made.
"""

from dataclasses import dataclass

from heliograph_collector.fleet.registry import Fleet

MOST = 1_000  # that are listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    id: str  # the beginning of the token's hash, in hex
    role: str
    uses: int
    used: int
    created_s: int
    expires_s: int

    def is_open(self, now_s: int) -> bool:
        return self.used < self.uses and now_s < self.expires_s


def offers(fleet: Fleet) -> list[Offer]:
    """The newest first."""
    with fleet.transaction() as db:
        rows = db.execute(
            "SELECT i.token_hash, role, uses, created_s, expires_s, count(a.agent)"
            " FROM invites i LEFT JOIN admissions a ON a.token_hash = i.token_hash"
            " GROUP BY i.token_hash ORDER BY created_s DESC, i.token_hash LIMIT ?",
            (MOST,),
        ).fetchall()
    return [
        Offer(id=h.hex()[:16], role=role, uses=uses, used=used, created_s=made, expires_s=end)
        for h, role, uses, made, end, used in rows
    ]


def withdraw(fleet: Fleet, id_: str, now_s: int) -> bool:
    """Whether there was such an invite that still let somebody in. Who is in stays in."""
    with fleet.transaction() as db:
        done = db.execute(
            "UPDATE invites SET expires_s = ?"
            " WHERE substr(lower(hex(token_hash)), 1, 16) = ? AND expires_s > ?",
            (now_s, id_, now_s),
        )
        return done.rowcount == 1
