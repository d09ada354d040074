"""The collector's door: its certificate compared with the pin, and a channel that trusts no other.

`grpc` is imported here and nowhere earlier: an agent without a way out never loads it.
"""

import ipaddress
import os
import ssl
from enum import StrEnum
from typing import TYPE_CHECKING

from heliograph_agent.uplink.invite import split_endpoint

if TYPE_CHECKING:
    import grpc

FALLBACK_NAME = "localhost"  # stands in every collector's certificate, and tells nobody anything
CONNECT_S = 10.0
AGAIN, MAX_AGAIN_S = "retry-after-s", 3_600
MAX_MESSAGE = 1_048_576  # bytes of one message from the collector; plans are the largest


class Reason(StrEnum):
    """Why there is no session, in the words of status.json."""

    UNREACHABLE = "unreachable"
    PIN_MISMATCH = "pin_mismatch"
    NO_ANSWER = "no_answer"
    UNKNOWN_AGENT = "unknown_agent"
    BAD_INVITE = "bad_invite"
    CHARTER = "charter"  # not the one that the invite names
    BUSY = "busy"
    ENDED = "ended"
    REFUSED = "refused"
    SPOOL = "spool"  # our own disk, not the way
    STATE = "state"  # the same


class DoorError(Exception):
    """The door did not open; `reason` says which way, `again_s` when to come back."""

    def __init__(self, reason: Reason, again_s: int = 0) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.again_s = again_s


def open_channel(target: str, certificate: str, name: str | None = None) -> "grpc.aio.Channel":
    """A fresh channel on a fresh connection; the caller closes it.

    `target` is host:port, or `unix:PATH` of a bridge; `name` is said in the ClientHello where the
    certificate holds it, by default the host's own.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its log lines hold addresses
    import grpc

    return grpc.aio.secure_channel(
        target,
        grpc.ssl_channel_credentials(root_certificates=certificate.encode()),
        options=(
            *_override(target, certificate, name),
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
            ("grpc.enable_http_proxy", 0),
            ("grpc.min_reconnect_backoff_ms", 1_000),
            ("grpc.max_reconnect_backoff_ms", 1_000),
        ),
    )


def _override(target: str, certificate: str, name: str | None) -> tuple[tuple[str, str], ...]:
    """The name sent in clear in the ClientHello must not be ours: whoever reads it learns who runs
    an agent. The host's own, where the certificate holds it; for an address that is none at all.
    """
    wanted = split_endpoint(target)[0] if name is None else name
    if not wanted or not _stands_in(wanted, ssl.PEM_cert_to_DER_cert(certificate)):
        wanted = FALLBACK_NAME
    elif name is None:
        return ()
    return (("grpc.ssl_target_name_override", wanted),)


def _stands_in(host: str, der: bytes) -> bool:
    """As a subject alternative name (RFC 5280 section 4.2.1.6); a library for it would be loaded
    for this alone, and the certificate is the pinned one."""
    try:
        packed = ipaddress.ip_address(host).packed
    except ValueError:
        name = host.lower().encode()
        return len(name) < 128 and b"\x82" + bytes([len(name)]) + name in der
    return b"\x87" + bytes([len(packed)]) + packed in der


def refusal(error: "grpc.aio.AioRpcError") -> DoorError:
    """What a failed call means, with the collector's wish when to come back, within an hour."""
    wishes = [str(value) for key, value in error.trailing_metadata() or () if key == AGAIN]
    wish = wishes[0] if wishes and wishes[0].isascii() and wishes[0].isdigit() else "0"
    return DoorError(reason_of(error), min(int(wish[:9]), MAX_AGAIN_S))


def reason_of(error: "grpc.aio.AioRpcError") -> Reason:
    """The status code's meaning for us."""
    import grpc

    return {
        grpc.StatusCode.UNAVAILABLE: Reason.UNREACHABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED: Reason.NO_ANSWER,
        grpc.StatusCode.UNAUTHENTICATED: Reason.UNKNOWN_AGENT,
        grpc.StatusCode.PERMISSION_DENIED: Reason.UNKNOWN_AGENT,
        grpc.StatusCode.RESOURCE_EXHAUSTED: Reason.BUSY,
        grpc.StatusCode.OK: Reason.ENDED,
    }.get(error.code(), Reason.REFUSED)
