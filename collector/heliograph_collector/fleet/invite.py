"""The INVITE line: where the collector is, how to know it, and a token."""

import base64

from heliograph.v1.intake_pb2 import Invite

PREFIX = "heliograph1:"


def invite_line(endpoint: str, pin: bytes, token: bytes) -> str:
    """What `heliograph-agent join` takes."""
    message = Invite(endpoint=endpoint, pin=pin, token=token).SerializeToString()
    return PREFIX + base64.urlsafe_b64encode(message).decode().rstrip("=")
