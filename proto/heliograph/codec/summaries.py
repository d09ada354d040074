"""Summaries and digests ↔ protobuf: what stands for many runs, or for a dark time."""

from heliograph import observation as o
from heliograph.codec.checks import CodecError, at_most, text, word
from heliograph.failure import Failure, Operation
from heliograph.v1 import observation_pb2 as opb

MAX_OUTCOMES = 64
MAX_FAILURES = 512
MAX_CLASSES = 64
MAX_SPANS = 4_096
MAX_STEP_S = 86_400 * 120
MAX_SPAN_US = 86_400_000_000 * 366


def summary_to_pb(s: o.Summary | None) -> opb.Summary | None:
    if s is None:
        return None
    return opb.Summary(
        runs=s.runs,
        span_us=s.span_us,
        last_sequence=s.last_sequence,
        outcomes=[_outcome_to_pb(x) for x in s.outcomes],
    )


def summary_from_pb(s: opb.Summary) -> o.Summary:
    """Raises CodecError: also when more runs ended than were made."""
    at_most("summary.outcomes", s.outcomes, MAX_OUTCOMES)
    outcomes = tuple(_outcome_from_pb(x) for x in s.outcomes)
    if not s.runs or sum(x.runs for x in outcomes) > s.runs:
        raise CodecError("summary.runs", "does not add up")
    if s.span_us > MAX_SPAN_US:
        raise CodecError("summary.span_us", "longer than a year")
    return o.Summary(
        runs=s.runs, span_us=s.span_us, last_sequence=s.last_sequence, outcomes=outcomes
    )


def digest_to_pb(d: o.Digest | None) -> opb.Digest | None:
    if d is None:
        return None
    return opb.Digest(step_s=d.step_s, classes=d.classes, lives=d.lives)


def digest_from_pb(d: opb.Digest) -> o.Digest:
    """Raises CodecError."""
    at_most("digest.classes", d.classes, MAX_CLASSES)
    classes = tuple(text("digest.classes", name) for name in d.classes)
    spans = len(d.lives) // max(1, len(classes))
    if not 0 < d.step_s <= MAX_STEP_S or not 0 < spans <= MAX_SPANS:
        raise CodecError("digest.step_s", "out of range, or nothing told")
    if len(d.lives) != spans * len(classes) or max(d.lives) > 3:
        raise CodecError("digest.lives", "does not fit its classes")
    return o.Digest(step_s=d.step_s, classes=classes, lives=d.lives)


def _outcome_to_pb(x: o.Outcome) -> opb.Outcome:
    failures = [
        opb.FailedStep(endpoint=f.endpoint, operation=f.operation, failure=f.failure)
        for f in x.failures
    ]
    return opb.Outcome(runs=x.runs, not_measured=x.not_measured, failures=failures)


def _outcome_from_pb(x: opb.Outcome) -> o.Outcome:
    at_most("summary.failures", x.failures, MAX_FAILURES)
    failures = tuple(
        o.FailedStep(
            endpoint=text("summary.endpoint", f.endpoint),
            operation=word("summary.operation", Operation, f.operation),
            failure=word("summary.failure", Failure, f.failure),
        )
        for f in x.failures
    )
    return o.Outcome(runs=x.runs, not_measured=x.not_measured, failures=failures)
