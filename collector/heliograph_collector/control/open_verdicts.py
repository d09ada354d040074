"""Verdicts that may still change, and the results that may change them."""

from collections.abc import Iterator, Sequence

from heliograph.failure import Operation
from heliograph.observation import Measurement, Observation
from heliograph_collector.control.endpoint_outcomes import is_over_ipv6
from heliograph_collector.control.target_key import make_target_key
from heliograph_collector.control.vantage_profiles import Topic, list_topics
from heliograph_collector.model.records import ReceivedMeasurement, Verdict, VerdictState

FINAL_RULE_PREFIXES = ("link.", "none.not_measured")  # rules whose doubt no control can remove
IPV6_ONLY_RULE = "none.ipv6"


def may_change(verdicts: Sequence[Verdict]) -> bool:
    """Return whether any verdict depends on the control or waits for it."""
    return any(map(is_open, verdicts))


def awaits_control(record: ReceivedMeasurement, verdicts: Sequence[Verdict]) -> bool:
    """Return whether what a control sees may change any verdict on a measurement.

    Not where all that is open is IPv6 which the vantage does not have. Of the load bench's
    measurements that were judged again, those were nine of ten, and no verdict on them changed.
    """
    return may_change(verdicts) and not _lacks_ipv6(record.measurement, verdicts)


def list_awaited_topics(
    record: ReceivedMeasurement, verdicts: Sequence[Verdict]
) -> tuple[Topic, ...]:
    """List the topics whose changes may change open verdicts on a measurement.

    Its target is one where controls may change them, since they look there.
    """
    topics = list_topics(record)
    if not awaits_control(record, verdicts):
        return topics
    return (make_target_key(record.measurement), *topics)


def is_open(verdict: Verdict) -> bool:
    """Return whether a verdict is in doubt that a control may remove."""
    return verdict.state is not VerdictState.REACHABLE and not verdict.rule.startswith(
        FINAL_RULE_PREFIXES
    )


def _lacks_ipv6(measurement: Measurement, verdicts: Sequence[Verdict]) -> bool:
    """Return whether IPv6 addresses that never connected are all that is open.

    IPv6 counts only where something was reached over it (judge/deciding_failure.py), whatever a
    control sees. The verdict on the whole target follows from those on its endpoints.
    """
    labels = {verdict.endpoint for verdict in verdicts if is_open(verdict)} - {""}
    rules = {verdict.rule for verdict in verdicts if is_open(verdict)}
    if rules != {IPV6_ONLY_RULE} or not labels:
        return False
    tried = [x for x in measurement.observations if x.endpoint in labels]
    return all(map(_is_vain_ipv6, tried)) and not any(_list_reached_ipv6(measurement))


def _is_vain_ipv6(observation: Observation) -> bool:
    is_failed = observation.failure is not None and observation.operation is Operation.CONNECT
    return is_failed and is_over_ipv6(observation)


def _list_reached_ipv6(measurement: Measurement) -> Iterator[bool]:
    return (x.failure is None and is_over_ipv6(x) for x in measurement.observations)
