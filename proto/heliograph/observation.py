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
class Dns:
    engine: str  # system, hosts, udp, tcp, doh
    resolver: str  # "" for the system's own, which may name a volunteer's home
    name: str
    query_type: str
    rcode: int | None = None
    answers: tuple[DnsAnswer, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The A and AAAA answers, in the order given."""
        return tuple(a.data for a in self.answers if a.type in ("A", "AAAA"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcp:
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
    tls: Tls | None = None
    http: Http | None = None


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
