"""A measurement as published: its observations and our verdicts."""

from collections.abc import Sequence

from msgspec import UNSET

from heliograph.observation import Observation, Summary
from heliograph.timestamps import format_time
from heliograph_collector.model.published.measurement import (
    MeasurementDocument,
    ObservationDocument,
    SummaryDocument,
    VantageDocument,
)
from heliograph_collector.model.records import ReceivedMeasurement, Verdict


def build_document(record: ReceivedMeasurement, verdicts: Sequence[Verdict]) -> MeasurementDocument:
    """Build the document; it has no vantage address, because none is stored."""
    measurement = record.measurement
    return MeasurementDocument(
        id=record.id,
        sequence=measurement.sequence,
        started=format_time(record.started_us),
        received=format_time(record.received_us),
        runtime_s=measurement.runtime_us / 1e6,
        role=record.role,
        vantage=VantageDocument(
            country=record.vantage.country,
            region=record.vantage.region,
            asn=record.vantage.asn,
            access=record.vantage.access,
            nym=record.pseudonym,
        ),
        experiment=measurement.experiment,
        experiment_version=measurement.experiment_version,
        service=measurement.service,
        target=measurement.target,
        link=measurement.link,
        plan_version=measurement.plan_version,
        services_version=measurement.services_version,
        not_measured=measurement.not_measured,
        verdicts=tuple(verdicts),
        observations=tuple(build_observation(o) for o in measurement.observations),
        summary=_build_summary(measurement.summary) if measurement.summary else UNSET,
    )


def _build_summary(summary: Summary) -> SummaryDocument:
    return SummaryDocument(
        runs=summary.runs,
        span_s=summary.span_us / 1e6,
        last_sequence=summary.last_sequence,
        outcomes=summary.outcomes,
    )


def build_observation(o: Observation) -> ObservationDocument:
    """Build an observation with only the facts of its step."""
    return ObservationDocument(
        operation=o.operation,
        endpoint=o.endpoint,
        parent=o.parent,
        started_s=o.started_us / 1e6,
        duration_s=o.duration_us / 1e6,
        failure=o.failure,
        failure_detail=o.failure_detail or UNSET,
        dns=o.dns or UNSET,
        tcp=o.tcp or UNSET,
        udp=o.udp or UNSET,
        tls=o.tls or UNSET,
        http=o.http or UNSET,
        exchange=o.exchange or UNSET,
        hop=o.hop or UNSET,
    )
