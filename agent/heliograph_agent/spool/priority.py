"""What a result is worth when room is short: the classes, and how a result gets its own."""

from collections import OrderedDict
from enum import IntEnum

from heliograph.failure import Failure
from heliograph.observation import Measurement


class SpoolError(Exception):
    """The spool did not do it; str() is a sentence with the cure. What was committed is safe."""


class SpoolFull(SpoolError):  # noqa: N818 - named as it is said
    """There is no room, on the disk or within the bound, and nothing of less worth left to thin."""


class BoundError(Exception):
    """Inside a transaction: what is left below the bound is kept for better results than this."""


class SealError(Exception):
    """Inside a transaction: the caller's seal failed, not the disk under the spool."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


MAX_REMEMBERED = 1_024  # tests whose last outcome is kept

_Test = tuple[str, str, str]
_Outcome = frozenset[tuple[str, str, str]]


class Priority(IntEnum):
    """Smaller is worth more. P0 and P1 are never dropped, whatever the age."""

    P0 = 0  # liveness: that the agent was up, and how its link was
    P1 = 1  # a state changed, with the evidence
    P2 = 2  # something failed
    P3 = 3  # routine


class Triage:
    """Tells a change from a repeat by the outcome each test had before."""

    def __init__(self) -> None:
        self._last: OrderedDict[_Test, _Outcome] = OrderedDict()

    def priority(self, measurement: Measurement, planned: Priority) -> Priority:
        """`planned`, or better when the outcome is new or bad. Interrupted work says nothing."""
        if measurement.not_measured or _interrupted(measurement):
            return planned
        test = (measurement.experiment, measurement.service, measurement.target)
        outcome = _outcome(measurement)
        before = self._last.pop(test, None)
        self._last[test] = outcome
        if len(self._last) > MAX_REMEMBERED:
            self._last.popitem(last=False)
        if outcome != before:
            return min(planned, Priority.P1)
        return min(planned, Priority.P2) if any(failure for *_, failure in outcome) else planned


def _outcome(measurement: Measurement) -> _Outcome:
    return frozenset(
        (x.endpoint, x.operation.value, x.failure.value if x.failure else "")
        for x in measurement.observations
    )


def _interrupted(measurement: Measurement) -> bool:
    return any(x.failure is Failure.INTERRUPTED for x in measurement.observations)
