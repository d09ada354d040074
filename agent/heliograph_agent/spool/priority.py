"""Classify results by what they are worth when room is short."""

from collections import OrderedDict
from enum import IntEnum

from heliograph.failure import Failure
from heliograph.observation import Measurement


class SpoolError(Exception):
    """An operation failed; str() is a sentence with the cure. What was committed is safe."""


class SpoolFullError(SpoolError):
    """There is no room on the disk or within the bound, and nothing of less worth to drop."""


class BoundError(Exception):
    """Inside a transaction: the room left is reserved for results of higher priority."""


class SealError(Exception):
    """Inside a transaction: the caller's seal failed, not the disk under the spool."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


MAX_REMEMBERED = 1_024  # tests whose last outcome is kept

_Test = tuple[str, str, str]
_Outcome = frozenset[tuple[str, str, str]]


class Priority(IntEnum):
    """Worth of a result; smaller is worth more. P0 and P1 are never dropped."""

    P0 = 0  # liveness: that the agent was up, and how its link was
    P1 = 1  # a state changed, with the evidence
    P2 = 2  # something failed
    P3 = 3  # routine


class PriorityClassifier:
    """Tell a change from a repeat by each test's previous outcome."""

    def __init__(self) -> None:
        self._last_outcomes: OrderedDict[_Test, _Outcome] = OrderedDict()

    def classify(self, measurement: Measurement, planned: Priority) -> Priority:
        """Return `planned`, or better for a new or failed outcome; ignore interrupted work."""
        if measurement.not_measured or _is_interrupted(measurement):
            return planned
        test = (measurement.experiment, measurement.service, measurement.target)
        outcome = _test_outcome(measurement)
        previous = self._last_outcomes.pop(test, None)
        self._last_outcomes[test] = outcome
        if len(self._last_outcomes) > MAX_REMEMBERED:
            self._last_outcomes.popitem(last=False)
        if outcome != previous:
            return min(planned, Priority.P1)
        return min(planned, Priority.P2) if any(failure for *_, failure in outcome) else planned


def _test_outcome(measurement: Measurement) -> _Outcome:
    return frozenset(
        (x.endpoint, x.operation.value, x.failure.value if x.failure else "")
        for x in measurement.observations
    )


def _is_interrupted(measurement: Measurement) -> bool:
    return any(x.failure is Failure.INTERRUPTED for x in measurement.observations)
