"""The INVITE line: where the collector is, how to know it, and a token."""

import base64
from collections.abc import Sequence

from heliograph.codec import entrance_to_pb
from heliograph.plan import Carrier, Entrance
from heliograph.v1.intake_pb2 import Invite

PREFIX = "heliograph1:"
MOST = 3  # entrances besides the endpoint


def invite_line(
    endpoint: str,
    pin: bytes,
    token: bytes,
    entrances: Sequence[Entrance] = (),
    *,
    charter: bytes = b"",
) -> str:
    """What `heliograph-agent join` takes; without a token it leads into quarantine.

    Of `entrances` it holds the sessions, for nobody can join at another; few, since people type it
    and cameras read it. `charter` is the SHA-256 of the one that the agent begins with.
    """
    sessions = [
        entrance_to_pb(e)
        for e in entrances
        if e.carrier is Carrier.STREAM
        and endpoint not in (f"{e.host}:{e.port}", f"[{e.host}]:{e.port}")
    ]
    invite = Invite(
        endpoint=endpoint, pin=pin, token=token, entrances=sessions[:MOST], charter=charter
    )
    message = invite.SerializeToString()
    return PREFIX + base64.urlsafe_b64encode(message).decode().rstrip("=")


def _place(entrance: Entrance) -> str:
    return f"{entrance.host}:{entrance.port}"
