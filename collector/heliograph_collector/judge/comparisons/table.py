"""What a reading is: a small decision table over the endpoints of one experiment.

The ladder (`rules/`) judges one endpoint at a time. Some experiments say what they have to say only
in the difference between two endpoints: a name and a neutral one, UDP and TCP. A reading reduces
such a measurement, and the control's of the same, to words, each with the observations that show
it; the first row of its table whose words are there gives the verdict.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from heliograph.failure import Failure
from heliograph.observation import Link, Measurement, Observation
from heliograph_collector.judge.confidence import confidence
from heliograph_collector.judge.feature_names import Sign
from heliograph_collector.judge.features import FRESH_US, LINKS
from heliograph_collector.judge.rules.preconditions import CONTROL, LINK, NOT_RUN
from heliograph_collector.judge.rules.rule import Rule
from heliograph_collector.model.records import ControlView, State, Taken, Verdict

UNKNOWN, REACHABLE, BLOCKED = State.UNKNOWN, State.REACHABLE, State.BLOCKED
Words = dict[str, tuple[int, ...]]  # what is true, and the observations that show it
GATES = {sign: rule for rule in (*NOT_RUN, *LINK, *CONTROL) for sign in rule.needs}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """It holds when all words of `needs` are there and none of `lacks`; its id is permanent."""

    id: str
    state: State
    says: str
    strength: float = 0.0
    needs: str = ""  # words, parted by blanks
    lacks: str = ""
    layer: str = ""
    method: str = ""
    alone: bool = False  # proves itself, whatever link and control were

    def holds(self, words: Words) -> bool:
        return all(w in words for w in self.needs.split()) and not any(
            w in words for w in self.lacks.split()
        )

    def evidence(self, words: Words) -> tuple[int, ...]:
        return tuple(sorted({index for w in self.needs.split() for index in words[w]}))


@dataclass(frozen=True, slots=True)
class Reading:
    """`words` sees both measurements, the control's only where it counts."""

    experiment: str
    words: Callable[[Measurement, Measurement | None], Words]
    rows: tuple[Row, ...]

    def verdict(self, taken: Taken, control: ControlView) -> Verdict:
        """The one verdict, of the whole. Blocked needs link and control, and no interruption."""
        gate = gate_of(taken, control)
        words = self.words(taken.measurement, None if gate else control.measurement)
        held = [row for row in self.rows if row.holds(words)]
        proof = next((row for row in held if row.alone), None)
        if proof is not None and not taken.measurement.not_measured:
            return _verdict(proof, words, control)
        if gate is not None:
            return Verdict(state=gate.state, rule=gate.id)
        stopped = interrupted(taken.measurement)
        if stopped and (not held or held[0].state is BLOCKED or not held[0].needs):
            rule, evidence = "none.interrupted", stopped
        elif held:
            return _verdict(held[0], words, control)
        else:
            rule, evidence = "none.doubt", ()
        return Verdict(state=UNKNOWN, rule=rule, evidence=evidence)


def _verdict(row: Row, words: Words, control: ControlView) -> Verdict:
    known = row.state is not UNKNOWN
    sure = confidence(row.strength, control.age_us, alone=row.alone) if known else 0.0
    return Verdict(
        state=row.state,
        rule=row.id,
        layer=row.layer,
        method=_method(row, words),
        confidence=sure,
        evidence=row.evidence(words),
    )


def _method(row: Row, words: Words) -> str:
    """`{hop}` in a method is the number that the word `hop=…` carries."""
    hop = next((word.partition("=")[2] for word in words if word.startswith("hop=")), "")
    return row.method.replace("{hop}", hop)


def gate_of(taken: Taken, control: ControlView) -> Rule | None:
    """The reason, if there is one, why no difference between endpoints says anything."""
    if taken.measurement.not_measured:
        return GATES[Sign.NOT_MEASURED]
    if not taken.measurement.observations:
        return GATES[Sign.NO_STEPS]
    if taken.link is not Link.ONLINE:
        return GATES[LINKS[taken.link]]
    if control.measurement is None or control.age_us is None:
        return GATES[Sign.CONTROL_MISSING]
    if control.link is not Link.ONLINE:
        return GATES[Sign.CONTROL_NOT_ONLINE]
    return GATES[Sign.CONTROL_STALE] if control.age_us > FRESH_US else None


def interrupted(measurement: Measurement) -> tuple[int, ...]:
    """The observations that somebody stopped on this side."""
    return tuple(index for index, x in labelled(measurement) if x.failure is Failure.INTERRUPTED)


def labelled(measurement: Measurement, label: str | None = None) -> list[tuple[int, Observation]]:
    """Observations with their indices, of one endpoint or of all."""
    seen = enumerate(measurement.observations)
    return [(i, x) for i, x in seen if label is None or x.endpoint == label]


def prefixed(prefix: str, words: Mapping[str, tuple[int, ...]]) -> Words:
    """The same words said of the control, who has no observations here to show."""
    return {f"{prefix}{word}": () for word in words}
