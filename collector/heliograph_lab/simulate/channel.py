"""Connection to a collector as by a real agent: invite, pinned certificate, gRPC."""

import hashlib
import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliograph.address import format_dial_address, split_endpoint
from heliograph.invite_line import PREFIX, parse_invite_line
from heliograph.plan import Carrier
from heliograph.v1 import intake_pb2 as pb
from heliograph.v1 import intake_pb2_grpc
from heliograph_collector.fleet.certificate import encode_public_key

if TYPE_CHECKING:
    import grpc

    from heliograph.v1.intake_pb2_grpc import IntakeAsyncStub

SESSIONS_PER_CONNECTION = 8  # the collector allows no more streams
CONNECT_S = 10.0
_OPTIONS = (
    ("grpc.ssl_target_name_override", "localhost"),  # a name in every collector's certificate
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.http2.bdp_probe", 0),  # as an agent's
)


class EnrollmentRefusedError(Exception):
    """The collector does not let an agent in; the text is a sentence."""


class EndpointError(Exception):
    """The collector cannot be reached; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class CollectorEndpoint:
    endpoint: str
    certificate: str  # PEM, with the pinned key
    token: bytes
    post: str = ""  # HOST:PORT of the entrance for envelopes by POST, "" for none


def read_invite(line: str) -> pb.Invite:
    """Parse an INVITE line. Raises EndpointError."""
    try:
        return parse_invite_line(line)
    except ValueError as error:
        raise EndpointError(
            f"That is no invite: copy the whole line that `invite` prints, with {PREFIX}"
        ) from error


def connect_endpoint(invite: pb.Invite, endpoint: str = "") -> CollectorEndpoint:
    """Fetch and check the collector's certificate; blocks. Raises EndpointError."""
    address = endpoint or invite.endpoint
    host, port = split_endpoint(address)
    try:
        pem = ssl.get_server_certificate((host, port), timeout=CONNECT_S)
    except OSError as error:
        raise EndpointError(
            f"Nobody answers on {address} ({error}): is the collector up?"
        ) from error
    if compute_pin(pem) != invite.pin:
        raise EndpointError(
            f"{address} is another collector than the invite's: ask it for an invite."
        )
    return CollectorEndpoint(address, pem, invite.token, _find_post(invite))


def _find_post(invite: pb.Invite) -> str:
    posts = [e for e in invite.entrances if e.carrier == Carrier.POST]
    return format_dial_address(posts[0].host, posts[0].port) if posts else ""


def compute_pin(certificate: str) -> bytes:
    """Return the SHA-256 of a certificate's SubjectPublicKeyInfo, as in an invite."""
    return hashlib.sha256(encode_public_key(certificate.encode())).digest()


class Channels:
    """Factory of channels that trust one certificate, each with its own connection."""

    def __init__(self, collector: CollectorEndpoint) -> None:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        import grpc

        self._endpoint = collector.endpoint
        self.pin = compute_pin(collector.certificate)
        self._credentials = grpc.ssl_channel_credentials(collector.certificate.encode())

    def open(self) -> "grpc.aio.Channel":
        """Open a channel, which the caller closes."""
        import grpc

        return grpc.aio.secure_channel(self._endpoint, self._credentials, options=_OPTIONS)


class IntakeConnection:
    """A connection of one agent, as a real agent has, or of several."""

    def __init__(self, channels: Channels, *, is_shared: bool) -> None:
        self._channels = channels
        self._is_shared = is_shared
        self._channel: grpc.aio.Channel | None = None

    @property
    def pin(self) -> bytes:
        return self._channels.pin

    def stub(self) -> "IntakeAsyncStub":
        if self._channel is None:
            self._channel = self._channels.open()
        return intake_pb2_grpc.IntakeStub(self._channel)

    async def drop(self) -> None:
        """Discard a dead connection; gRPC reconnects a shared one when it breaks."""
        if self._channel is not None and not self._is_shared:
            channel = self._channel
            self._channel = None
            await channel.close()


def open_connections(count: int, channels: Channels, *, is_shared: bool) -> list[IntakeConnection]:
    sessions = SESSIONS_PER_CONNECTION if is_shared else 1
    connections = [
        IntakeConnection(channels, is_shared=is_shared) for _ in range(0, count, sessions)
    ]
    return [connections[i // sessions] for i in range(count)]
