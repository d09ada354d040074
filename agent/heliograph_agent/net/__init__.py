"""The agent's only way to the network: each step becomes an observation.

A network failure is a value: the step's observation holds it, and the handle is None.

>>> trace = StepTrace(clock)
>>> net = SystemNetFactory(NetConfig(), clock, Random()).bind(trace)
>>> connected, stream = await net.connect("192.0.2.1", 443)
>>> connected.observation.failure
<Failure.GENERIC_TIMEOUT_ERROR: 'generic_timeout_error'>
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from heliograph_agent.net.probe_message import ProbeMessage, ProbeReply, ProtocolMismatch
from heliograph_agent.net.trace import ByteStream, StepResult, StepTrace

if TYPE_CHECKING:
    from heliograph.hello_profiles import HelloProfiles

__all__ = [
    "BROWSER_ALPN",
    "HTTP1_ALPN",
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

BROWSER_ALPN = ("h2", "http/1.1")  # what browsers offer, in their order
HTTP1_ALPN = ("http/1.1",)  # what browsers offer for WebSockets (RFC 6455)
MAX_BODY = 524_288  # default limit of the bytes read of a page


class QuicConnection(Protocol):
    """Define an open QUIC connection; `step_result` is its handshake."""

    @property
    def step_result(self) -> StepResult: ...

    def close(self) -> None:
        """Drop the connection without waiting for the peer."""
        ...


class Net(Protocol):
    """Define the network operations of an experiment; `SystemNet` implements them.

    Each method appends exactly one observation to its trace, unless documented otherwise, and
    returns it with its index. A cancelled step is recorded as `interrupted`, a step that exceeds
    its own deadline as `generic_timeout_error`. `on` is the previous step, on which this step
    depends. No method retries, races or falls back.
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
        """Look up a name once.

        `engine`: system (hosts file, search path, the system's resolvers in turn, as getaddrinfo
        would), udp, tcp, dot (`resolver` is host:port), doh (`resolver` is an https URL). After
        a UDP reply the step listens for `linger_s` more seconds and records further replies as
        `later`. `coarse` cuts every address in the answers to its /24 or /48: use it for names
        that answer with the address of the querier.
        """
        ...

    async def connect(
        self, address: str, port: int, *, on: StepResult | None = None, endpoint: str = ""
    ) -> tuple[StepResult, ByteStream | None]:
        """Make one TCP handshake with an address literal."""
        ...

    async def handshake(
        self,
        stream: ByteStream,
        server_name: str,
        *,
        send_sni: bool = True,
        alpn: tuple[str, ...] = BROWSER_ALPN,
        trust: str = "",
    ) -> tuple[StepResult, ByteStream | None]:
        """Make one TLS handshake over `stream`.

        The chain is recorded also when it does not verify; then the observation has a failure
        and the stream is None. `trust` names a set that `has_trust` knows, "" the public
        one; with "any" nothing is verified.
        """
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
        """Make one exchange by HTTP/2 or HTTP/1.1, as ALPN chose, then close `stream`.

        It makes two observations: http_round_trip to the end of the headers, and read_body
        (parent: the round trip) to the end of the body. `watch` records the progress of the
        body. A reply with status 101 has no body. Returns the last observation.
        """
        ...

    async def browse(
        self, stream: ByteStream, url: str, *, browser: str, body_limit: int = MAX_BODY
    ) -> StepResult:
        """Fetch an https page as `browser` does, with its TLS and HTTP; close `stream`.

        It makes up to three observations: tls_handshake, and those of `http`. No redirect is
        followed. `browser` is a word of curl_cffi: chrome, firefox. Raises ValueError without
        curl_cffi.
        """
        ...

    async def exchange(self, stream: ByteStream, message: ProbeMessage) -> StepResult:
        """Send `message` over `stream`, read its reply, then close the stream.

        A TLS hello is recorded as the tls_handshake that it begins, with both kinds of facts; an
        alert is its failure.
        """
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
        """Send `message` in one UDP datagram from a new socket and read its reply."""
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
        """Make one QUIC handshake (RFC 9000, 9001). Raises ValueError without aioquic."""
        ...

    async def http3(
        self, connection: QuicConnection, url: str, *, body_limit: int = MAX_BODY
    ) -> StepResult:
        """Make one HTTP/3 exchange (RFC 9114), then close; observe it as `http` does."""
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
        """Send one packet that may pass `ttl` routers.

        `send`: syn, client_hello (over its own connection, with `name` in it), dns (a query for
        `name`). Raises ValueError when raw packets are not available; its text is a sentence for
        the user.
        """
        ...

    async def tor(self, bridges: tuple[str, ...] = (), *, endpoint: str = "") -> StepResult:
        """Start the installed tor and await its bootstrap. Raises ValueError without tor."""
        ...

    def has_trust(self, trust: str) -> bool:
        """Tell whether there is a CA set of this name."""
        ...

    @property
    def hello_profiles(self) -> "HelloProfiles":
        """Return the edition of browsers' hellos: the plan's, or the shipped one."""
        ...

    def list_visit_labels(self) -> tuple[str, ...] | None:
        """Return the labels of the endpoints that a visit contacts; None outside visits."""
        ...

    def list_visit_addresses(self, endpoint: str) -> tuple[str, ...] | None:
        """Return the addresses of an endpoint that a visit contacts; None outside visits.

        During a visit no other address is contacted, and nothing is looked up.
        """
        ...

    def random(self, size: int) -> bytes:
        """Return `size` random bytes from this net's own source."""
        ...

    def wall_us(self) -> int:
        """Return Unix microseconds, only for protocols that send the time."""
        ...

    async def close(self) -> None:
        """Release what the steps shared. The runner calls it; experiments do not."""
        ...
