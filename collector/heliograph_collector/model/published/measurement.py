"""Measurements as published to the operator: observations and verdicts."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, Exchange, Hop, Http, Link, Outcome, Tcp, Tls, Udp
from heliograph_collector.model.published.fields import Timestamp
from heliograph_collector.model.records import AgentRole, Verdict


class VantageDocument(Struct, frozen=True, kw_only=True):
    """A vantage; `nym` is valid for one country, network and month."""

    country: str
    region: str
    asn: int
    access: str
    nym: str


class ObservationDocument(Struct, frozen=True, kw_only=True):
    """One step, with only the facts of that step."""

    operation: Operation
    endpoint: str
    parent: Annotated[int | None, Meta(description="Index of the step on which it depends.")]
    started_s: float
    duration_s: float
    failure: Failure | None
    failure_detail: str | UnsetType = UNSET
    dns: Dns | UnsetType = UNSET
    tcp: Tcp | UnsetType = UNSET
    udp: Udp | UnsetType = UNSET
    tls: Tls | UnsetType = UNSET
    http: Http | UnsetType = UNSET
    exchange: Exchange | UnsetType = UNSET
    hop: Hop | UnsetType = UNSET


class SummaryDocument(Struct, frozen=True, kw_only=True):
    """Many runs in place of their observations.

    The outcomes need not cover all of them.
    """

    runs: int
    span_s: float
    last_sequence: int
    outcomes: tuple[Outcome, ...]


class MeasurementDocument(Struct, frozen=True, kw_only=True):
    """A measurement without any address of its vantage, because none is stored."""

    id: str
    sequence: int
    started: Timestamp
    received: Timestamp
    runtime_s: float
    role: AgentRole
    vantage: VantageDocument
    experiment: str
    experiment_version: int
    service: str
    target: str
    link: Link
    plan_version: int
    services_version: str
    not_measured: str
    verdicts: tuple[Verdict, ...]
    observations: tuple[ObservationDocument, ...]
    summary: SummaryDocument | UnsetType = UNSET


class MeasurementsDocument(Struct, frozen=True, kw_only=True):
    """A page of measurements, newest first."""

    measurements: tuple[MeasurementDocument, ...]
    next: str | None
