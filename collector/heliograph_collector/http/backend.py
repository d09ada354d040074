"""The feed that the HTTP server shows, by its parts; `LiveFeed` implements them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol, Unpack

from prometheus_client import CollectorRegistry

from heliograph.clock import Clock
from heliograph.experiments import REGISTRY
from heliograph.network_shares import NetworkKey
from heliograph.observation import Link
from heliograph.v1.intake_pb2 import Receipt
from heliograph_collector.aggregate.cell_state import CELL_THRESHOLDS
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.http.live_ports import ProblemSource
from heliograph_collector.incidents.state import IncidentBook
from heliograph_collector.model.filters import MeasurementFilter, PlaceFilter
from heliograph_collector.model.history import BlockingNetwork, CellHistory, HistoryFilter
from heliograph_collector.model.imported import ImportedCell, ImportedFilter, ImportedHistory
from heliograph_collector.model.judgement import MeasurementPage
from heliograph_collector.model.published.annotation import AnnotationDocument
from heliograph_collector.model.records import (
    BlindTime,
    Cell,
    JudgedMeasurement,
    SilenceCount,
    VerdictState,
    Vote,
)
from heliograph_collector.model.thresholds import DETECT_VERSION, THRESHOLDS
from heliograph_collector.store.aggregation import AggregationQuery, AggregationRow

DEFAULT_TARGETS = tuple(
    target for entry in REGISTRY.values() for target in entry.planned_targets if not entry.role
)
DEFAULT_LICENSE = "CC-BY-4.0"
Number = float | str | tuple[float, ...]


class RuleRow(Protocol):
    """The attributes that the rows of all rule tables have."""

    @property
    def id(self) -> str: ...
    @property
    def state(self) -> VerdictState: ...
    @property
    def layer(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def strength(self) -> float: ...
    @property
    def says(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRule:
    """One rule of the judge."""

    id: str
    state: str
    layer: str
    method: str
    strength: float
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """Rules and thresholds for the methodology page; keys are names in the code."""

    rules_version: int = 0
    detect_version: int = 0
    rules: Sequence[MethodRule] = ()  # in order: the first rule that holds gives the verdict
    # rules by experiment
    rules_by_experiment: Mapping[str, Sequence[MethodRule]] = field(default_factory=dict)
    control: Mapping[str, float] = field(default_factory=dict)  # full_min, stale_min, at_stale
    cells: Mapping[str, Number] = field(default_factory=dict)  # thresholds of the rollup
    detect: Mapping[str, Number] = field(default_factory=dict)
    throttled_ratio: float = 0.0  # to the speed at a neutral place, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCount:
    """Number of live vantages of volunteers in a network with the same link state."""

    country: str
    asn: int
    access: str
    link: Link
    vantages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCounts:
    volunteers: int = 0  # with a live session
    controls: int = 0
    enrolled: int = 0
    last_received_us: int | None = None


def build_method(
    rules: Sequence[RuleRow],
    rules_by_experiment: Mapping[str, Sequence[RuleRow]],
    rules_version: int,
    control: Mapping[str, float],
    throttled_ratio: float,
) -> Method:
    """Describe the rules of the judge, and the thresholds of all stages."""
    return Method(
        rules_version=rules_version,
        detect_version=DETECT_VERSION,
        rules=_build_method_rules(rules),
        rules_by_experiment={
            name: _build_method_rules(rows) for name, rows in rules_by_experiment.items()
        },
        control=control,
        cells=asdict(CELL_THRESHOLDS),
        detect=asdict(THRESHOLDS),
        throttled_ratio=throttled_ratio,
    )


def _build_method_rules(rows: Sequence[RuleRow]) -> list[MethodRule]:
    return [
        MethodRule(
            id=row.id,
            state=row.state.value,
            layer=row.layer,
            method=row.method,
            strength=row.strength,
            says=row.says,
        )
        for row in rows
    ]


def list_public(scope: "PublicScope") -> set[str]:
    """Return the plan's services and targets; nothing public names any other."""
    return {*scope.services, *scope.targets, *scope.unlisted}


