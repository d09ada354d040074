"""Define a probe message: request bytes, reply bytes, and a label for the reply.

heliograph_agent.protocols has the implementations, which are pure; `Net.exchange` and
`Net.datagram` send them.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from heliograph.observation import Tls

MAX_REPLY = 65_536  # bytes read for one reply


class ProtocolMismatch(ValueError):  # noqa: N818 - a result of the network, not an error
    """Report a reply that is not in this protocol."""


@dataclass(frozen=True, slots=True)
class ProbeReply:
    """Hold the label of a reply, and how an echo differs from the request."""

    label: str
    differences: tuple[str, ...] = ()


class ProbeMessage(Protocol):
    """Define one message and its reply; create a new one for every connection."""

    @property
    def name(self) -> str:
        """Return mtproto, noise, stun, openvpn, wireguard, tcp_echo, client_hello …."""
        ...

    def make_request(self) -> bytes:
        """Return the bytes to send."""
        ...

    def parse_reply(self, received: bytes) -> ProbeReply | None:
        """Classify all bytes so far; None when incomplete. Raises ProtocolMismatch."""
        ...


@runtime_checkable
class TlsProbeMessage(ProbeMessage, Protocol):
    """Define a message that is itself a TLS hello."""

    def tls_facts(self) -> Tls:
        """Return the facts of the hello and, once received, of its answer.

        They are recorded beside the exchange; an alert in them makes the step fail.
        """
        ...


@runtime_checkable
class QuicProbeMessage(TlsProbeMessage, Protocol):
    """Define a TLS hello in several datagrams; `make_request` makes the hello alone."""

    def make_datagrams(self) -> tuple[bytes, ...]:
        """Return the datagrams to send at once."""
        ...
