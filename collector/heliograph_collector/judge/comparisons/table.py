"""Comparisons: small decision tables over the endpoints of one experiment.

The rules (`rules/`) judge one endpoint at a time. Some experiments show a difference between two
endpoints only: a name and a neutral one, UDP and TCP. A comparison reduces such a measurement, and
the control's of the same, to facts, each with the observations that show it; the first rule whose
facts are there gives the verdict.
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
Facts = dict[str, tuple[int, ...]]  # what is true, and the observations that show it
PRECONDITION_BY_FEATURE = {
    sign: rule for rule in (*NOT_RUN_CHECKS, *LINK_CHECKS, *CONTROL_CHECKS) for sign in rule.needs
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRule:
    """One rule: it holds when all facts of `needs` and none of `lacks` are there; its id stays."""

    id: str
    state: VerdictState
    says: str
    strength: float = 0.0
    needs: str = ""  # facts, separated by blanks
    lacks: str = ""
    layer: str = ""
    method: str = ""
    needs_no_control: bool = False  # proves itself, whatever link and control were

    def matches(self, facts: Facts) -> bool:
        return all(w in facts for w in self.needs.split()) and not any(
            w in facts for w in self.lacks.split()
        )

    def evidence(self, facts: Facts) -> tuple[int, ...]:
        return tuple(sorted({index for w in self.needs.split() for index in facts[w]}))


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rules of one experiment; `extract_facts` gets the control only where it counts."""

    experiment: str
    extract_facts: Callable[[Measurement, Measurement | None], Facts]
    rules: tuple[ComparisonRule, ...]

    def decide(self, record: ReceivedMeasurement, control: ControlView) -> Verdict:
        """The one verdict, of the whole. Blocked needs link and control, and no interruption."""
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
    """`{hop}` in a method is the number that the fact `hop=…` carries."""
    hop = next((fact.partition("=")[2] for fact in facts if fact.startswith("hop=")), "")
    return row.method.replace("{hop}", hop)


def find_precondition(record: ReceivedMeasurement, control: ControlView) -> Rule | None:
    """The reason, if there is one, why no difference between endpoints says anything."""
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
    """The observations that somebody stopped on this side."""
    return tuple(
        index for index, x in select_observations(measurement) if x.failure is Failure.INTERRUPTED
    )


def select_observations(
    measurement: Measurement, label: str | None = None
) -> list[tuple[int, Observation]]:
    """Observations with their indices, of one endpoint or of all."""
    indexed = enumerate(measurement.observations)
    return [(i, x) for i, x in indexed if label is None or x.endpoint == label]


def prefix_facts(prefix: str, facts: Mapping[str, tuple[int, ...]]) -> Facts:
    """The same facts of the control, which has no observations here to show."""
    return {f"{prefix}{fact}": () for fact in facts}
