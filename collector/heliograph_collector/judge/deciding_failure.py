"""Selection of the failure that decides a verdict.

The deciding failure is at the deepest step that failed on every connection. Local failures never
decide.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.failure import CERTIFICATE_FAILURES, Failure, Operation
from heliograph_collector.judge.control_looks import NO_LOOKS, ControlLooks, LookResult
from heliograph_collector.judge.endpoint_view import ConnectionAttempt, EndpointView, ObservedStep
from heliograph_collector.judge.failure_semantics import OPERATION_DEPTH


@dataclass(frozen=True, slots=True)
class DecidingFailure:
    """Failure that decides the verdict; `attempts` are the failed connections."""

    operation: Operation
    failure: Failure
    steps: tuple[ObservedStep, ...]
    attempts: tuple[ConnectionAttempt, ...] = ()

    @property
    def deciding_attempts(self) -> tuple[ConnectionAttempt, ...]:
        """Return the connections that failed at the deciding step."""
        deciding = {step.index for step in self.steps}
        return tuple(a for a in self.attempts if not deciding.isdisjoint(s.index for s in a.steps))

    @property
    def depth(self) -> int:
        return OPERATION_DEPTH[self.operation]


def find_deciding_failure(
    view: EndpointView, control: EndpointView, looks: ControlLooks = NO_LOOKS
) -> DecidingFailure | None:
    """Find the failure that decides the verdict on this endpoint.

    Addresses that fail for the controls too do not decide while another one fails here.

    Returns:
        None when nothing failed, or when no failure can be interference.
    """
    if not view.failures:  # as nearly always
        return None
    if not view.is_resolved:
        steps = [s for s in view.counted_lookups if s.method]
        return _build_deciding_failure([] if has_only_ipv6(view, control) else steps, view, ())
    failed = tuple([a for a in view.own_attempts if a.failed_step])
    if not failed:
        return None
    if any(a.is_ipv6 for a in failed) and not is_ipv6_counted(view, control):
        failed = tuple(a for a in failed if not a.is_ipv6)
    attempts = tuple(a for a in failed if not is_dead(a, looks)) or failed
    return _build_deciding_failure(
        [a.failed_step for a in attempts if a.failed_step is not None], view, attempts
    )


def find_failure_elsewhere(view: EndpointView, looks: ControlLooks) -> DecidingFailure | None:
    """Find the failure at other resolvers' addresses, if a control passes at one.

    A forged answer is often dead for everybody, and the true address is cut by name (Hoang and
    others, USENIX Security 2021, section 2).
    """
    others = [a for a in view.other_attempts if a.address and not a.is_ipv6]
    if not all(a.failed_step for a in others):
        return None
    live = tuple(a for a in others if not is_dead(a, looks))
    steps = [a.failed_step for a in live if a.failed_step is not None]
    results = (looks.find_result(a, s.operation) for a, s in zip(live, steps, strict=True))
    return _build_deciding_failure(steps, view, live) if LookResult.PASSED in results else None


def is_dead(attempt: ConnectionAttempt, looks: ControlLooks) -> bool:
    """Return whether the controls fail here too, at this step or before it."""
    step = attempt.failed_step
    return step is not None and looks.is_dead(attempt, step.operation)


def has_only_ipv6(view: EndpointView, control: EndpointView) -> bool:
    """Return whether the name has only IPv6 addresses and the vantage got no IPv4 one.

    An empty A answer is then correct, and missing IPv6 may be a limit of the vantage.
    """
    failures = {s.observation.failure for s in view.counted_lookups if s.method}
    known_addresses = control.own_addresses
    return (
        failures == {Failure.DNS_NO_ANSWER}
        and bool(known_addresses)
        and all(":" in a for a in known_addresses)
    )


def is_ipv6_counted(view: EndpointView, control: EndpointView) -> bool:
    """Return whether failures over IPv6 count as interference.

    They count when neither side knows an IPv4 address and IPv6 works on both sides. A vantage may
    hold an IPv6 address without IPv6 connectivity: a broken tunnel causes the same router errors
    and the same silence as a censor.
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
    deepest = max((s.operation for s in steps), key=OPERATION_DEPTH.__getitem__)
    if deepest in view.passed_operations:
        return None  # another connection passed this step and then failed inconclusively
    deepest_steps = [s for s in steps if s.operation is deepest]
    failure_counts = Counter(
        s.observation.failure for s in deepest_steps if s.observation.failure is not None
    )
    # Equally many: a bad certificate goes first, because without its chain it is doubt, and the
    # order of the addresses must not decide between doubt and blame.
    certificate_counts = Counter({f: failure_counts[f] for f in CERTIFICATE_FAILURES})
    failure = (certificate_counts | failure_counts).most_common(1)[0][0]
    return DecidingFailure(deepest, failure, tuple(deepest_steps), attempts)
