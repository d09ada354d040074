"""Invites: formatting, uses left, expiry and withdrawal.

Only a token's hash is stored, so an invite can be shown only once, when it is created.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from heliograph.codec import entrance_to_pb
from heliograph.invite_line import format_invite_line, parse_invite_line
from heliograph.plan import Carrier, Entrance
from heliograph.v1.intake_pb2 import Invite
from heliograph_collector.fleet.registry import Fleet, hash_token

MAX_INVITE_ENTRANCES = 3  # in addition to the endpoint


def format_invite(
    endpoint: str,
    pin: bytes,
    token: bytes,
    entrances: Sequence[Entrance] = (),
    *,
    charter: bytes = b"",
) -> str:
    """Format the invite line for `heliograph-agent join`.

    An invite without token leads into quarantine. It contains only a few entrances, because people
    type it and cameras read it: gRPC streams, and one for POST, by which agents without gRPC join.
    `charter` is the SHA-256 of the charter that the agent starts with.
    """
    posts = [e for e in entrances if e.carrier is Carrier.POST][:1]
    sessions = [
        e
        for e in entrances
        if e.carrier is Carrier.STREAM
        and endpoint not in (f"{e.host}:{e.port}", f"[{e.host}]:{e.port}")
    ]
    listed = [*sessions[: MAX_INVITE_ENTRANCES - len(posts)], *posts]
    invite = Invite(
        endpoint=endpoint,
        pin=pin,
        token=token,
        entrances=[entrance_to_pb(entrance) for entrance in listed],
        charter=charter,
    )
    return format_invite_line(invite)


def read_address(line: str) -> str:
    """Return HOST:PORT that agents with a line of `format_invite` connect to."""
    return parse_invite_line(line).endpoint


def read_invite_id(line: str) -> str:
    """Return the id of the invite that a line holds. Raises ValueError."""
    token = parse_invite_line(line).token
    if not token:
        raise ValueError("a line of `invite --open` has no token")
    return hash_token(token).hex()[:16]


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine alone."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


MAX_LISTED = 1_000  # rows


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteStatus:
    id: str  # hex of the first 8 bytes of the token's hash
    role: str
    uses: int
    used: int
    created_s: int
    expires_s: int

    def is_open(self, now_s: int) -> bool:
        return self.used < self.uses and now_s < self.expires_s


def list_invites(fleet: Fleet, id_prefix: str = "") -> list[InviteStatus]:
    """List the newest invites whose ids begin with these characters, newest first."""
    rows = fleet.read_rows(
        "SELECT i.token_hash, role, uses, created_s, expires_s, count(a.agent)"
        " FROM invites i LEFT JOIN admissions a ON a.token_hash = i.token_hash"
        " WHERE substr(lower(hex(i.token_hash)), 1, length(?1)) = ?1"
        " GROUP BY i.token_hash ORDER BY created_s DESC, i.token_hash LIMIT ?2",
        id_prefix,
        MAX_LISTED,
    )
    names = ("role", "uses", "created_s", "expires_s", "used")
    return [
        InviteStatus(id=token_hash.hex()[:16], **dict(zip(names, values, strict=True)))
        for token_hash, *values in rows
    ]


def withdraw_invite(fleet: Fleet, invite_id: str, now_s: int) -> bool:
    """Expire an open invite; return False if there was none. Enrolled agents stay."""
    sql = (
        "UPDATE invites SET expires_s = ?"
        " WHERE substr(lower(hex(token_hash)), 1, 16) = ? AND expires_s > ?"
    )
    return fleet.change_row(sql, now_s, invite_id, now_s)
