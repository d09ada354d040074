"""The failure that counts: the deepest step that failed on every connection, and nothing local."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.failure import Failure, Operation
from heliograph_collector.judge.endpoint_view import ConnectionAttempt, EndpointView, ObservedStep
from heliograph_collector.judge.failure_semantics import OPERATION_DEPTH


@dataclass(frozen=True, slots=True)
class DecidingFailure:
    """Where a target stopped. `attempts` are the connections that ended there or earlier."""

    operation: Operation
    failure: Failure
    steps: tuple[ObservedStep, ...]
    attempts: tuple[ConnectionAttempt, ...] = ()


def find_deciding_failure(view: EndpointView, control: EndpointView) -> DecidingFailure | None:
    """None when nothing failed, or nothing that can be called interference."""
    attempts = select_conclusive_attempts(view, control)
    if not view.is_resolved:
        steps = [s for s in view.counted_lookups if s.method]
        return _build_deciding_failure([] if has_only_ipv6(view, control) else steps, view, ())
    return _build_deciding_failure(
        [a.failed_step for a in attempts if a.failed_step is not None], view, attempts
    )


def select_conclusive_attempts(
    view: EndpointView, control: EndpointView
) -> tuple[ConnectionAttempt, ...]:
    """Failed connections that count: IPv6 ones only for a target that has nothing else."""
    ipv6_counted = is_ipv6_counted(view, control)
    return tuple(
        a
        for a in view.own_attempts
        if a.failed_step is not None and (ipv6_counted or not a.is_ipv6)
    )


def has_only_ipv6(view: EndpointView, control: EndpointView) -> bool:
    """The name has IPv6 addresses alone, and the vantage asked for none or got none.

    That there is no A record is the truth then, and no IPv6 may be the vantage's own lack.
    """
    failures = {s.observation.failure for s in view.counted_lookups if s.method}
    known_addresses = control.own_addresses
    return (
        failures == {Failure.DNS_NO_ANSWER}
        and bool(known_addresses)
        and all(":" in a for a in known_addresses)
    )


def is_ipv6_counted(view: EndpointView, control: EndpointView) -> bool:
    """IPv6 alone counts when neither side knows an IPv4 address and IPv6 works on both sides.

    A vantage may hold an IPv6 address and have no IPv6: routers' answers and silence, as a censor
    makes them, are what a broken tunnel makes as well.
    """
    addresses = {a.address for s in (view, control) for a in s.attempts if a.address}
    has_ipv4 = any(":" not in a for a in addresses | view.own_addresses | control.own_addresses)
    control_has_ipv6 = any(
        a.is_ipv6 and Operation.CONNECT in a.passed_operations for a in control.own_attempts
    )
    return control_has_ipv6 and view.ipv6_works and not has_ipv4


def _build_deciding_failure(
    steps: Sequence[ObservedStep], view: EndpointView, attempts: tuple[ConnectionAttempt, ...]
) -> DecidingFailure | None:
    if not steps:
        return None
    deepest = max((s.operation for s in steps), key=lambda operation: OPERATION_DEPTH[operation])
    if (
        deepest in view.passed_operations
    ):  # another connection got past it, and then nothing conclusive
        return None
    deepest_steps = [s for s in steps if s.operation is deepest]
    failure_counts = Counter(
        s.observation.failure for s in deepest_steps if s.observation.failure is not None
    )
    return DecidingFailure(
        deepest, failure_counts.most_common(1)[0][0], tuple(deepest_steps), attempts
    )
