"""Records: the rows that the stages of the collector exchange."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from heliograph.observation import ACCESSES, Access, Epoch, Link, Measurement
from heliograph.plan import ServiceFunction
from heliograph.regions import find_region
from heliograph.units import DAY_US
from heliograph.v1.intake_pb2 import Hello
from heliograph_collector.model import line_names
from heliograph_collector.model.control_look import ControlLook, VantageProfile
from heliograph_collector.model.seniority import Seniority, find_seniority

MAX_AGE_US = 120 * DAY_US  # as long as an agent's spool keeps measurements
MAX_AHEAD_US = DAY_US  # assumed
UNPLACED = "ZZ"  # an unknown country
_COUNTRY = re.compile(r"[A-Z]{2}")
TIME_BAD = "time.bad"  # the rule of a measurement with an impossible time
LIGHT_CHECK = "light"  # in place of an endpoint: the verdict on the one that a light check drew


class VerdictState(StrEnum):
    """The state of a verdict.

    Partial: a function beside messaging is blocked. Down: the control fails too. Unknown: doubt.
    """

    REACHABLE = "reachable"
    PARTIAL = "partial"
    BLOCKED = "blocked"
    DOWN = "down"
    UNKNOWN = "unknown"


class AgentRole(StrEnum):
    VOLUNTEER = "volunteer"
    CONTROL = "control"
    QUARANTINE = "quarantine"  # stored and shown to the operator; it has no vote


class RowKind(StrEnum):
    """The kind of a journal row."""

    ENVELOPE = "envelope"
    ARRIVAL = "arrival"
    GOODBYE = "goodbye"
    LOST = "lost"  # silent for 2.5 heartbeats without goodbye (ingest/presence.py)
    START = "start"  # of the collector itself, which explains silences just before it
    FAULT = "fault"  # of the collector, which explains silences of that time


@dataclass(frozen=True, slots=True, kw_only=True)
class Vantage:
    """The network and place of a measurement, as coarse as its use allows."""

    country: str  # ISO 3166-1 alpha-2, "ZZ" if unknown
    asn: int  # 0 if unknown
    access: str  # heliograph.observation.Access
    region: str = ""  # ISO 3166-2, of this country

    @classmethod
    def from_peer(cls, country: str, asn: int, declaration: Epoch | Hello) -> "Vantage":
        """Combine the peer address's country and ASN with the agent's declaration.

        The declared country counts only if the address has none; a region, only if it is in it.
        """
        declared = declaration.country if _COUNTRY.fullmatch(declaration.country) else UNPLACED
        country = declared if country == UNPLACED else country
        return cls(
            country=country,
            asn=asn,
            access=declaration.access if declaration.access in ACCESSES else Access.UNKNOWN,
            region=find_region(country, declaration.region),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRow:
    """One durable entry; the journal assigns `position`, which orders all rows."""

    kind: RowKind
    agent: bytes
    received_us: int
    country: str = "ZZ"  # of the peer's address, which is not stored
    asn: int = 0
    prefix: str = ""  # names of the peer's line (`line_names`), for each day of its results
    role: AgentRole = AgentRole.VOLUNTEER
    carrier: str = "session"  # session (and /entrance of an arrival or a loss), submit, post
    sequence: int = 0  # envelopes only
    # An envelope has its compressed batch; an arrival, goodbye or loss has a protobuf Hello; a
    # fault has JSON: why (probe, stalled, carrier, update), country and carrier ("" is every one).
    body: bytes = b""
    position: int = 0
    # On the collector's clock. Loss: the last heartbeat. Start: when the previous process was last
    # alive, 0 for never. Fault: its beginning.
    heard_us: int = 0
    since_s: int = 0  # enrollment of the agent; 0 if unknown or not an agent's row
    closed_us: int = 0  # a loss's: when its connection was closed; 0: it fell silent, or unknown

    def line_at(self, at_us: int) -> str:
        """Return the name of the line for the day of a time, "" if it is not known."""
        return line_names.choose_name(self.prefix, at_us)

    def seniority_at(self, at_us: int) -> Seniority:
        """Return the seniority at a time or at the arrival, whichever is earlier.

        A clock that is ahead makes no agent older. A row without a date is from before dates were
        kept; its agent may confirm nothing.
        """
        if not self.since_s:
            return Seniority.YOUNG
        return find_seniority(self.since_s * 1_000_000, min(at_us, self.received_us))


def is_possible_time(at_us: int, received_us: int) -> bool:
    """Return whether a start may have this time; else the measurement has no verdict."""
    return -MAX_AGE_US <= at_us - received_us <= MAX_AHEAD_US


def effective_time_us(measurement: Measurement, received_us: int) -> int:
    """Return the start, or the arrival if the start is an impossible time."""
    corrected_us = _corrected_us(measurement)
    return corrected_us if is_possible_time(corrected_us, received_us) else received_us


def _corrected_us(measurement: Measurement) -> int:
    return measurement.started_us + (measurement.clock_offset_us or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMeasurement:
    """A measurement between journal and store."""

    id: str  # 32 hex digits, the same at every replay
    position: int
    received_us: int
    pseudonym: str  # valid for one (country, ASN, month)
    prefix: str  # name of the line for the day of the start
    role: AgentRole
    vantage: Vantage
    measurement: Measurement
    seniority: Seniority = Seniority.YOUNG  # at the start; the date of enrollment is not stored
    reporter: str = ""  # of the agent on every network for a month; never stored
    edition: str = ""  # of its program; never stored
    # Found once, since each stage asks for them. The start is on the collector's clock, as far as
    # the agent knew its offset.
    started_us: int = field(init=False, repr=False, compare=False)
    is_time_bad: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        corrected_us = _corrected_us(self.measurement)
        is_possible = is_possible_time(corrected_us, self.received_us)
        object.__setattr__(self, "started_us", corrected_us if is_possible else self.received_us)
        object.__setattr__(self, "is_time_bad", not is_possible)

    @property
    def line_day(self) -> int:
        """Return the day since 1970 for which `prefix` names the line."""
        return line_names.number_day(self.prefix) or self.received_us // DAY_US

    @property
    def link(self) -> Link:
        return self.measurement.link


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The result of judging one endpoint, or the whole target if `endpoint` is ""."""

    state: VerdictState
    rule: str  # permanent id
    layer: str = ""  # dns, tcp, tls, quic, http, protocol
    method: str = ""  # nxdomain, bogon, refused, reset_after_hello, timeout_after_hello …
    confidence: float = 0.0
    endpoint: str = ""
    evidence: tuple[int, ...] = ()  # indices of observations
    reachable_endpoints: int = 0  # k …
    endpoints: int = 0  # … of n that work or are blocked; 0 for one endpoint
    issuer: str = ""  # of the certificate that did not verify, if that is the evidence
    fingerprint: str = ""  # name of the line that the evidence has: page, answer or issuer
    confirmed: bool = False  # blocked by a fingerprint of a state or a provider
    function: str = ""  # names of the blocked functions of a service, with commas


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Votes of distinct vantages in one bin; a bin without votes has a row too."""

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
    # (layer, number of vantages) over the vantages that found it blocked or down
    layers: tuple[tuple[str, int], ...] = ()
    # Established vantages that measured and that are silent: one for each network prefix, which
    # counts in one region of its network. None: not known.
    established: int | None = None
    silent_established: int | None = None

    @property
    def counted(self) -> int:
        """Return the measuring vantages that k-anonymity counts."""
        return self.vantages if self.established is None else self.established

    @property
    def counted_silent(self) -> int:
        """Return the silent vantages that k-anonymity counts."""
        return self.silent if self.silent_established is None else self.silent_established


class Vote(msgspec.Struct, frozen=True, kw_only=True):
    """One volunteer's vote on the whole of one service (endpoint "") in one bin."""

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
    layer: str = ""  # the commonest among the blocked verdicts
    method: str = ""
    partial: int = 0  # of `reachable`
    function: str = ""  # blocked functions, separated by commas; the commonest of the partial ones
    seniority: Seniority = Seniority.YOUNG


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
    causes: Mapping[tuple[VerdictState, str, str], int]  # (state, layer, method) → vantages
    established_vantages: Mapping[VerdictState, int]  # as above, without young ones
    established_networks: Mapping[VerdictState, int]
    persons: int  # networks with an established vantage, each in one region


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceCount:
    """The number of vantages of a cell that were silent when a bin ended.

    A vantage counts in every bin of its silence, for a day at most.
    """

    country: str
    region: str
    asn: int
    access: str
    start_us: int  # of the bin
    vantages: int
    established: int | None = None  # as `Cell.silent_established`

    @property
    def counted(self) -> int:
        return self.vantages if self.established is None else self.established


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVote:
    """One volunteer's whole-target verdict; `Vote` counts those of a bin."""

    started_us: int
    pseudonym: str  # changes every month
    prefix: str
    vantage: Vantage
    seniority: Seniority
    state: VerdictState
    layer: str
    method: str
    reachable_endpoints: int
    endpoints: int
    function: str = ""
    endpoint: str = ""  # LIGHT_CHECK for a light check, "" for a test of the whole target


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldTally:
    """The number of networks that reached a service in one bin, and that did not."""

    start_us: int
    good: int
    bad: int


