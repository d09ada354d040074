"""Observations of an agent: the facts of one step, and the measurement of a task."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from heliograph.failure import Failure, Operation

NOT_ENCODED = {"encoded": False}  # metadata of a field that is never sent and never stored
# Of one measurement: two or three chains of four certificates of 1 to 2 kB; assumed.
MAX_CERTIFICATES = 24
MAX_CERTIFICATE_BYTES = 49_152


class Link(StrEnum):
    """Name the vantage's own connectivity when a task began, as its anchors show it."""

    ONLINE = "online"
    DOMESTIC_ONLY = "domestic_only"  # foreign anchors dead, domestic ones alive
    NO_RESOLVER = "no_resolver"  # anchors by address alive, none by name
    CAPTIVE = "captive"  # a captive portal answers in place of the anchors
    OFFLINE = "offline"
    UNKNOWN = "unknown"


class Access(StrEnum):
    """Name the vantage's kind of access, as the volunteer declared it."""

    MOBILE = "mobile"
    FIXED = "fixed"
    HOSTING = "hosting"
    UNKNOWN = "unknown"


ACCESSES = frozenset(Access)


class Trigger(StrEnum):
    """Name the reason of a run out of turn, which may explain the vantage's results."""

    SECOND_LOOK = "second_look"  # the same agent's test failed for the first time
    EARLY_RUN = "early_run"  # the collector asked, after failures of other vantages
    SESSION_LOST = "session_lost"  # the session with the collector ended without a goodbye


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsAnswer:
    """Record one resource record of an answer."""

    type: str  # A, AAAA, CNAME …
    data: str
    ttl_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsReply:
    """Record a further reply to one query: late, or one of two of which one is forged."""

    after_us: int  # since the query was sent
    rcode: int
    answers: tuple[DnsAnswer, ...] = ()


