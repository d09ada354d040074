"""What an agent saw: one step's facts, and the measurement they belong to."""

from dataclasses import dataclass, field
from enum import StrEnum

from heliograph.failure import Failure, Operation


class Link(StrEnum):
    """The vantage's own connectivity when a task began, told by its anchors."""

    ONLINE = "online"
    DOMESTIC_ONLY = "domestic_only"  # foreign anchors dead, domestic ones alive
    NO_RESOLVER = "no_resolver"  # anchors by address alive, none by name
    CAPTIVE = "captive"  # somebody else answers for the anchors
    OFFLINE = "offline"
    UNKNOWN = "unknown"


class Access(StrEnum):
    """How the vantage reaches its provider, as the volunteer declared it."""

    MOBILE = "mobile"
    FIXED = "fixed"
    HOSTING = "hosting"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsAnswer:
    type: str  # A, AAAA, CNAME …
    data: str
    ttl_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsReply:
    """A further reply to one query: late, or one of two, of which one is forged."""

    after_us: int  # since the query was sent
    rcode: int
    answers: tuple[DnsAnswer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    engine: str  # system, hosts, udp, tcp, dot, doh
    resolver: str  # "" for the system's own, which may name a volunteer's home
    name: str
    query_type: str
    rcode: int | None = None
    answers: tuple[DnsAnswer, ...] = ()
    later: tuple[DnsReply, ...] = ()  # what still came, where somebody listened on

    @property
    def addresses(self) -> tuple[str, ...]:
        """The A and AAAA answers, in the order given."""
        return tuple(a.data for a in self.answers if a.type in ("A", "AAAA"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcp:
    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Udp:
    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    sha256: str  # hex, of the DER
    spki_sha256: str
    subject: str  # RFC 4514
    issuer: str
    not_before_s: int  # Unix seconds
    not_after_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    server_name: str  # "" when no SNI was sent
    version: str = ""
    cipher: str = ""
    alpn: str = ""
    alert: int | None = None  # RFC 8446 section 6, when the peer sent one
    chain: tuple[Certificate, ...] = ()  # as received, leaf first
    ech: str = ""  # Encrypted ClientHello: "" for none, grease, real
    outer_name: str = ""  # the public name in the outer ClientHello


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """So much of a body was there, so long after the request was sent."""

    at_us: int
    bytes: int  # in all


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    method: str
    url: str
    status: int = 0
    title: str = ""
    server: str = ""
    location: str = ""
    body_bytes: int = 0  # received, after transfer decoding
    body_sha256: str = ""
    truncated: bool = False
    version: str = ""  # 1.1, 3
    header_names: tuple[str, ...] = ()  # of the reply, in lower case and sorted; never the values
    text: str = ""  # the first visible words of a page that came in clear, without addresses
    arrivals: tuple[Arrival, ...] = ()  # how the body came, where somebody watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One message in a named protocol and the word for what was answered."""

    protocol: str  # mtproto, noise, stun, openvpn, wireguard, tcp_echo, http_echo …
    reply: str = ""  # a word of that protocol, "" when none came
    sent_bytes: int = 0
    received_bytes: int = 0
    differences: tuple[str, ...] = ()  # how an echo differs from what was sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One packet that may pass `ttl` routers, and what came back."""

    ttl: int
    sent: str  # syn, client_hello, dns
    reply: str = ""  # synack, rst, time_exceeded, unreachable, dns, server_hello, data
    network: str = ""  # /24 or /48 of who replied, "" when it is private or the vantage's own
    reply_ttl: int = 0  # as it came in
    reply_ipid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One step. `parent` is the index, in the measurement, of the step it stands on."""

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
    """The time a vantage spends on one network."""

    id: str
    started_us: int
    country: str = ""  # ISO 3166-1 alpha-2, declared; "" when not
    region: str = ""
    access: Access = Access.UNKNOWN
    ipv4: bool = False
    ipv6: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedStep:
    endpoint: str
    operation: Operation
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a number of runs had in common: which steps failed, or that they were not measured."""

    runs: int
    not_measured: bool = False
    failures: tuple[FailedStep, ...] = ()  # none when every step went well


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Many runs of one test on one network, of which only this was kept."""

    runs: int
    span_us: int  # from the start of the first to that of the last
    last_sequence: int
    outcomes: tuple[Outcome, ...] = ()  # the commonest first; the rest of `runs` had others


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """Which kinds of service lived, span by span, over a time without a way out."""

    step_s: int
    classes: tuple[str, ...]
    lives: bytes  # a byte for each class of each span: 0 not known, 1 answers, 2 fails, 3 both


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The observations of one task, and the reason when it could not run soundly to its end."""

    experiment: str
    experiment_version: int
    target: str
    started_us: int  # wall clock, UTC
    monotonic_us: int
    boot: str
    runtime_us: int
    epoch: str
    service: str = ""
    sequence: int = 0  # given by the spool
    link: Link = Link.UNKNOWN
    plan_version: int = 0
    services_version: str = ""
    not_measured: str = ""
    observations: tuple[Observation, ...] = field(default_factory=tuple)
    clock_offset_us: int | None = None
    summary: Summary | None = None  # in place of observations
    digest: Digest | None = None  # in place of observations
