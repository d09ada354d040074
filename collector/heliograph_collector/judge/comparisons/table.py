"""Comparisons: small decision tables over the endpoints of one experiment.

The rules (`rules/`) judge one endpoint at a time. Some experiments show interference only as a
difference between two endpoints: a name and a neutral name, or UDP and TCP. A comparison reduces
the measurement and its control to facts, each with the observations that show it. The first rule
whose facts are present gives the verdict.
"""

from collections.abc import Set
from dataclasses import dataclass

from heliograph.failure import Failure
from heliograph.observation import Link, Measurement, Observation
from heliograph_collector.judge.confidence import STALE_US, compute_confidence
from heliograph_collector.judge.control_looks import is_fresh
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.features import FEATURE_BY_LINK
from heliograph_collector.judge.rules.preconditions import (
    CONTROL_CHECKS,
    LINK_CHECKS,
    NOT_RUN_CHECKS,
)
from heliograph_collector.judge.rules.rule import BLOCKED, UNKNOWN, Rule
from heliograph_collector.model.records import (
    ControlView,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
)

Facts = dict[str, tuple[int, ...]]  # fact: indices of the observations that show it
PRECONDITION_BY_FEATURE = {
    sign: rule for rule in (*NOT_RUN_CHECKS, *LINK_CHECKS, *CONTROL_CHECKS) for sign in rule.needs
}


@dataclass(frozen=True, slots=True)
class ComparisonRule:
    """Rule that holds when all facts of `needs` and none of `lacks` are present."""

    id: str
    state: VerdictState
    says: str
    strength: float = 0.0  # assumed
    needs: str = ""  # facts, separated by spaces
    lacks: str = ""
    layer: str = ""
    method: str = ""
    needs_no_control: bool = False  # proves itself, whatever the states of link and control

    def matches(self, facts: Facts) -> bool:
        needs = set(self.needs.split())
        if not needs <= facts.keys() or not facts.keys().isdisjoint(self.lacks.split()):
            return False
        return self.state is not BLOCKED or facts.keys().isdisjoint(_list_contradictions(needs))

    def evidence(self, facts: Facts) -> tuple[int, ...]:
        return tuple(sorted({index for w in self.needs.split() for index in facts[w]}))


def _list_contradictions(needs: Set[str]) -> set[str]:
    """List facts that contradict needed passes: failures of another control.

    A visit or a look after the measurement may show that the server failed for everybody.
    """
    passes = (fact for fact in needs if fact.startswith("control_") and fact.endswith("_passed"))
    return {f"{fact.removesuffix('_passed')}_failed" for fact in passes}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rules of one experiment; a subclass collects their facts."""

    experiment: str
    rules: tuple[ComparisonRule, ...]

    def collect_facts(self, measurement: Measurement) -> Facts:
        """Collect the facts of one side; `extract_facts` combines both sides."""
        raise NotImplementedError

    def extract_facts(self, measurement: Measurement, control: Measurement | None) -> Facts:
        """Extract the facts; `control` is None unless the preconditions hold.

        The control's facts get the prefix `control_` and lose their indices, which refer to the
        control's observations.
        """
        control_facts = self.collect_facts(control) if control else {}
        return self.collect_facts(measurement) | {f"control_{fact}": () for fact in control_facts}

    def extract_look_facts(self, measurement: Measurement, look: Measurement) -> Facts:
        """Extract the facts that a further look of a control adds, a visit above all."""
        return {}

    def decide(self, record: ReceivedMeasurement, control: ControlView) -> Verdict:
        """Return the verdict on the whole; `blocked` needs link, control, no interruption."""
        precondition = find_precondition(record, control)
        compared = None if precondition else control.measurement
        facts = self.extract_facts(record.measurement, compared)
        for look in control.looks if compared else ():
            if is_fresh(look.age_us, look.link):
                facts |= self.extract_look_facts(record.measurement, look.measurement)
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
            return Verdict(state=UNKNOWN, rule="none.interrupted", evidence=interrupted_indices)
        if not matching:
            return Verdict(state=UNKNOWN, rule="none.doubt")
        return _build_verdict(matching[0], facts, control)


def _build_verdict(row: ComparisonRule, facts: Facts, control: ControlView) -> Verdict:
    return Verdict(
        state=row.state,
        rule=row.id,
        layer=row.layer,
        method=_fill_method(row, facts),
        confidence=compute_confidence(row.strength, control.age_us, alone=row.needs_no_control),
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
    return PRECONDITION_BY_FEATURE[Feature.CONTROL_STALE] if control.age_us > STALE_US else None


def find_interrupted(measurement: Measurement, label: str | None = None) -> tuple[int, ...]:
    """Return the indices of an endpoint's steps that the agent's side interrupted."""
    return tuple(
        index
        for index, x in select_observations(measurement, label)
        if x.failure is Failure.INTERRUPTED
    )


def select_observations(
    measurement: Measurement, label: str | None = None
) -> list[tuple[int, Observation]]:
    """Return (index, observation) of one endpoint, or of all when `label` is None."""
    indexed = enumerate(measurement.observations)
    return [(i, x) for i, x in indexed if label is None or x.endpoint == label]
