"""Outcome of one endpoint in a comparison, and comparisons of such outcomes."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from heliograph.failure import CERTIFICATE_FAILURES, Failure, Operation
from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.table import Comparison, ComparisonRule, Facts
from heliograph_collector.judge.endpoint_view import ConnectionAttempt, ObservedStep
from heliograph_collector.judge.failure_semantics import OPERATION_DEPTH
from heliograph_collector.judge.measurement_steps import build_view
from heliograph_collector.judge.rules.rule import BLOCKED, UNKNOWN


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
    measurement: Measurement, label: str, goal: Operation, answers: Collection[Failure] = ()
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
    failures = [(a, s) for a in attempts if (s := a.failed_step) is not None and not a.is_ipv6]
    if not failures or any(s.is_local for a in attempts for s in a.steps):
        return None
    return _find_failure(failures)


def _find_success(
    attempt: ConnectionAttempt, goal: Operation, answers: Collection[Failure]
) -> ObservedStep | None:
    step = attempt.get_step(goal)
    is_success = step is not None and (step.has_succeeded or step.observation.failure in answers)
    return step if is_success else None


def _find_failure(failures: list[tuple[ConnectionAttempt, ObservedStep]]) -> EndpointOutcome:
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


@dataclass(frozen=True, slots=True)
class OutcomeComparison(Comparison):
    """Comparison whose facts are the outcomes of its endpoints.

    A certificate that does not match still shows that a server of `foreign` was reached.
    """

    goals: Mapping[str, Operation]  # the operation to reach, by endpoint label
    foreign: Collection[str] = ()  # endpoints whose certificate cannot match

    def find_outcome(self, measurement: Measurement, label: str) -> EndpointOutcome | None:
        answers = CERTIFICATE_FAILURES if label in self.foreign else ()
        return find_outcome(measurement, label, self.goals[label], answers)

    def extract_facts(self, measurement: Measurement, control: Measurement | None) -> Facts:
        """Extract the facts, with `same_NAME` if the control passed at the same address."""
        facts = Comparison.extract_facts(self, measurement, control)
        for label in self.goals if control else ():
            vantage_outcome = self.find_outcome(measurement, label)
            control_outcome = self.find_outcome(control, label) if control else None
            if (
                vantage_outcome
                and control_outcome
                and control_outcome.is_success
                and vantage_outcome.addresses & control_outcome.addresses
            ):
                facts[f"same_{label}"] = vantage_outcome.evidence
        return facts

    def extract_look_facts(self, measurement: Measurement, look: Measurement) -> Facts:
        """Extract the results of a control at the measurement's addresses.

        A control's results at other addresses are ignored.
        """
        facts: Facts = {}
        for label, goal in self.goals.items():
            vantage_outcome = self.find_outcome(measurement, label)
            control_outcome = self.find_outcome(look, label)
            if (
                vantage_outcome
                and control_outcome
                and vantage_outcome.addresses & control_outcome.addresses
            ):
                control_facts = describe_outcome(label, control_outcome, goal)
                facts |= {f"control_{fact}": () for fact in control_facts}
                if control_outcome.is_success:
                    facts[f"same_{label}"] = vantage_outcome.evidence
        return facts

    def collect_facts(self, measurement: Measurement) -> Facts:
        facts: Facts = {}
        for label, goal in self.goals.items():
            facts |= describe_outcome(label, self.find_outcome(measurement, label), goal)
        return facts


class NameComparison(OutcomeComparison):
    """Comparison of the target's name with a neutral name at one neutral server.

    Endpoints: `target` and `neutral`. The fact `same_address` means that both used one address.
    """

    def collect_facts(self, measurement: Measurement) -> Facts:
        facts = OutcomeComparison.collect_facts(self, measurement)
        target = self.find_outcome(measurement, "target")
        neutral = self.find_outcome(measurement, "neutral")
        if target and neutral and target.has_only_addresses_of(neutral):
            facts["same_address"] = neutral.evidence
        return facts


def build_name_rules(
    experiment: str, layer: str, prefix: str, failures: Iterable[tuple[str, str, str, float]]
) -> tuple[ComparisonRule, ...]:
    """Build the rules of a NameComparison on names that fail.

    Args:
        prefix: The start of the methods.
        failures: Tuples of name, method of the failed step, sentence and strength.
    """
    return (
        ComparisonRule(
            f"{experiment}.server_rejects",
            UNKNOWN,
            "The neutral server rejects the name at the control too.",
            needs="target_failed control_target_failed",
        ),
        ComparisonRule(
            f"{experiment}.not_only_the_name",
            UNKNOWN,
            "The neutral name fails at that address too: the address, or the server.",
            needs="target_failed neutral_failed",
        ),
        *(
            ComparisonRule(
                f"{experiment}.{name}",
                BLOCKED,
                f"{says}; a neutral name at the same address passes.",
                strength,
                f"target:{method} neutral_passed same_address control_target_passed same_target",
                layer=layer,
                method=f"{prefix}_{name}",
            )
            for name, method, says, strength in failures
        ),
    )