def find_service(scope: "PublicScope", claim: str) -> str:
    """Return the service or target that is named, a service in any case; "" for none."""
    name = claim if claim in list_public(scope) else claim.lower()
    return name if name in list_public(scope) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Operator of the collector, and the license of the data that it measured.

    The data of other sources keep their own licenses.
    """

    operator: str = ""  # "" if not configured
    contact: str = ""  # mailto: or https:; "" if not configured
    license: str = DEFAULT_LICENSE  # SPDX
    license_url: str = "https://creativecommons.org/licenses/by/4.0/"
    measurements_days: int = 0  # how long measurements are kept; 0: not stated
    partners: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of a key, hex → its owner


class NetworkNamer(Protocol):
    """Names of the operators of networks, from an open table."""

    def name_network(self, asn: int) -> str:
        """Return the operator's name; "" for none."""
        ...

    def find_networks(self, text: str, limit: int) -> Sequence[int]:
        """Find the numbers of networks whose name holds a text."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSettings:
    """What the pages and the API show and allow, fixed at the start."""

    operator_hash: str  # from basic_auth.hash_password; "" disables access
    method: Method  # for the methodology page
    publisher: Publisher
    network_names: NetworkNamer
    public_url: str = ""  # address of the pages, "" if not configured
    security_contact: str = ""  # mailto: or https:, for security.txt; "" if not configured
    dumps: Path | None = None  # the folder of daily files
    requests_a_minute: int = 0  # per network; 0: no limit
    metrics_open: bool = False  # /metrics needs no password


class PublicScope(Protocol):
    """What the public may be shown: names, and how many vantages a figure needs."""

    clock: Clock
    services: Mapping[str, str]  # name → title, in the page's order
    targets: Collection[str] = DEFAULT_TARGETS  # single targets that the plan lists
    unlisted: Collection[str] = ()  # a vantage's own network: answered where named, and no row
    untested: Collection[str] = ()  # services that the plan leaves out: a row where results exist
    k_anonymity: int


class CellSource(PublicScope, Protocol):
    """The votes, silences and cells of the store.

    Filters are the keywords country, region, asn, access and service (silences: without service); a
    missing keyword filters nothing. Queries may raise StoreError.
    """

    async def votes(
        self, since_us: int, until_us: int, bin_s: int, **filters: Unpack[PlaceFilter]
    ) -> Sequence[Vote]: ...

    async def silences(
        self, since_us: int, until_us: int, bin_s: int, **filters: Unpack[PlaceFilter]
    ) -> Sequence[SilenceCount]: ...

    async def wide(
        self,
        since_us: int,
        until_us: int,
        bin_s: int,
        *,
        wider: Collection[str],
        empty: bool = True,
        **filters: Unpack[PlaceFilter],
    ) -> Sequence[Cell]:
        """Return cells merged over the place and service fields in `wider`."""
        ...


class TotalSource(PublicScope, Protocol):
    """The counts of the aggregation."""

    async def totals(self, query: AggregationQuery) -> Sequence[AggregationRow]:
        """Count measurements. Raises StoreError."""
        ...


class MeasurementSource(Protocol):
    """The stored measurements with their verdicts. Queries may raise StoreError."""

    async def measurements(
        self, filters: MeasurementFilter, cursor: str, limit: int
    ) -> MeasurementPage:
        """Return a page, newest first. Raises ValueError for an invalid cursor."""
        ...

    async def measurement(self, id_: str) -> JudgedMeasurement | None: ...


class IncidentSource(Protocol):
    """The incident log, and what outside sources report beside it."""

    services: Mapping[str, str]
    k_anonymity: int
    book: IncidentBook  # the incident log read so far

    def annotations(self, incident: str) -> Sequence[AnnotationDocument]:
        """List what outside sources report beside an incident."""
        ...


class BlindTimeSource(Protocol):
    clock: Clock

    def list_gaps(self, since_us: int, until_us: int) -> Sequence[BlindTime]:
        """List the times in which the collector was blind."""
        ...


class PresentSource(BlindTimeSource, Protocol):
    """The agents that are connected now."""

    def links(self) -> Sequence[LinkCount]: ...
    def agents(self) -> AgentCounts: ...


class ArchiveSource(Protocol):
    """Past days, as the daily files have them, and results of other projects.

    Queries may raise StoreError.
    """

    clock: Clock

    async def count_imported(self, filters: ImportedFilter) -> Sequence[ImportedCell]:
        """Count imported results of other projects, by day."""
        ...

    async def read_imported(self, filters: ImportedFilter, most: int) -> ImportedHistory:
        """Return whole days of it, the targets found blocked most often first."""
        return ImportedHistory()

    async def read_history(self, filters: HistoryFilter) -> CellHistory:
        """Return past days as the daily files have them."""
        return CellHistory()

    async def count_blocking_networks(self, filters: HistoryFilter) -> Sequence[BlockingNetwork]:
        """Count the past days on which each network blocked a service."""
        return []


class ReaderNetworks(Protocol):
    """The networks of readers, whose requests and seats are limited."""

    def client_address(self, forwarded_for: str) -> str:
        """Return the reader's address from those of a request's path, the peer last."""
        ...

    def client_networks(self, forwarded_for: str) -> Sequence[NetworkKey]:
        """Return the reader's networks, of which each has a share of the seats."""
        ...


class EnvelopeIntake(ReaderNetworks, Protocol):
    """What takes in sealed envelopes."""

    async def accept_envelope(
        self, envelope: bytes, forwarded_for: str, *, is_elsewhere: bool
    ) -> Receipt:
        """Accept an envelope; `is_elsewhere`: its path does not locate its vantage."""
        ...


class SiteSource(Protocol):
    site: SiteSettings


class Feed(
    CellSource,
    TotalSource,
    MeasurementSource,
    IncidentSource,
    PresentSource,
    ArchiveSource,
    EnvelopeIntake,
    ProblemSource,
    SiteSource,
    Protocol,
):
    """All data that the HTTP application shows, and its few actions.

    `LiveFeed` reads it from the running stages. A page or path that needs one of its parts alone
    takes that.
    """

    bus: EventBus
    registry: CollectorRegistry
    public_key: bytes  # Ed25519, verifies the log

    @property
    def is_watched(self) -> bool:
        """Return whether a detector runs and the collector has no problems.

        Only then does an empty incident list mean that there is no incident.
        """
        return bool(self.public_key) and not self.problems()
