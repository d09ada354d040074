"""What a rule is: one row of the decision table."""

from dataclasses import dataclass

from heliograph.failure import Failure
from heliograph.failure import Operation as Op
from heliograph_collector.judge.failure_semantics import LAYERS, method_of
from heliograph_collector.judge.feature_names import Sign
from heliograph_collector.judge.features import Case
from heliograph_collector.model.records import State

UNKNOWN, REACHABLE, BLOCKED, DOWN = State.UNKNOWN, State.REACHABLE, State.BLOCKED, State.DOWN


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. It holds when all of `needs` are there, none of `lacks`, and the step fits."""

    id: str
    state: State
    says: str
    strength: float = 0.0  # of the evidence, before the control's age is weighed in
    step: Op | None = None  # the step that failed
    word: Failure | None = None  # and how
    needs: frozenset[Sign] = frozenset()
    lacks: frozenset[Sign] = frozenset()
    method: str = ""  # "" is the method of step and word
    layer: str = ""  # "" is the layer of the step
    backed: tuple[Sign, float] | None = None  # a further sign, and the strength that it lends
    alone: bool = False  # stands without any control

    def holds(self, case: Case) -> bool:
        """Whether this row is the case's."""
        if not self.needs <= case.signs or self.lacks & case.signs:
            return False
        if self.step is None:
            return True
        failing = case.failing
        if failing is None or failing.operation is not self.step:
            return False
        return self.word is None or failing.failure is self.word

    def layer_of(self, case: Case) -> str:
        if self.layer or self.state in (UNKNOWN, REACHABLE) or case.failing is None:
            return self.layer
        return LAYERS[case.failing.operation]

    def method_for(self, case: Case) -> str:
        if self.method or self.state in (UNKNOWN, REACHABLE) or case.failing is None:
            return self.method
        return method_of(case.failing.operation, case.failing.failure)

    def strength_in(self, case: Case) -> float:
        if self.backed is not None and self.backed[0] in case.signs:
            return self.backed[1]
        return self.strength


def signs(*wanted: Sign) -> frozenset[Sign]:
    """A set, in a form that reads well in a row."""
    return frozenset(wanted)
