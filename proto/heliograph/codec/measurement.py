"""Measurements and epochs ↔ protobuf."""

from heliograph import observation as o
from heliograph.codec.checks import at_most, text, word
from heliograph.codec.observations import observation_from_pb, observation_to_pb
from heliograph.codec.summaries import digest_from_pb, digest_to_pb, summary_from_pb, summary_to_pb
from heliograph.v1 import observation_pb2 as opb

MAX_OBSERVATIONS = 512


def measurement_to_pb(m: o.Measurement) -> opb.Measurement:
    return opb.Measurement(
        sequence=m.sequence,
        experiment=m.experiment,
        experiment_version=m.experiment_version,
        service=m.service,
        target=m.target,
        started_us=m.started_us,
        monotonic_us=m.monotonic_us,
        boot=m.boot,
        runtime_us=m.runtime_us,
        epoch=m.epoch,
        link=m.link,
        plan_version=m.plan_version,
        services_version=m.services_version,
        not_measured=m.not_measured,
        observations=[observation_to_pb(x) for x in m.observations],
        clock_offset_us=m.clock_offset_us,
        summary=summary_to_pb(m.summary),
        digest=digest_to_pb(m.digest),
    )


def measurement_from_pb(m: opb.Measurement) -> o.Measurement:
    """Raises CodecError."""
    at_most("observations", m.observations, MAX_OBSERVATIONS)
    return o.Measurement(
        sequence=m.sequence,
        experiment=text("experiment", m.experiment),
        experiment_version=m.experiment_version,
        service=text("service", m.service),
        target=text("target", m.target),
        started_us=m.started_us,
        monotonic_us=m.monotonic_us,
        boot=text("boot", m.boot),
        runtime_us=m.runtime_us,
        epoch=text("epoch", m.epoch),
        link=word("link", o.Link, m.link),
        plan_version=m.plan_version,
        services_version=text("services_version", m.services_version),
        not_measured=text("not_measured", m.not_measured),
        observations=tuple(observation_from_pb(index, x) for index, x in enumerate(m.observations)),
        clock_offset_us=m.clock_offset_us if m.HasField("clock_offset_us") else None,
        summary=summary_from_pb(m.summary) if m.HasField("summary") else None,
        digest=digest_from_pb(m.digest) if m.HasField("digest") else None,
    )


def epoch_to_pb(e: o.Epoch) -> opb.Epoch:
    return opb.Epoch(
        id=e.id,
        started_us=e.started_us,
        country=e.country,
        region=e.region,
        access=e.access,
        ipv4=e.ipv4,
        ipv6=e.ipv6,
    )


def epoch_from_pb(e: opb.Epoch) -> o.Epoch:
    """Raises CodecError."""
    return o.Epoch(
        id=text("epoch.id", e.id),
        started_us=e.started_us,
        country=text("epoch.country", e.country, 2),
        region=text("epoch.region", e.region, 16),
        access=word("epoch.access", o.Access, e.access),
        ipv4=e.ipv4,
        ipv6=e.ipv6,
    )
