"""What is said over a connection in a named protocol, and how the reply is told from noise.

A speech is pure: bytes out, bytes in, a word for what they were. heliograph_agent.protocols has
them; `Net.exchange` and `Net.datagram` carry them.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from heliograph.observation import Tls

MAX_REPLY = 65_536  # bytes read for one reply


class NotThisProtocol(ValueError):  # noqa: N818 - it is an answer, and no error of ours
    """Somebody answered, and not in this protocol."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A word of the protocol, and how an echo differs from what was sent."""

    word: str
    differences: tuple[str, ...] = ()


class Speech(Protocol):
    """One message and its reply. A speech is said once; make a new one for every connection."""

    @property
    def name(self) -> str:
        """mtproto, noise, stun, openvpn, wireguard, tcp_echo, http_echo, client_hello …"""
        ...

    def opening(self) -> bytes:
        """What is sent."""
        ...

    def heard(self, received: bytes) -> Reply | None:
        """What everything received so far is; None when more is needed to tell.

        Raises NotThisProtocol.
        """
        ...


@runtime_checkable
class TlsSpeech(Speech, Protocol):
    """A speech that is itself a TLS hello."""

    def tls(self) -> Tls:
        """What was sent and, once heard, what was answered; it is written beside the exchange,
        and an alert in it makes the step fail."""
        ...
