"""The current state, timelines, coverage and aggregations, as published."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from heliograph.observation import Link
from heliograph_collector.model.published.fields import (
    Confidence,
    CountBand,
    CountFloor,
    Day,
    License,
    Timestamp,
)
from heliograph_collector.model.records import VerdictState
from heliograph_collector.model.scope import ScopeFilter


class ChangeBracketDocument(Struct, frozen=True):
    """A change between two times; `earliest` is null if it is older than the window."""

    earliest: Timestamp | None
    latest: Timestamp


class BandCounts(Struct, frozen=True, kw_only=True):
    """Vantages by verdict; without fresh data only `vantages`."""

    vantages: CountBand
    reachable: CountBand | UnsetType = UNSET
    blocked: CountBand | UnsetType = UNSET
    down: CountBand | UnsetType = UNSET
    unknown: CountBand | UnsetType = UNSET


BlockedFunctions = Annotated[
    tuple[str, ...],
    Meta(
        description="Only of a partial state: the blocked functions (registration, media, calls, "
        "web), or first_way where the app connects by its fallbacks alone. Messages get through."
    ),
]


class ReadingDocument(Struct, frozen=True, kw_only=True):
    """The newest state of one service in one network."""

    state: VerdictState
    confidence: Confidence
    counts: BandCounts
    layer: str
    method: str
    start: Timestamp | None
    since: ChangeBracketDocument | None
    functions: BlockedFunctions | UnsetType = UNSET


class ServiceNow(ReadingDocument, frozen=True, kw_only=True):
    """The newest state of a service."""

    service: str
    title: str


class GroupDocument(Struct, frozen=True, kw_only=True):
    """Vantages of one network with the same access; "" stands for other networks."""

    country: str
    asn: Annotated[int, Meta(description="0: unknown, or other networks")]
    access: Annotated[
        str, Meta(extra_json_schema={"enum": ["mobile", "fixed", "hosting", "unknown", ""]})
    ]
    link: Link
    vantages: CountBand
    silent: CountBand
    services: tuple[ServiceNow, ...]


class ServiceChange(ReadingDocument, frozen=True, kw_only=True):
    """A live event: the new state of one service in one network."""

    country: str
    asn: int
    access: str
    service: str


class UnmeasuredTime(Struct, frozen=True, rename={"since": "from"}):
    """A time without any measurement."""

    since: Timestamp
    until: Timestamp


class CoverageDocument(Struct, frozen=True, kw_only=True):
    """The shown vantages, and the times of the last hours without any."""

    vantages: CountBand
    groups: int
    controls: int
    blind: tuple[UnmeasuredTime, ...]


class StatusDocument(Struct, frozen=True, kw_only=True):
    """The current state of all networks."""

    at: Timestamp
    entry: int  # of the log: the newest one that is taken into account; 0 without any
    k_anonymity: int
    license: License
    groups: tuple[GroupDocument, ...]
    coverage: CoverageDocument


class CellDocument(Struct, frozen=True, kw_only=True):
    """One bin of a timeline."""

    start: Timestamp
    vantages: CountFloor
    reachable: CountFloor
    blocked: CountFloor
    down: CountFloor
    unknown: CountFloor
    silent: CountFloor
    state: VerdictState
    confidence: Confidence
    functions: BlockedFunctions | UnsetType = UNSET


class TimelineDocument(Struct, frozen=True, kw_only=True):
    """A row for each bin, also without measurements."""

    since: Timestamp
    until: Timestamp
    bin_s: int
    k_anonymity: int
    license: License
    scope: ScopeFilter
    cells: tuple[CellDocument, ...]


class GapDocument(Struct, frozen=True, kw_only=True, rename={"since": "from"}):
    """A time in which the collector was blind; an empty country: everywhere."""

    since: Timestamp
    until: Annotated[Timestamp | None, Meta(description="null: ongoing")]
    because: str
    sentence: str
    country: str


class GapHint(Struct, frozen=True):
    """A live event in place of a gap that cannot be named."""

    ask: str


class CountryCoverage(Struct, frozen=True, kw_only=True):
    """The shown vantages of a country."""

    country: str
    title: str
    vantages: CountBand
    enough: bool


class BlindnessDocument(Struct, frozen=True, kw_only=True):
    """The coverage gaps of a time, with reasons, and the coverage of countries."""

    at: Timestamp
    since: Timestamp
    until: Timestamp
    k_anonymity: int
    license: License
    blind: tuple[GapDocument, ...]
    complete: Annotated[bool, Meta(description="False: the oldest gaps are omitted.")]
    countries: tuple[CountryCoverage, ...]


MeasurementCount = Annotated[
    int,
    Meta(
        ge=0,
        description="A sum over countries, networks, days, tests and targets. Each summand has at "
        "least `k_anonymity` vantages and is rounded down to a multiple of that number.",
    ),
]


class AggregationTotals(Struct, frozen=True, kw_only=True):
    """The counts of one value of each axis; a field of another axis is absent."""

    measurement_start_day: Day | UnsetType = UNSET
    probe_cc: str | UnsetType = UNSET
    probe_asn: Annotated[int, Meta(description="0: unknown, or small networks")] | UnsetType = UNSET
    test_name: str | UnsetType = UNSET
    domain: str | UnsetType = UNSET
    input: str | UnsetType = UNSET
    anomaly_count: MeasurementCount
    confirmed_count: MeasurementCount
    failure_count: MeasurementCount
    ok_count: MeasurementCount
    measurement_count: Annotated[int, Meta(ge=0, description="The sum of the other four.")]


class AggregationDocument(Struct, frozen=True, kw_only=True):
    """Measurements counted in OONI's terms."""

    v: Literal[0]
    dimension_count: Annotated[int, Meta(ge=0, le=2)]
    result: Annotated[
        AggregationTotals | tuple[AggregationTotals, ...],
        Meta(description="One object without axes, else a row for each value that occurs."),
    ]
    k_anonymity: int
