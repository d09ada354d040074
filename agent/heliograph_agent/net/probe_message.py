"""Define a probe message: bytes out, bytes in, a label for the reply.

heliograph_agent.protocols has the implementations, which are pure; `Net.exchange` and
`Net.datagram` send them.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from heliograph.observation import Tls

MAX_REPLY = 65_536  # bytes read for one reply


class ProtocolMismatch(ValueError):  # noqa: N818 - it is an answer, and no error of ours
    """Somebody answered, and not in this protocol."""


@dataclass(frozen=True, slots=True)
class ProbeReply:
    """A word of the protocol, and how an echo differs from what was sent."""

    label: str
    differences: tuple[str, ...] = ()


class ProbeMessage(Protocol):
    """One message and its reply. It is sent once: make a new one for every connection."""

    @property
    def name(self) -> str:
        """mtproto, noise, stun, openvpn, wireguard, tcp_echo, http_echo, client_hello …"""
        ...

    def make_request(self) -> bytes:
        """What is sent."""
        ...

    def parse_reply(self, received: bytes) -> ProbeReply | None:
        """What everything received so far is; None when more is needed to tell.

        Raises ProtocolMismatch.
        """
        ...


@runtime_checkable
class TlsProbeMessage(ProbeMessage, Protocol):
    """A message that is itself a TLS hello."""

    def tls_facts(self) -> Tls:
        """What was sent and, once heard, what was answered; it is written beside the exchange,
        and an alert in it makes the step fail."""
        ...
