"""A measurement as JSON: its observations and our verdicts."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from heliograph.observation import Observation, Summary
from heliograph_collector.http.api.parameters import write_time
from heliograph_collector.model.records import ReceivedMeasurement, Verdict

Json = dict[str, Any]


def build_document(record: ReceivedMeasurement, verdicts: Sequence[Verdict]) -> Json:
    """Build the document; it has no vantage address, because none is stored."""
    measurement = record.measurement
    return {
        "id": record.id,
        "sequence": measurement.sequence,
        "started": write_time(record.started_us),
        "received": write_time(record.received_us),
        "runtime_s": measurement.runtime_us / 1e6,
        "role": record.role.value,
        "vantage": {
            "country": record.vantage.country,
            "region": record.vantage.region,
            "asn": record.vantage.asn,
            "access": str(record.vantage.access),
            "nym": record.pseudonym,
        },
        "experiment": measurement.experiment,
        "experiment_version": measurement.experiment_version,
        "service": measurement.service,
        "target": measurement.target,
        "link": measurement.link.value,
        "plan_version": measurement.plan_version,
        "services_version": measurement.services_version,
        "not_measured": measurement.not_measured,
        "verdicts": [build_verdict(v) for v in verdicts],
        "observations": [build_observation(o) for o in measurement.observations],
        **({} if measurement.summary is None else {"summary": build_summary(measurement.summary)}),
    }


def build_summary(s: Summary) -> Json:
    """Build the summary of many runs; the outcomes need not cover all of them."""
    return {
        "runs": s.runs,
        "span_s": s.span_us / 1e6,
        "last_sequence": s.last_sequence,
        "outcomes": [asdict(x) for x in s.outcomes],
    }


def build_verdict(v: Verdict) -> Json:
    return {**asdict(v), "state": v.state.value, "evidence": list(v.evidence)}


def build_observation(o: Observation) -> Json:
    """Build an observation with only the facts of its step."""
    body: Json = {
        "operation": o.operation.value,
        "endpoint": o.endpoint,
        "parent": o.parent,
        "started_s": o.started_us / 1e6,
        "duration_s": o.duration_us / 1e6,
        "failure": o.failure.value if o.failure else None,
    }
    if o.failure_detail:
        body["failure_detail"] = o.failure_detail
    for name in ("dns", "tcp", "udp", "tls", "http", "exchange", "hop"):
        facts = getattr(o, name)
        if facts is not None:
            body[name] = asdict(facts)
    return body
