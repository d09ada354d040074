"""Outcome of one endpoint in a comparison: success, or the failed step and method."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from heliograph.failure import Failure, Operation
from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.table import Facts
from heliograph_collector.judge.endpoint_view import ConnectionAttempt, ObservedStep, build_view
from heliograph_collector.judge.failure_semantics import OPERATION_DEPTH


@dataclass(frozen=True, slots=True)
class EndpointOutcome:
    """Outcome of one endpoint; `failure` None means success.

    `evidence` holds the indices of the observations that decide the outcome.
    """

    operation: Operation
    failure: Failure | None
    method: str  # of the failure, as in failure_semantics.py
    addresses: frozenset[str]
    evidence: tuple[int, ...]

    @property
    def is_success(self) -> bool:
        return self.failure is None

    def has_only_addresses_of(self, other: "EndpointOutcome") -> bool:
        """Return whether all addresses are known and occur in the other outcome too."""
        return "" not in self.addresses and self.addresses <= other.addresses


def find_outcome(
    measurement: Measurement,
    label: str,
    goal: Operation,
    answers: Collection[Failure] = (),
) -> EndpointOutcome | None:
    """Find the outcome of one endpoint's connections at the goal operation.

    One success is enough. A failure counts only when every connection failed.

    Args:
        answers: Failures of the goal's step that still show that the server was reached.

    Returns:
        None when nothing is conclusive: nothing tried, a local failure, or only IPv6 failures.
    """
    attempts = build_view(measurement.observations, label).attempts
    successes = [(a, s) for a in attempts if (s := _find_success(a, goal, answers)) is not None]
    if successes:
        return EndpointOutcome(
            goal,
            None,
            "",
            frozenset(a.address for a, _ in successes),
            tuple(s.index for _, s in successes),
        )
    if any(s.is_local for a in attempts for s in a.steps):
        return None
    return _find_failure(
        [(a, s) for a in attempts if (s := a.failed_step) is not None and not a.is_ipv6]
    )


def _find_success(
    attempt: ConnectionAttempt, goal: Operation, answers: Collection[Failure]
) -> ObservedStep | None:
    step = attempt.get_step(goal)
    is_success = step is not None and (step.has_succeeded or step.observation.failure in answers)
    return step if is_success else None


def _find_failure(failures: list[tuple[ConnectionAttempt, ObservedStep]]) -> EndpointOutcome | None:
    if not failures:
        return None
    depth = max(OPERATION_DEPTH[s.operation] for _, s in failures)
    deepest = [(a, s) for a, s in failures if OPERATION_DEPTH[s.operation] == depth]
    failure_counts = Counter((s.operation, s.observation.failure, s.method) for _, s in deepest)
    operation, failure, method = failure_counts.most_common(1)[0][0]
    return EndpointOutcome(
        operation,
        failure,
        method,
        frozenset(a.address for a, _ in deepest),
        tuple(s.index for _, s in deepest),
    )


def describe_outcome(name: str, endpoint_outcome: EndpointOutcome | None, goal: Operation) -> Facts:
    """Convert an outcome to facts whose names begin with the endpoint's name.

    The facts are `NAME_passed`, or `NAME_failed` with `NAME:METHOD` where the goal itself failed or
    `NAME_unconnected` where the connection failed.
    """
    if endpoint_outcome is None:
        return {}
    if endpoint_outcome.is_success:
        return {f"{name}_passed": endpoint_outcome.evidence}
    facts: Facts = {f"{name}_failed": endpoint_outcome.evidence}
    if endpoint_outcome.operation is goal:
        facts[f"{name}:{endpoint_outcome.method}"] = endpoint_outcome.evidence
    elif endpoint_outcome.operation is Operation.CONNECT:
        facts[f"{name}_unconnected"] = endpoint_outcome.evidence
    return facts