JudgedMeasurement = tuple[ReceivedMeasurement, tuple[Verdict, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceRow:
    """A presence change of a vantage, or a start or fault of the collector."""

    kind: RowKind
    position: int
    received_us: int
    vantage: Vantage
    pseudonym: str = ""  # "" for the collector
    prefix: str = ""
    role: AgentRole = AgentRole.VOLUNTEER
    heard_us: int = 0  # as in JournalRow
    reason: str = ""  # of a fault
    seniority: Seniority = Seniority.YOUNG


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindTime:
    """A time in which the collector could not observe."""

    since_us: int
    until_us: int | None  # None: ongoing
    reason: str
    country: str = ""  # "" is every country


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeFailure:
    """An input that could not be decoded, stored with its reason and skipped."""

    position: int
    index: int  # of the measurement in its batch; -1 for the whole envelope
    received_us: int
    reason: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The results of a range of the journal; the unit of replay.

    `judged` may also hold older measurements that were judged again.
    """

    journal: str  # id of the journal that counted the positions
    first: int
    last: int
    judged: tuple[JudgedMeasurement, ...] = ()
    presence: tuple[PresenceRow, ...] = ()
    refused: tuple[DecodeFailure, ...] = ()
    bodies: Mapping[str, bytes] = field(default_factory=dict)  # of new ones by id, as they came


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerComparison:
    """Results of other countries at one endpoint; a vantage and a network vote once."""

    reached_vantages: int = 0
    reached_countries: int = 0
    failed_countries: int = 0
    fell_vantages: int = 0  # those of the failing that reached it within the day before
    fell_countries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlView:
    """The control of a target that is nearest in time to a measurement."""

    measurement: Measurement | None = None
    age_us: int | None = None  # distance in time from the compared measurement
    is_later: bool | None = None  # than the compared measurement; None if unknown
    link: Link = Link.UNKNOWN  # the control's own
    groups: Mapping[str, str] = field(default_factory=dict)  # endpoint id → group in the plan
    functions: Mapping[str, ServiceFunction] = field(default_factory=dict)  # by endpoint id
    first_way: frozenset[str] = frozenset()  # endpoints that the app tries first, by id
    peer_comparisons: Mapping[str, PeerComparison] = field(default_factory=dict)  # "" is a page
    is_substitute: bool = False  # not a control, but a foreign vantage that others corroborate
    network: str = ""  # the control's own, as prefix or ASN; "" unknown
    looks: Sequence[ControlLook] = ()  # newest first, at most MAX_LOOKS
    profile: VantageProfile = field(default_factory=VantageProfile)  # of the compared vantage
