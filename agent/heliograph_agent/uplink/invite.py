"""Parse invites, lines with the collector's address, its key pin and a token."""

import base64
import binascii
from dataclasses import dataclass

from heliograph.plan import Entrance

PREFIX = "heliograph1:"
MAX_LINE = 1_024


class InviteError(ValueError):
    """Report a line that is no invite; str() is the sentence for the user."""


@dataclass(frozen=True, slots=True)
class Invite:
    """Hold the fields of an invite."""

    endpoint: str
    pin: bytes
    token: bytes  # empty where anyone may join, in quarantine
    entrances: tuple[Entrance, ...] = ()  # in addition to the endpoint
    charter: bytes = b""  # SHA-256 of the agent's first trust root; b"" without one


def parse_invite(line: str) -> Invite:
    """Parse the line of an invite. Raises InviteError."""
    from google.protobuf.message import DecodeError

    from heliograph import codec
    from heliograph.v1 import intake_pb2

    compact_line = "".join(line.split())
    if not compact_line.startswith(PREFIX) or len(compact_line) > MAX_LINE:
        raise InviteError(
            f"This is not an invite: it begins with {PREFIX!r} and is one line; "
            "copy it whole from the message you were sent."
        )
    try:
        body = compact_line.removeprefix(PREFIX)
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        message = intake_pb2.Invite.FromString(raw)
        split_endpoint(message.endpoint)
        entrances = codec.entrances_from_pb(message.entrances)
    except (binascii.Error, DecodeError, ValueError) as error:  # CodecError is one
        raise _incomplete_error() from error
    if len(message.pin) != 32 or len(message.charter) not in (0, 32):
        raise _incomplete_error()
    if not (message.token or message.charter):
        raise _incomplete_error()
    return Invite(message.endpoint, message.pin, message.token, entrances, message.charter)


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """Split host:port or [v6]:port. Raises ValueError."""
    host, _, port = endpoint.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError("an endpoint is host:port")
    return host, int(port)


def _incomplete_error() -> InviteError:
    return InviteError(
        "The invite is incomplete or was changed on the way: copy the whole line again, "
        "or ask the collector's operator for a new one."
    )
