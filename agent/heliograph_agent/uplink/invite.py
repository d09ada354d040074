"""Parse invites, lines with the collector's address, its key pin and a token."""

from dataclasses import dataclass

from heliograph.plan import Entrance


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
    from heliograph import codec
    from heliograph.invite_line import PREFIX, NoInviteError, parse_invite_line

    try:
        message = parse_invite_line(line)
        entrances = codec.entrances_from_pb(message.entrances)
    except NoInviteError as error:
        raise InviteError(
            f"This is not an invite: it begins with {PREFIX!r} and is one line; "
            "copy it whole from the message you were sent."
        ) from error
    except ValueError as error:  # CodecError is one
        raise InviteError(
            "The invite is incomplete or was changed on the way: copy the whole line again, "
            "or ask the collector's operator for a new one."
        ) from error
    return Invite(message.endpoint, message.pin, message.token, entrances, message.charter)
