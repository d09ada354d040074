"""What the HTTP layer needs from the rest of the collector; `app/http_backend.py` fills it in."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from heliograph.clock import Clock
from heliograph.observation import Link
from heliograph.v1.intake_pb2 import Receipt
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.incidents.state import IncidentBook
from heliograph_collector.model.records import (
    Cell,
    JudgedMeasurement,
    MeasurementFilter,
    MeasurementPage,
    SilenceCount,
    Vote,
)
from heliograph_collector.store.aggregation import AggregationQuery, AggregationRow

Number = float | str | tuple[float, ...]


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
    """Rules and thresholds for the methodology page; keys are the names in the code."""

    rules_version: int = 0
    detect_version: int = 0
    rules: Sequence[MethodRule] = ()  # read from the top: the first that holds gives the verdict
    # experiment → its rules
    rules_by_experiment: Mapping[str, Sequence[MethodRule]] = field(default_factory=dict)
    control: Mapping[str, float] = field(default_factory=dict)  # full_min, stale_min, at_stale
    cells: Mapping[str, Number] = field(default_factory=dict)  # rollup's thresholds
    detect: Mapping[str, Number] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCount:
    """How many live volunteers' vantages of one network say the same about their link."""

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


async def _count_nothing(totals_query: AggregationQuery) -> Sequence[AggregationRow]:
    return (
        ()
        if totals_query.axes
        else (AggregationRow(axis_values=(), anomaly=0, confirmed=0, failure=0, ok=0),)
    )


@dataclass(frozen=True, kw_only=True)
class Feed:
    """The data and callables that the HTTP application is built from.

    `votes` and `silences` take (since_us, until_us, bin_s) and any of the keywords country, region,
    asn, access, service (silences: without service); a keyword that is not given filters nothing.
    `measurements` raises ValueError for a cursor that is not its own. All queries may raise
    StoreError.
    `totals` counts measurements for the aggregation.
    `wide` takes the arguments of `votes`, and in `wider` the names of place and service fields that
    cells do not distinguish. It returns what `cells` would, without reading votes out of the store.
    None: the store cannot do that.
    `cells` is the rollup, `merge_small` its k-anonymity: (cells, k) → cells that may be shown.
    `client_address` takes the addresses on a request's way, the peer last; it returns the reader's.
    With `metrics_open` /metrics needs no password.
    `book` is the incident log read so far, `public_key` (Ed25519) verifies it.
    `list_gaps` takes (since_us, until_us) and returns {"from", "until" (µs; until None: ongoing),
    "because", "country" ("": everywhere)}. `annotations` takes an incident's id and returns what
    outside sources report beside it.
    """

    clock: Clock
    votes: Callable[..., Awaitable[Sequence[Vote]]]
    silences: Callable[..., Awaitable[Sequence[SilenceCount]]]
    cells: Callable[[Sequence[Vote], Sequence[SilenceCount], int, int, int], Sequence[Cell]]
    merge_small: Callable[[Sequence[Cell], int], Sequence[Cell]]
    measurements: Callable[[MeasurementFilter, str, int], Awaitable[MeasurementPage]]
    measurement: Callable[[str], Awaitable[JudgedMeasurement | None]]
    # envelope, addresses on its way, whether they say nothing of its vantage → receipt
    accept_envelope: Callable[[bytes, str, bool], Awaitable[Receipt]]
    problems: Callable[[], Sequence[str]]  # why the collector is not ready; empty when it is
    links: Callable[[], Sequence[LinkCount]]
    agents: Callable[[], AgentCounts]
    bus: EventBus
    registry: CollectorRegistry
    services: Mapping[str, str] = field(default_factory=dict)  # name → title, in the page's order
    k_anonymity: int = 5
    operator_hash: str = ""  # from basic_auth.hash_password; "" admits nobody
    book: IncidentBook = field(default_factory=IncidentBook)
    list_gaps: Callable[[int, int], Sequence[Mapping[str, Any]]] = lambda since_us, until_us: ()
    public_key: bytes = b""
    method: Method = field(default_factory=Method)  # for the methodology page
    totals: Callable[[AggregationQuery], Awaitable[Sequence[AggregationRow]]] = _count_nothing
    dumps: Path | None = None  # the folder of daily files
    wide: Callable[..., Awaitable[Sequence[Cell]]] | None = None
    client_address: Callable[[str], str] = lambda forwarded_for: forwarded_for.rpartition(",")[2]
    requests_a_minute: int = 0  # of one network; 0: nobody is refused
    metrics_open: bool = True
    annotations: Callable[[str], Sequence[Mapping[str, Any]]] = lambda incident: ()

    @property
    def is_watched(self) -> bool:
        """Whether detectors are at work and see everything: then no incident means that none is."""
        return bool(self.public_key) and not self.problems()
