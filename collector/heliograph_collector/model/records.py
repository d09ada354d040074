"""The rows that stages hand each other; their names are the words of the design."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from heliograph.observation import Access, Epoch, Link, Measurement
from heliograph.v1.intake_pb2 import Hello

DAY_US = 86_400_000_000
MAX_AGE_US = 120 * DAY_US  # as long as a spool keeps
MAX_AHEAD_US = DAY_US
ESTABLISHED_US = 10 * DAY_US  # as detect weighs them: younger vantages confirm nothing
UNPLACED = "ZZ"  # the country of what is in none that we know
_COUNTRY = re.compile(r"[A-Z]{2}")
# ISO 3166-2, with its country or without: nobody's free words are published.
_REGION = re.compile(r"([A-Z]{2}-)?[A-Z0-9]{1,3}")
TIME_BAD = "time.bad"  # the rule of a measurement whose time cannot be


class VerdictState(StrEnum):
    """Three states, and *down* when the control fails too. Doubt is unknown."""

    REACHABLE = "reachable"
    BLOCKED = "blocked"
    DOWN = "down"
    UNKNOWN = "unknown"


class AgentRole(StrEnum):
    VOLUNTEER = "volunteer"
    CONTROL = "control"
    QUARANTINE = "quarantine"  # stored and shown to the operator; its word is not counted


class RowKind(StrEnum):
    """What a journal row records."""

    ENVELOPE = "envelope"
    ARRIVAL = "arrival"
    GOODBYE = "goodbye"
    LOST = "lost"  # a session that ended without goodbye
    START = "start"  # of the collector itself: silences before it are its own
    FAULT = "fault"  # something of ours failed, and silences of that time are ours too


@dataclass(frozen=True, slots=True, kw_only=True)
class Vantage:
    """Where a measurement was made, as far as anybody needs to know."""

    country: str  # ISO 3166-1 alpha-2, "ZZ" when not known
    asn: int  # 0 when not known
    access: str  # heliograph.observation.Access
    region: str = ""

    @classmethod
    def from_peer(cls, country: str, asn: int, declaration: Epoch | Hello) -> "Vantage":
        """By the peer's address; its country, where that is not known, and the rest as declared."""
        country_or_unknown = (
            declaration.country if _COUNTRY.fullmatch(declaration.country) else UNPLACED
        )
        return cls(
            country=country_or_unknown if country == UNPLACED else country,
            asn=asn,
            access=declaration.access if declaration.access in set(Access) else Access.UNKNOWN,
            region=declaration.region if _REGION.fullmatch(declaration.region) else "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRow:
    """One durable entry. `position` is given by the journal and orders everything."""

    kind: RowKind
    agent: bytes
    received_us: int
    country: str = "ZZ"  # of the peer's address, which is forgotten
    asn: int = 0
    prefix: str = ""  # keyed hash of the peer's /24 or /48, for one vote per network
    role: AgentRole = AgentRole.VOLUNTEER
    carrier: str = "session"  # session, submit, post
    sequence: int = 0  # envelopes only
    # The compressed batch of an envelope; protobuf Hello of an arrival, a goodbye, a loss; of a
    # fault JSON: why (probe, stalled, carrier, update), country and carrier, "" for every one.
    body: bytes = b""
    position: int = 0
    # On the collector's clock. Of a loss when it was last heard; of a start when the collector
    # before is last known to have been alive, 0 for never; of a fault when it began.
    heard_us: int = 0
    since_s: int = 0  # when the agent was enrolled, 0 when not known or not an agent's row


def time_is_sane(measurement: Measurement, received_us: int) -> bool:
    """Not older than 120 days, not more than a day ahead; else it is kept and gets no verdict."""
    return -MAX_AGE_US <= _corrected_us(measurement) - received_us <= MAX_AHEAD_US


def effective_time_us(measurement: Measurement, received_us: int) -> int:
    """From when it counts: its start, or its arrival when it says a time that cannot be.

    The store would have to make a partition for any week that a clock can name.
    """
    sane = time_is_sane(measurement, received_us)
    return _corrected_us(measurement) if sane else received_us


def is_established(since_s: int, at_us: int) -> bool:
    """Whether who enrolled at `since_s` was known for ten days then. Not known is not established:
    else a row that lost its date would let a stranger confirm."""
    return since_s > 0 and at_us - since_s * 1_000_000 >= ESTABLISHED_US


def _corrected_us(measurement: Measurement) -> int:
    return measurement.started_us + (measurement.clock_offset_us or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMeasurement:
    """A measurement on its way from journal to store."""

    id: str  # 32 hex digits, the same at every replay
    position: int
    received_us: int
    pseudonym: str  # who, under a pseudonym good for one (country, ASN, month)
    prefix: str
    role: AgentRole
    vantage: Vantage
    measurement: Measurement
    established: bool = False  # enrolled ten days before it was made; the date itself is not kept

    @property
    def started_us(self) -> int:
        """When it was made on the collector's clock, if the agent knew its own error."""
        return effective_time_us(self.measurement, self.received_us)

    @property
    def is_time_bad(self) -> bool:
        return not time_is_sane(self.measurement, self.received_us)

    @property
    def link(self) -> Link:
        return self.measurement.link


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a measurement means for one endpoint, or, with endpoint "", for the whole target."""

    state: VerdictState
    rule: str  # permanent id
    layer: str = ""  # dns, tcp, tls, quic, http, protocol
    method: str = ""  # nxdomain, bogon, refused, reset_after_hello, timeout_after_hello …
    confidence: float = 0.0
    endpoint: str = ""
    evidence: tuple[int, ...] = ()  # indices of observations
    reachable_endpoints: int = 0  # k …
    endpoints: int = 0  # … of n that work or are blocked (doubt counts for nothing); 0 below that
    issuer: str = ""  # of the certificate that did not verify, where that is the evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Votes of distinct vantages in one bin; a row also when there were none."""

    country: str
    region: str
    asn: int
    access: str
    service: str
    start_us: int
    bin_s: int
    vantages: int
    reachable: int
    blocked: int
    down: int
    unknown: int
    silent: int
    state: VerdictState
    confidence: float
    layer: str = ""
    method: str = ""
    prefixes: int = 0
    # (layer, vantages that met it there), of all that found it blocked or down
    layers: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What one vantage's verdicts for one service came to in one bin.

    Only whole-target verdicts (endpoint "") of volunteers are counted.
    """

    country: str
    region: str
    asn: int
    access: str
    service: str
    start_us: int  # of the bin
    pseudonym: str
    prefix: str
    reachable: int
    blocked: int
    down: int
    unknown: int
    layer: str = ""  # of the blocked ones, the commonest
    method: str = ""
    established: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """The votes of one cell in one bin, counted."""

    country: str
    region: str
    asn: int
    access: str
    service: str
    start_us: int
    vantages: Mapping[VerdictState, int]
    networks: Mapping[VerdictState, int]
    causes: Mapping[
        tuple[VerdictState, str, str], int
    ]  # (blocked or down, layer, method) → vantages


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceCount:
    """How many vantages of a cell were gone without goodbye when a bin ended.

    A vantage counts in every bin it stays away, for a day at most.
    """

    country: str
    region: str
    asn: int
    access: str
    start_us: int  # of the bin
    vantages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVote:
    """One volunteer's whole-target verdict, where `Vote` adds up a bin of them."""

    started_us: int
    pseudonym: str  # another one in another month
    prefix: str
    vantage: Vantage
    established: bool
    state: VerdictState
    layer: str
    method: str
    reachable_endpoints: int
    endpoints: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldTally:
    """How many networks reached a service in one bin, and how many did not."""

    start_us: int
    good: int
    bad: int


JudgedMeasurement = tuple[ReceivedMeasurement, tuple[Verdict, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was last said of a measurement, and under which number; a higher one replaces it."""

    measurement: ReceivedMeasurement
    verdicts: tuple[Verdict, ...]
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceRow:
    """An arrival, a goodbye or a loss of one vantage, or (nym "") a start or fault of ours."""

    kind: RowKind
    position: int
    received_us: int
    vantage: Vantage
    pseudonym: str = ""
    prefix: str = ""
    role: AgentRole = AgentRole.VOLUNTEER
    heard_us: int = 0  # as in the journal's row
    reason: str = ""  # of a fault


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeFailure:
    """What could not be decoded: put aside with its reason, so that the rest goes on."""

    position: int
    index: int  # of the measurement in its batch; -1 for the whole envelope
    received_us: int
    reason: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What one stretch of the journal became; the unit of replay.

    `judged` may also hold older measurements, judged again.
    """

    journal: str  # id of the journal that counted the positions
    first: int
    last: int
    judged: tuple[JudgedMeasurement, ...] = ()
    presence: tuple[PresenceRow, ...] = ()
    refused: tuple[DecodeFailure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerComparison:
    """How other countries' vantages fare at one endpoint; a vantage, and a network, votes once."""

    reached_vantages: int = 0
    reached_countries: int = 0
    failed_vantages: int = 0
    failed_countries: int = 0
    fell_vantages: int = 0  # of those that fail: reached it before, a day ago at most
    fell_countries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlView:
    """What a known-clean place saw of the same target, as near in time as anybody knows."""

    measurement: Measurement | None = None
    age_us: int | None = None  # distance in time from the measurement it is held against
    link: Link = Link.UNKNOWN  # the control's own
    groups: Mapping[str, str] = field(default_factory=dict)  # endpoint id → group, of the plan
    peer_comparisons: Mapping[str, PeerComparison] = field(
        default_factory=dict
    )  # by endpoint, "" a page's
    is_substitute: bool = False  # no control, but a foreign vantage that several others bear out


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementFilter:
    """What an operator asks for; the empty value of a field asks for nothing."""

    country: str = ""
    region: str = ""
    asn: int | None = None
    access: str = ""
    service: str = ""
    experiment: str = ""
    state: str = ""
    since_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementPage:
    items: tuple[JudgedMeasurement, ...]  # newest first
    next: str = ""  # the cursor of what follows, "" at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFilter:
    """Which cells; None asks for every value, "" and 0 for those that stand for the whole."""

    since_us: int
    until_us: int
    bin_s: int = 300
    country: str = ""  # "" asks for every country
    region: str | None = None
    asn: int | None = None
    access: str | None = None
    service: str = ""  # "" asks for every service


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHealth:
    """What the store says of itself."""

    engine: str  # its version
    rows: int
    bytes: int
    parts: int
    free_bytes: int | None  # of the embedded store's disk
