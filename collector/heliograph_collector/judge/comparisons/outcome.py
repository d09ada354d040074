"""How one endpoint of a reading fared: it got where it was to get, or failed, and where and how."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from heliograph.failure import Failure, Operation
from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.table import Words
from heliograph_collector.judge.endpoint_view import Attempt, Step, sight
from heliograph_collector.judge.failure_semantics import DEPTH


@dataclass(frozen=True, slots=True)
class Outcome:
    """`failure` None is success. `evidence` are the observations that decide it."""

    operation: Operation
    failure: Failure | None
    method: str  # as in meaning.py, of the failure
    addresses: frozenset[str]
    evidence: tuple[int, ...]

    @property
    def passed(self) -> bool:
        return self.failure is None

    def at_one_of(self, other: "Outcome") -> bool:
        """Whether all of its addresses are known, and are the other's too."""
        return "" not in self.addresses and self.addresses <= other.addresses


def outcome(
    measurement: Measurement,
    label: str,
    goal: Operation,
    answers: Collection[Failure] = (),
) -> Outcome | None:
    """None when nothing conclusive is there: nothing tried, local trouble, IPv6 alone.

    `answers` are failures of the goal's step that show that the server was reached all the same.
    One success is enough; a failure counts when every connection failed.
    """
    attempts = sight(measurement.observations, label).attempts
    done = [(a, s) for a in attempts if (s := _reached(a, goal, answers)) is not None]
    if done:
        return Outcome(
            goal, None, "", frozenset(a.address for a, _ in done), tuple(s.index for _, s in done)
        )
    if any(s.local for a in attempts for s in a.steps):
        return None
    return _failed([(a, s) for a in attempts if (s := a.failed) is not None and not a.ipv6])


def _reached(attempt: Attempt, goal: Operation, answers: Collection[Failure]) -> Step | None:
    step = attempt.step(goal)
    good = step is not None and (step.ok or step.seen.failure in answers)
    return step if good else None


def _failed(failed: list[tuple[Attempt, Step]]) -> Outcome | None:
    if not failed:
        return None
    depth = max(DEPTH[s.operation] for _, s in failed)
    deepest = [(a, s) for a, s in failed if DEPTH[s.operation] == depth]
    ways = Counter((s.operation, s.seen.failure, s.method) for _, s in deepest)
    operation, failure, method = ways.most_common(1)[0][0]
    return Outcome(
        operation,
        failure,
        method,
        frozenset(a.address for a, _ in deepest),
        tuple(s.index for _, s in deepest),
    )


def told(name: str, found: Outcome | None, goal: Operation) -> Words:
    """`NAME_passed`; or `NAME_failed` and, where it failed at the goal itself, `NAME:METHOD`."""
    if found is None:
        return {}
    if found.passed:
        return {f"{name}_passed": found.evidence}
    words: Words = {f"{name}_failed": found.evidence}
    if found.operation is goal:
        words[f"{name}:{found.method}"] = found.evidence
    elif found.operation is Operation.CONNECT:
        words[f"{name}_unconnected"] = found.evidence
    return words
