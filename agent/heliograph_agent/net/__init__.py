"""The only way to the network: each step becomes an observation of a StepTrace.

A failure on the network is a value: the step's observation holds it, and the handle is None.
"""

from collections.abc import Mapping
from typing import Protocol

from heliograph_agent.net.probe_message import ProbeMessage, ProbeReply, ProtocolMismatch
from heliograph_agent.net.trace import ByteStream, StepResult, StepTrace

__all__ = [
    "MAX_BODY",
    "ByteStream",
    "Net",
    "ProbeMessage",
    "ProbeReply",
    "ProtocolMismatch",
    "QuicConnection",
    "StepResult",
    "StepTrace",
]

MAX_BODY = 524_288  # bytes of a page that are read unless the experiment wants other


class QuicConnection(Protocol):
    """An open QUIC connection; `step_result` is the handshake that opened it."""

    @property
    def step_result(self) -> StepResult: ...

    def close(self) -> None:
        """Drop it without waiting for the peer."""
        ...


class Net(Protocol):
    """What an experiment may ask of the network; implemented by `SystemNet`.

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
        linger_s: float = 0.0,
        coarse: bool = False,
        endpoint: str = "",
    ) -> StepResult:
        """One lookup. `engine`: system (hosts file, search path, the system's resolvers in turn, as
        getaddrinfo would), udp, tcp, dot (`resolver` is host:port), doh (`resolver` is an https
        URL). After a reply over UDP it listens on for `linger_s` seconds and keeps what comes as
        `later`. `coarse` cuts every address in the answers to its /24 or /48: for names that
        answer with the address of who asked."""
        ...

    async def connect(
        self, address: str, port: int, *, on: StepResult | None = None, endpoint: str = ""
    ) -> tuple[StepResult, ByteStream | None]:
        """One TCP handshake with an address literal."""
        ...

    async def handshake(
        self,
        stream: ByteStream,
        server_name: str,
        *,
        send_sni: bool = True,
        alpn: tuple[str, ...] = ("http/1.1",),
        trust: str = "",
    ) -> tuple[StepResult, ByteStream | None]:
        """One TLS handshake over `stream`; the chain is kept also when it does not verify, and then
        the failure says so and the stream is None. `trust` names a shipped CA set, "" the public
        one; with "any" nothing is verified."""
        ...

    async def http(
        self,
        stream: ByteStream,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body_limit: int = MAX_BODY,
        watch: bool = False,
    ) -> StepResult:
        """One HTTP/1.1 exchange over `stream`, then close it. Two observations: http_round_trip to
        the end of the headers, read_body (parent: the round trip) to the end of the body. `watch`
        keeps how the body arrived. A reply 101 has no body. Returns the last one made."""
        ...

    async def exchange(self, stream: ByteStream, message: ProbeMessage) -> StepResult:
        """Send `message` over `stream`, read its reply, then close the stream. A TLS hello is
        recorded as the tls_handshake that it begins: with both facts; an alert is its failure."""
        ...

    async def datagram(
        self,
        address: str,
        port: int,
        message: ProbeMessage,
        *,
        on: StepResult | None = None,
        endpoint: str = "",
    ) -> StepResult:
        """Send `message` in one UDP datagram from a fresh socket and read its reply."""
        ...

    async def quic(
        self,
        address: str,
        port: int,
        server_name: str,
        *,
        alpn: tuple[str, ...] = ("h3",),
        trust: str = "",
        on: StepResult | None = None,
        endpoint: str = "",
    ) -> tuple[StepResult, QuicConnection | None]:
        """One QUIC handshake (RFC 9000, 9001) with an address literal. Raises ValueError when this
        agent was installed without it."""
        ...

    async def http3(
        self, connection: QuicConnection, url: str, *, body_limit: int = MAX_BODY
    ) -> StepResult:
        """One HTTP/3 exchange (RFC 9114), then close; two observations, as `http` makes them."""
        ...

    async def hop(
        self,
        address: str,
        port: int,
        *,
        ttl: int,
        send: str,
        name: str = "",
        on: StepResult | None = None,
        endpoint: str = "",
    ) -> StepResult:
        """One packet that may pass `ttl` routers. `send`: syn, client_hello (over a connection of
        its own, `name` in it), dns (a query for `name`). Raises ValueError when raw packets cannot
        be had here; its text is the sentence for the user."""
        ...

    async def tor(self, bridges: tuple[str, ...] = (), *, endpoint: str = "") -> StepResult:
        """Start the installed tor and wait for its bootstrap, over these bridge lines if any.
        Raises ValueError when none is installed."""
        ...

    def random(self, size: int) -> bytes:
        """`size` random bytes from this net's own source."""
        ...

    def wall_us(self) -> int:
        """Microseconds since the Unix epoch by this net's clock, for protocols that send the
        time, and no others."""
        ...

    async def close(self) -> None:
        """Release what was kept for the next step; the runner calls it, no experiment does."""
        ...
