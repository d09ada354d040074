"""Convert measurements and epochs to protobuf and back."""

from dataclasses import replace

from heliograph import observation as o
from heliograph.codec.checks import CodecError, check_count, check_text, parse_word
from heliograph.codec.encoding import build_message
from heliograph.codec.observations import observation_from_pb
from heliograph.failure import Failure, Operation
from heliograph.plan import MAX_PARTS
from heliograph.units import DAY_S, DAY_US
from heliograph.v1 import observation_pb2 as opb

MAX_OBSERVATIONS = 512
MAX_OUTCOMES = 64
MAX_FAILURES = 512
MAX_CLASSES = 64
MAX_TRIGGER = 32  # characters; a later agent may know other triggers
MAX_SPANS = 4_096
MAX_STEP_S = 120 * DAY_S
MAX_SPAN_US = 366 * DAY_US


def _summary_from_pb(s: opb.Summary) -> o.Summary:
    check_count("summary.outcomes", s.outcomes, MAX_OUTCOMES)
    outcomes = tuple(_outcome_from_pb(x) for x in s.outcomes)
    if not s.runs or sum(x.runs for x in outcomes) > s.runs:
        raise CodecError("summary.runs", "does not add up")
    if s.span_us > MAX_SPAN_US:
        raise CodecError("summary.span_us", "longer than a year")
    return o.Summary(
        runs=s.runs, span_us=s.span_us, last_sequence=s.last_sequence, outcomes=outcomes
    )


def _digest_from_pb(d: opb.Digest) -> o.Digest:
    check_count("digest.classes", d.classes, MAX_CLASSES)
    classes = tuple(check_text("digest.classes", name) for name in d.classes)
    spans = len(d.lives) // max(1, len(classes))
    if not 0 < d.step_s <= MAX_STEP_S or not 0 < spans <= MAX_SPANS:
        raise CodecError("digest.step_s", "out of range, or nothing told")
    if len(d.lives) != spans * len(classes) or max(d.lives) > 3:
        raise CodecError("digest.lives", "does not fit its classes")
    return o.Digest(step_s=d.step_s, classes=classes, lives=d.lives)


def _outcome_from_pb(x: opb.Outcome) -> o.Outcome:
    check_count("summary.failures", x.failures, MAX_FAILURES)
    failures = tuple(
        o.FailedStep(
            endpoint=check_text("summary.endpoint", f.endpoint),
            operation=parse_word("summary.operation", Operation, f.operation),
            failure=parse_word("summary.failure", Failure, f.failure),
        )
        for f in x.failures
    )
    return o.Outcome(runs=x.runs, not_measured=x.not_measured, failures=failures)


# Facts of a round that are not repeated in each of its parts.
_SHARED = (
    *("sequence", "boot", "epoch", "link", "plan_version", "services_version"),
    *("clock_offset_us", "trigger", "is_light"),
)


def measurement_to_pb(measurement: o.Measurement) -> opb.Measurement:
    message = build_message(opb.Measurement, measurement)
    for part in message.parts:
        _clear_shared(part)
    return message


def _clear_shared(part: opb.Measurement) -> None:
    for name in _SHARED:
        part.ClearField(name)  # type: ignore[arg-type] # the stub wants each name as a literal


def _check_parts(m: opb.Measurement) -> None:
    check_count("parts", m.parts, MAX_PARTS)
    if m.observations or m.HasField("summary") or m.HasField("digest"):
        raise CodecError("parts", "beside observations")
    if sum(len(part.observations) for part in m.parts) > MAX_OBSERVATIONS:
        raise CodecError("parts", f"more than {MAX_OBSERVATIONS} steps in all")
    if any(p.parts or p.HasField("summary") or p.HasField("digest") for p in m.parts):
        raise CodecError("parts", "a part has more than its steps")


def split_round(m: opb.Measurement) -> tuple[opb.Measurement, ...]:
    """Return the light checks of a round, unchecked; any other measurement unchanged."""
    if not m.parts:
        return (m,)
    shared = opb.Measurement(
        **{name: getattr(m, name) for name in _SHARED if name != "clock_offset_us"}
    )
    if m.HasField("clock_offset_us"):
        shared.clock_offset_us = m.clock_offset_us
    return tuple(_fill_part(part, shared) for part in m.parts)


def _fill_part(part: opb.Measurement, shared: opb.Measurement) -> opb.Measurement:
    message = opb.Measurement()
    message.CopyFrom(part)
    _clear_shared(message)
    message.MergeFrom(shared)
    return message


def _certificates_from_pb(m: opb.Measurement) -> tuple[bytes, ...]:
    if not m.certificates:
        return ()
    check_count("certificates", m.certificates, o.MAX_CERTIFICATES)
    if sum(map(len, m.certificates)) > o.MAX_CERTIFICATE_BYTES:
        raise CodecError("certificates", f"more than {o.MAX_CERTIFICATE_BYTES} bytes")
    return tuple(m.certificates)


def measurement_from_pb(m: opb.Measurement) -> o.Measurement:
    """Decode a measurement. Raises CodecError."""
    return decode_round(m)[0]


def decode_round(m: opb.Measurement) -> tuple[o.Measurement, tuple[opb.Measurement, ...]]:
    """Decode a measurement; return it with the result of `split_round`.

    Raises CodecError.
    """
    measurement = _fields_from_pb(m)
    if not m.parts:
        return measurement, (m,)
    _check_parts(m)
    messages = split_round(m)
    return replace(measurement, parts=tuple(map(_fields_from_pb, messages))), messages


def _fields_from_pb(m: opb.Measurement) -> o.Measurement:
    """Decode all but the parts."""
    check_count("observations", m.observations, MAX_OBSERVATIONS)
    return o.Measurement(
        sequence=m.sequence,
        experiment=check_text("experiment", m.experiment),
        experiment_version=m.experiment_version,
        service=check_text("service", m.service),
        target=check_text("target", m.target),
        started_us=m.started_us,
        monotonic_us=m.monotonic_us,
        boot=check_text("boot", m.boot),
        runtime_us=m.runtime_us,
        epoch=check_text("epoch", m.epoch),
        link=parse_word("link", o.Link, m.link),
        plan_version=m.plan_version,
        services_version=check_text("services_version", m.services_version),
        not_measured=check_text("not_measured", m.not_measured),
        observations=tuple(observation_from_pb(index, x) for index, x in enumerate(m.observations)),
        clock_offset_us=m.clock_offset_us if m.HasField("clock_offset_us") else None,
        summary=_summary_from_pb(m.summary) if m.HasField("summary") else None,
        digest=_digest_from_pb(m.digest) if m.HasField("digest") else None,
        is_visit=m.is_visit,
        trigger=check_text("trigger", m.trigger, MAX_TRIGGER),
        is_light=m.is_light,
        certificates=_certificates_from_pb(m),
    )


def epoch_to_pb(epoch: o.Epoch) -> opb.Epoch:
    return build_message(opb.Epoch, epoch)


def epoch_from_pb(e: opb.Epoch) -> o.Epoch:
    """Decode an epoch. Raises CodecError."""
    return o.Epoch(
        id=check_text("epoch.id", e.id),
        started_us=e.started_us,
        country=check_text("epoch.country", e.country, 2),
        region=check_text("epoch.region", e.region, 16),
        access=parse_word("epoch.access", o.Access, e.access),
        ipv4=e.ipv4,
        ipv6=e.ipv6,
    )
