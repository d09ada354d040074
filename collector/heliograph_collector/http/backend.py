"""The interface of the HTTP server; `app/http_backend.py` implements it."""

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
    """Rules and thresholds for the methodology page; keys are names in the code."""

    rules_version: int = 0
    detect_version: int = 0
    rules: Sequence[MethodRule] = ()  # in order: the first rule that holds gives the verdict
    # rules by experiment
    rules_by_experiment: Mapping[str, Sequence[MethodRule]] = field(default_factory=dict)
    control: Mapping[str, float] = field(default_factory=dict)  # full_min, stale_min, at_stale
    cells: Mapping[str, Number] = field(default_factory=dict)  # thresholds of the rollup
    detect: Mapping[str, Number] = field(default_factory=dict)


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


async def _count_nothing(totals_query: AggregationQuery) -> Sequence[AggregationRow]:
    return (
        ()
        if totals_query.axes
        else (AggregationRow(axis_values=(), anomaly=0, confirmed=0, failure=0, ok=0),)
    )


@dataclass(frozen=True, kw_only=True)
class Feed:
    """The data and callables that the HTTP application is built from.

    `votes` and `silences` take (since_us, until_us, bin_s) and the keywords country, region, asn,
    access, service (silences: without service); a missing keyword filters nothing. `totals` counts
    measurements for the aggregation. `measurements` raises ValueError for an invalid cursor. All
    queries may raise StoreError.

    `wide` takes the arguments of `votes`, and in `wider` the place and service fields to merge
    over. It returns what `cells` would, without reading votes from the store. None: the store
    cannot do that. `cells` is the rollup, `merge_small` its k-anonymity: (cells, k) → cells that
    may be shown.

    `client_address` takes the addresses of a request's path, the peer last; it returns the
    reader's. With `metrics_open` /metrics needs no password. `book` is the incident log read so
    far, `public_key` (Ed25519) verifies it. `list_gaps` takes (since_us, until_us) and returns
    {"from", "until" (µs; until None: ongoing), "because", "country" ("": everywhere)}.
    `annotations` takes an incident's id and returns what outside sources report beside it.
    """

    clock: Clock
    votes: Callable[..., Awaitable[Sequence[Vote]]]
    silences: Callable[..., Awaitable[Sequence[SilenceCount]]]
    cells: Callable[[Sequence[Vote], Sequence[SilenceCount], int, int, int], Sequence[Cell]]
    merge_small: Callable[[Sequence[Cell], int], Sequence[Cell]]
    measurements: Callable[[MeasurementFilter, str, int], Awaitable[MeasurementPage]]
    measurement: Callable[[str], Awaitable[JudgedMeasurement | None]]
    # (envelope, addresses on its path, whether they do not locate its vantage) → receipt
    accept_envelope: Callable[[bytes, str, bool], Awaitable[Receipt]]
    problems: Callable[[], Sequence[str]]  # reasons not to be ready; empty if there are none
    links: Callable[[], Sequence[LinkCount]]
    agents: Callable[[], AgentCounts]
    bus: EventBus
    registry: CollectorRegistry
    services: Mapping[str, str] = field(default_factory=dict)  # name → title, in the page's order
    k_anonymity: int = 5
    operator_hash: str = ""  # from basic_auth.hash_password; "" disables access
    book: IncidentBook = field(default_factory=IncidentBook)
    list_gaps: Callable[[int, int], Sequence[Mapping[str, Any]]] = lambda since_us, until_us: ()
    public_key: bytes = b""
    method: Method = field(default_factory=Method)  # for the methodology page
    totals: Callable[[AggregationQuery], Awaitable[Sequence[AggregationRow]]] = _count_nothing
    dumps: Path | None = None  # the folder of daily files
    wide: Callable[..., Awaitable[Sequence[Cell]]] | None = None
    client_address: Callable[[str], str] = lambda forwarded_for: forwarded_for.rpartition(",")[2]
    requests_a_minute: int = 0  # per network; 0: no limit
    metrics_open: bool = True
    annotations: Callable[[str], Sequence[Mapping[str, Any]]] = lambda incident: ()

    @property
    def is_watched(self) -> bool:
        """Return whether a detector runs and the collector has no problems.

        Only then does an empty incident list mean that there is no incident.
        """
        return bool(self.public_key) and not self.problems()
