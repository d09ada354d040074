"""The way in, as a real agent takes it: the invite, the pinned certificate, a channel."""

import base64
import binascii
import hashlib
import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.config.settings import split_endpoint
from heliograph_collector.fleet.certificate import spki
from heliograph_collector.fleet.invites import PREFIX

if TYPE_CHECKING:
    import grpc

CONNECT_S = 10.0
MAX_LINE = 1_024
_OPTIONS = (
    ("grpc.ssl_target_name_override", "localhost"),  # stands in every collector's certificate
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


class DoorError(Exception):
    """There is no way in; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Door:
    endpoint: str
    certificate: str  # PEM; its key was the pinned one
    token: bytes


def read_invite(line: str) -> pb.Invite:
    """Raises DoorError."""
    text = line.strip().removeprefix(PREFIX)
    try:
        if not line.strip().startswith(PREFIX) or len(text) > MAX_LINE:
            raise ValueError(PREFIX)
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        invite = pb.Invite.FromString(raw)
        split_endpoint(invite.endpoint)
    except (binascii.Error, DecodeError, ValueError) as error:
        raise DoorError(
            f"That is no invite: copy the whole line that `invite` prints, with {PREFIX}"
        ) from error
    return invite


def open_door(invite: pb.Invite, endpoint: str = "") -> Door:
    """Blocks until the collector has shown its certificate. Raises DoorError."""
    where = endpoint or invite.endpoint
    host, port = split_endpoint(where)
    try:
        pem = ssl.get_server_certificate((host, port), timeout=CONNECT_S)
    except OSError as error:
        raise DoorError(f"Nobody answers on {where} ({error}): is the collector up?") from error
    if hashlib.sha256(spki(pem.encode())).digest() != invite.pin:
        raise DoorError(f"{where} is another collector than the invite's: ask it for an invite.")
    return Door(where, pem, invite.token)


class Channels:
    """Opens channels that trust this one certificate. Each is a TCP connection of its own."""

    def __init__(self, door: Door) -> None:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        import grpc

        self._endpoint = door.endpoint
        self._credentials = grpc.ssl_channel_credentials(door.certificate.encode())

    def open(self) -> "grpc.aio.Channel":
        """The caller closes it."""
        import grpc

        return grpc.aio.secure_channel(self._endpoint, self._credentials, options=_OPTIONS)
