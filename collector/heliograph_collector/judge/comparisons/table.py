"""Comparisons: small decision tables over the endpoints of one experiment.

The rules (`rules/`) judge one endpoint at a time. Some experiments show interference only as a
difference between two endpoints: a name and a neutral name, or UDP and TCP. A comparison reduces
the measurement and its control to facts, each with the observations that show it. The first rule
whose facts are present gives the verdict.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from heliograph.failure import Failure
from heliograph.observation import Link, Measurement, Observation
from heliograph_collector.judge.confidence import compute_confidence
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.features import FEATURE_BY_LINK, FRESH_US
from heliograph_collector.judge.rules.preconditions import (
    CONTROL_CHECKS,
    LINK_CHECKS,
    NOT_RUN_CHECKS,
)
from heliograph_collector.judge.rules.rule import Rule
from heliograph_collector.model.records import (
    ControlView,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
)

UNKNOWN = VerdictState.UNKNOWN
REACHABLE = VerdictState.REACHABLE
BLOCKED = VerdictState.BLOCKED
Facts = dict[str, tuple[int, ...]]  # fact: indices of the observations that show it
PRECONDITION_BY_FEATURE = {
    sign: rule for rule in (*NOT_RUN_CHECKS, *LINK_CHECKS, *CONTROL_CHECKS) for sign in rule.needs
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRule:
    """Rule that holds when all facts of `needs` and none of `lacks` are present."""

    id: str
    state: VerdictState
    says: str
    strength: float = 0.0
    needs: str = ""  # facts, separated by spaces
    lacks: str = ""
    layer: str = ""
    method: str = ""
    needs_no_control: bool = False  # proves itself, whatever the states of link and control

    def matches(self, facts: Facts) -> bool:
        return all(w in facts for w in self.needs.split()) and not any(
            w in facts for w in self.lacks.split()
        )

    def evidence(self, facts: Facts) -> tuple[int, ...]:
        return tuple(sorted({index for w in self.needs.split() for index in facts[w]}))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rules of one experiment and the function that extracts their facts.

    `extract_facts` receives the control only when the preconditions hold.
    """

    experiment: str
    extract_facts: Callable[[Measurement, Measurement | None], Facts]
    rules: tuple[ComparisonRule, ...]

    def decide(self, record: ReceivedMeasurement, control: ControlView) -> Verdict:
        """Return the verdict on the whole; `blocked` needs link, control, no interruption."""
        precondition = find_precondition(record, control)
        facts = self.extract_facts(
            record.measurement, None if precondition else control.measurement
        )
        matching = [row for row in self.rules if row.matches(facts)]
        proof = next((row for row in matching if row.needs_no_control), None)
        if proof is not None and not record.measurement.not_measured:
            return _build_verdict(proof, facts, control)
        if precondition is not None:
            return Verdict(state=precondition.state, rule=precondition.id)
        interrupted_indices = find_interrupted(record.measurement)
        if interrupted_indices and (
            not matching or matching[0].state is BLOCKED or not matching[0].needs
        ):
            rule = "none.interrupted"
            evidence = interrupted_indices
        elif matching:
            return _build_verdict(matching[0], facts, control)
        else:
            rule = "none.doubt"
            evidence = ()
        return Verdict(state=UNKNOWN, rule=rule, evidence=evidence)


def _build_verdict(row: ComparisonRule, facts: Facts, control: ControlView) -> Verdict:
    is_known = row.state is not UNKNOWN
    rule_confidence = (
        compute_confidence(row.strength, control.age_us, alone=row.needs_no_control)
        if is_known
        else 0.0
    )
    return Verdict(
        state=row.state,
        rule=row.id,
        layer=row.layer,
        method=_fill_method(row, facts),
        confidence=rule_confidence,
        evidence=row.evidence(facts),
    )


def _fill_method(row: ComparisonRule, facts: Facts) -> str:
    """Replace `{hop}` in a method by the number of the fact `hop=NUMBER`."""
    hop = next((fact.partition("=")[2] for fact in facts if fact.startswith("hop=")), "")
    return row.method.replace("{hop}", hop)


def find_precondition(record: ReceivedMeasurement, control: ControlView) -> Rule | None:
    """Return the rule that rules out any comparison, or None if comparison is valid."""
    if record.measurement.not_measured:
        return PRECONDITION_BY_FEATURE[Feature.NOT_MEASURED]
    if not record.measurement.observations:
        return PRECONDITION_BY_FEATURE[Feature.NO_STEPS]
    if record.link is not Link.ONLINE:
        return PRECONDITION_BY_FEATURE[FEATURE_BY_LINK[record.link]]
    if control.measurement is None or control.age_us is None:
        return PRECONDITION_BY_FEATURE[Feature.CONTROL_MISSING]
    if control.link is not Link.ONLINE:
        return PRECONDITION_BY_FEATURE[Feature.CONTROL_NOT_ONLINE]
    return PRECONDITION_BY_FEATURE[Feature.CONTROL_STALE] if control.age_us > FRESH_US else None


def find_interrupted(measurement: Measurement) -> tuple[int, ...]:
    """Return the indices of observations that the agent's side interrupted."""
    return tuple(
        index for index, x in select_observations(measurement) if x.failure is Failure.INTERRUPTED
    )


def select_observations(
    measurement: Measurement, label: str | None = None
) -> list[tuple[int, Observation]]:
    """Return (index, observation) of one endpoint, or of all when `label` is None."""
    indexed = enumerate(measurement.observations)
    return [(i, x) for i, x in indexed if label is None or x.endpoint == label]


def prefix_facts(prefix: str, facts: Mapping[str, tuple[int, ...]]) -> Facts:
    """Rename the control's facts and drop their indices.

    The indices refer to the control's observations, not to those of the judged measurement.
    """
    return {f"{prefix}{fact}": () for fact in facts}
