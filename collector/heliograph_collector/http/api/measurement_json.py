"""A measurement as JSON: what was seen, and what our rules made of it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from heliograph.observation import Observation, Summary
from heliograph_collector.http.api.parameters import write_time
from heliograph_collector.model.records import Taken, Verdict

Json = dict[str, Any]


def document(taken: Taken, verdicts: Sequence[Verdict]) -> Json:
    """No address of a vantage is in here, for none is ever stored."""
    m = taken.measurement
    return {
        "id": taken.id,
        "sequence": m.sequence,
        "started": write_time(taken.started_us),
        "received": write_time(taken.received_us),
        "runtime_s": m.runtime_us / 1e6,
        "role": taken.role.value,
        "vantage": {
            "country": taken.vantage.country,
            "region": taken.vantage.region,
            "asn": taken.vantage.asn,
            "access": str(taken.vantage.access),
            "nym": taken.nym,
        },
        "experiment": m.experiment,
        "experiment_version": m.experiment_version,
        "service": m.service,
        "target": m.target,
        "link": m.link.value,
        "plan_version": m.plan_version,
        "services_version": m.services_version,
        "not_measured": m.not_measured,
        "verdicts": [verdict(v) for v in verdicts],
        "observations": [observation(o) for o in m.observations],
        **({} if m.summary is None else {"summary": summary(m.summary)}),
    }


def summary(s: Summary) -> Json:
    """What many runs came to; those in no outcome had yet others."""
    return {
        "runs": s.runs,
        "span_s": s.span_us / 1e6,
        "last_sequence": s.last_sequence,
        "outcomes": [asdict(x) for x in s.outcomes],
    }


def verdict(v: Verdict) -> Json:
    return {**asdict(v), "state": v.state.value, "evidence": list(v.evidence)}


def observation(o: Observation) -> Json:
    """Only the facts that the step has."""
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
