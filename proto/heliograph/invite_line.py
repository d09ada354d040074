"""Encode an invite as one line to copy, and check a pasted line."""

from google.protobuf.message import DecodeError

from heliograph.address import split_endpoint
from heliograph.base64url import decode_base64url, encode_base64url
from heliograph.v1.intake_pb2 import Invite

PREFIX = "heliograph1:"
MAX_LINE = 1_024
_SHA256_BYTES = 32


class NoInviteError(ValueError):
    """Report a line that does not begin as an invite does, or is longer than any."""


def format_invite_line(invite: Invite) -> str:
    return PREFIX + encode_base64url(invite.SerializeToString())


def parse_invite_line(line: str) -> Invite:
    """Parse an invite, also of a line that was broken.

    Raises NoInviteError; ValueError for an invite that was cut short or changed.
    """
    compact_line = "".join(line.split())
    if not compact_line.startswith(PREFIX) or len(compact_line) > MAX_LINE:
        raise NoInviteError(f"begins not with {PREFIX}")
    try:
        invite = Invite.FromString(decode_base64url(compact_line.removeprefix(PREFIX)))
    except DecodeError as error:
        raise ValueError("holds no message") from error
    if not split_endpoint(invite.endpoint)[1]:
        raise ValueError("names no port to dial")
    if len(invite.pin) != _SHA256_BYTES or len(invite.charter) not in (0, _SHA256_BYTES):
        raise ValueError("names no key")
    if not (invite.token or invite.charter):
        raise ValueError("lets nobody in")
    return invite
