"""The only door out. Every step taken through it is written into a Trace as an observation.

A failure on the network is a value: the step's observation holds it, and the handle is None.
"""

from collections.abc import Mapping
from typing import Protocol

from heliograph_agent.net.trace import Seen, Stream, Trace

__all__ = ["Net", "Seen", "Stream", "Trace"]


class Net(Protocol):
    """What an experiment may ask of the world. `RealNet` in net/real.py keeps these promises.

    Each method appends exactly one observation to the trace it was bound to, also when it is
    cancelled (then `interrupted`) or its own deadline ends (`generic_timeout_error`), and returns
    it with its index. `on` is the step this one stands on. No method retries, races or falls back.
    """

    async def resolve(
        self,
        name: str,
        *,
        query_type: str = "A",
        engine: str = "system",
        resolver: str = "",
        endpoint: str = "",
    ) -> Seen:
        """One lookup. `engine`: system (hosts file, search path, the system's resolvers in turn, as
        getaddrinfo would), udp, tcp (`resolver` is host:port), doh (`resolver` is an https URL)."""
        ...

    async def connect(
        self, address: str, port: int, *, on: Seen | None = None, endpoint: str = ""
    ) -> tuple[Seen, Stream | None]:
        """One TCP handshake with an address literal."""
        ...

    async def handshake(
        self,
        stream: Stream,
        server_name: str,
        *,
        send_sni: bool = True,
        alpn: tuple[str, ...] = ("http/1.1",),
        trust: str = "",
    ) -> tuple[Seen, Stream | None]:
        """One TLS handshake over `stream`; the chain is kept also when it does not verify, and then
        the failure says so and the stream is None. `trust` names a shipped CA set, "" the public
        one."""
        ...

    async def http(
        self,
        stream: Stream,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body_limit: int = 524_288,
    ) -> Seen:
        """One HTTP/1.1 exchange over `stream`, then close it. Two observations: http_round_trip to
        the end of the headers, read_body (parent: the round trip) to the end of the body.
        Returns the last one made."""
        ...
