"""Rule: one row of the decision table, and builders of rows with the same shape."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from heliograph.failure import Failure
from heliograph.failure import Operation as Op
from heliograph_collector.judge.failure_semantics import LAYER_BY_OPERATION, find_method
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.features import Features
from heliograph_collector.model.records import VerdictState

UNKNOWN = VerdictState.UNKNOWN
REACHABLE = VerdictState.REACHABLE
BLOCKED = VerdictState.BLOCKED
DOWN = VerdictState.DOWN


@dataclass(frozen=True, slots=True)
class Rule:
    """Rule that holds when all of `needs`, none of `lacks`, and the step are present."""

    id: str
    state: VerdictState
    says: str
    strength: float = 0.0  # of the evidence, before the control's age reduces it
    step: Op | None = None  # the step that failed
    failure: Failure | None = None  # the failure of that step, None for any
    needs: AbstractSet[Feature] = frozenset()
    lacks: AbstractSet[Feature] = frozenset()
    method: str = ""  # "" for the method of step and failure
    layer: str = ""  # "" for the layer of the step
    support: tuple[Feature, float] | None = None  # a supporting feature and the strength with it
    needs_no_control: bool = False  # holds without any control

    def matches(self, features: Features) -> bool:
        """Return whether this rule holds for these features."""
        if not self.needs <= features.present or self.lacks & features.present:
            return False
        if self.step is None:
            return True
        deciding_failure = features.deciding_failure
        if deciding_failure is None or deciding_failure.operation is not self.step:
            return False
        return self.failure is None or deciding_failure.failure is self.failure

    def select_layer(self, features: Features) -> str:
        if self.layer or self.state in (UNKNOWN, REACHABLE) or features.deciding_failure is None:
            return self.layer
        return LAYER_BY_OPERATION[features.deciding_failure.operation]

    def select_method(self, features: Features) -> str:
        if self.method or self.state in (UNKNOWN, REACHABLE) or features.deciding_failure is None:
            return self.method
        return find_method(features.deciding_failure.operation, features.deciding_failure.failure)

    def select_strength(self, features: Features) -> float:
        if self.support is not None and self.support[0] in features.present:
            return self.support[1]
        return self.strength


def doubt_rule(
    id_: str, says: str, *needs: Feature, lacks: AbstractSet[Feature] = frozenset()
) -> Rule:
    """Build a rule by which these features leave the verdict unknown."""
    return Rule(id_, UNKNOWN, says, needs=frozenset(needs), lacks=lacks)


def failed_step_rule(
    id_: str,
    step: Op,
    failure: Failure,
    strength: float,
    says: str,
    *needs: Feature,
    lacks: AbstractSet[Feature] = frozenset(),
    support: tuple[Feature, float] | None = None,
) -> Rule:
    """Build a rule by which a failure of a step that the control passed is blocking."""
    needed = frozenset((Feature.CONTROL_PASSED, *needs))
    return Rule(id_, BLOCKED, says, strength, step, failure, needed, lacks, support=support)