# In place of the address of the system's resolver, if all its servers have public IPv4 addresses.
# An office's own zone is served from private space; a home's router may well have public IPv6.
PUBLIC_RESOLVER = "public"
SYSTEM_ENGINES = ("system", "hosts")  # of lookups; what the vantage's programs would get


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """Record one lookup: the query and its replies."""

    engine: str  # system, hosts, udp, tcp, dot, doh
    # Of the system's own only whether it is public, because its address may identify a volunteer:
    resolver: str  # address, address:port or URL; PUBLIC_RESOLVER or "" for the system's own
    name: str
    query_type: str
    rcode: int | None = None
    answers: tuple[DnsAnswer, ...] = ()
    later: tuple[DnsReply, ...] = ()  # further replies, where the step kept listening

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return the A and AAAA answers, in the order given."""
        return tuple([a.data for a in self.answers if a.type in ("A", "AAAA")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcp:
    """Record the peer of a TCP connection."""

    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Udp:
    """Record the peer of UDP datagrams."""

    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Record the identifying facts of one certificate."""

    sha256: str  # hex, of the DER
    spki_sha256: str
    subject: str  # RFC 4514
    issuer: str
    not_before_s: int  # Unix seconds
    not_after_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Record one TLS handshake, over TCP or QUIC."""

    server_name: str  # "" when no SNI was sent
    version: str = ""
    cipher: str = ""
    alpn: str = ""
    alert: int | None = None  # RFC 8446 section 6, when the peer sent one
    chain: tuple[Certificate, ...] = ()  # as received, leaf first
    ech: str = ""  # Encrypted ClientHello: "" for none, grease, real
    outer_name: str = ""  # the public name in the outer ClientHello
    profile: str = ""  # whose hello it is: browser and edition; "" for the library's own
    library: str = ""  # that made the hello, with its version; "" for a hello of our making
    ja4: str = ""  # FoxIO's fingerprint of the hello
    hello_bytes: int = 0  # of the record with the hello
    hello_segments: int = 0  # TCP segments that it fills on this connection
    name_segment: int = 0  # in which the server name ends, from 1; 0 without a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Record that `bytes` of a body had arrived at a time after the request."""

    at_us: int
    bytes: int  # cumulative


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Record what a page points at, without query, fragment and identifiers."""

    element: str  # iframe, refresh, script, form, a …; comment, counter
    address: str  # scheme, host and path, a relative path, or the counter's number


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """Record one HTTP exchange."""

    method: str
    url: str
    status: int = 0
    title: str = ""
    server: str = ""
    location: str = ""
    body_bytes: int = 0  # received, after transfer and content decoding
    body_sha256: str = ""
    truncated: bool = False
    version: str = ""  # 1.1, 3
    header_names: tuple[str, ...] = ()  # of the reply, in lower case and sorted; never the values
    text: str = ""  # the first visible text of a cleartext page, without addresses
    arrivals: tuple[Arrival, ...] = ()  # progress of the body, where the step recorded it
    references: tuple[Reference, ...] = ()  # of a cleartext page, what loads by itself first
    coded_bytes: int = 0  # of the body as it came, where it had a content coding
    # beginning of a cleartext page's source, where an import has it
    markup: str = field(default="", repr=False, compare=False, metadata=NOT_ENCODED)

    @property
    def wire_bytes(self) -> int:
        """Return the bytes of the body as it came, which is what `arrivals` count."""
        return self.coded_bytes or self.body_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Record one message in a named protocol and a label for the reply."""

    protocol: str  # mtproto, noise, stun, openvpn, wireguard, tcp_echo, http_echo …
    reply: str = ""  # a label of that protocol, "" without a reply
    sent_bytes: int = 0
    received_bytes: int = 0
    differences: tuple[str, ...] = ()  # how an echo differs from the sent bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """Record one packet that may pass `ttl` routers, and the reply to it."""

    ttl: int
    sent: str  # syn, client_hello, dns
    reply: str = ""  # synack, rst, time_exceeded, unreachable, dns, server_hello, data
    network: str = ""  # /24 or /48 of the replier, "" for a private network or the vantage's own
    reply_ttl: int = 0  # TTL of the reply on arrival
    reply_ipid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Record one step; `parent` is the index of the step on which it depends."""

    operation: Operation
    started_us: int  # monotonic, since the measurement began
    duration_us: int
    failure: Failure | None = None
    failure_detail: str = ""  # scrubbed, only with UNKNOWN_FAILURE
    parent: int | None = None
    endpoint: str = ""  # id in the service spec
    dns: Dns | None = None
    tcp: Tcp | None = None
    udp: Udp | None = None
    tls: Tls | None = None
    http: Http | None = None
    exchange: Exchange | None = None
    hop: Hop | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """Describe the time that a vantage spends on one network."""

    id: str
    started_us: int
    country: str = ""  # ISO 3166-1 alpha-2, declared; "" when not
    region: str = ""
    access: Access = Access.UNKNOWN
    ipv4: bool = False
    ipv6: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedStep:
    """Name one failed step of a run."""

    endpoint: str
    operation: Operation
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Count runs with the same failed steps, or runs that were not measured."""

    runs: int
    not_measured: bool = False
    failures: tuple[FailedStep, ...] = ()  # empty when every step succeeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Summarize many runs of one test on one network, in place of their observations."""

    runs: int
    span_us: int  # from the start of the first to that of the last
    last_sequence: int
    outcomes: tuple[Outcome, ...] = ()  # the most common first; the rest of `runs` had others


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """Record the state of each class of services over a time without a transport."""

    step_s: int
    classes: tuple[str, ...]
    lives: bytes  # a byte for each class of each span: 0 not known, 1 answers, 2 fails, 3 both


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Hold the observations of one task, or the reason why it was not measured."""

    experiment: str
    experiment_version: int
    target: str
    started_us: int  # wall clock, UTC
    monotonic_us: int
    boot: str
    runtime_us: int
    epoch: str
    service: str = ""
    sequence: int = 0  # set by the spool
    link: Link = Link.UNKNOWN
    plan_version: int = 0
    services_version: str = ""
    not_measured: str = ""
    observations: tuple[Observation, ...] = field(default_factory=tuple)
    clock_offset_us: int | None = None
    summary: Summary | None = None  # in place of observations
    digest: Digest | None = None  # in place of observations
    is_visit: bool = False  # by a control, at addresses that its collector named (visits.py)
    trigger: str = ""  # one of Trigger, or of a later version; "" for a planned run
    is_light: bool = False  # at one endpoint of the service, drawn by chance
    certificates: tuple[bytes, ...] = ()  # DER, each once, of chains that did not verify
    parts: tuple["Measurement", ...] = ()  # of a round of light checks, in place of observations

    @property
    def step_count(self) -> int:
        """Return the number of observations."""
        return len(self.observations)

    def list_parts(self) -> tuple["Measurement", ...]:
        """Return the light checks of a round; of any other measurement itself."""
        return self.parts or (self,)

    def with_link(self, link: Link) -> "Measurement":
        """Return the measurement, and its parts, on a link in this state."""
        return replace(self, link=link, parts=tuple(p.with_link(link) for p in self.parts))

    def with_reason(self, reason: str) -> "Measurement":
        """Return the measurement as not soundly measured, unless it has a reason already."""
        parts = tuple(part.with_reason(reason) for part in self.parts)
        return replace(self, not_measured=self.not_measured or reason, parts=parts)
