"""Classify results by their worth when room is short."""

from collections import OrderedDict
from enum import IntEnum
from typing import NamedTuple

from heliograph.failure import Failure
from heliograph.observation import Measurement


class SpoolError(Exception):
    """Report a failed operation; str() names the cure. Committed results are safe."""


class SpoolFullError(SpoolError):
    """Report a full disk or spool without results of less worth to drop."""


class BoundError(Exception):
    """Report within a transaction that the room left is for higher priorities."""


class SealError(Exception):
    """Report within a transaction that the caller's seal failed, not the disk."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


MAX_REMEMBERED = 1_024  # tests whose last outcome is remembered

_Test = tuple[str, str, str]
_Outcome = frozenset[tuple[str, str, str]]


class Priority(IntEnum):
    """Rank a result; a smaller value is worth more. P0 and P1 are never dropped."""

    P0 = 0  # liveness: that the agent was up, and how its link was
    P1 = 1  # a state changed, with the evidence
    P2 = 2  # something failed
    P3 = 3  # routine


class FreedRoom(NamedTuple):
    """Describe the effect of one step that made room."""

    runs: int  # results that are lost, or that only a summary counts from now on
    has_freed: bool  # whether any bytes were freed


class PriorityClassifier:
    """Distinguish a change from a repeat by each test's previous outcome."""

    def __init__(self) -> None:
        self._last_outcomes: OrderedDict[_Test, _Outcome] = OrderedDict()

    def classify(self, measurement: Measurement, planned: Priority) -> Priority:
        """Return `planned`, or a better priority for a new or failed outcome.

        Interrupted measurements are neither compared nor remembered. A round is worth as much as
        the best of its light checks.
        """
        return min(self._classify_part(part, planned) for part in measurement.list_parts())

    def _classify_part(self, measurement: Measurement, planned: Priority) -> Priority:
        steps = measurement.observations
        if measurement.not_measured or any(x.failure is Failure.INTERRUPTED for x in steps):
            return planned
        experiment = measurement.experiment + " light" * measurement.is_light
        test = (experiment, measurement.service, measurement.target)
        outcome = frozenset((x.endpoint, x.operation.value, x.failure or "") for x in steps)
        if measurement.is_light:  # another endpoint each time: only its failures compare
            outcome = frozenset(
                ("", operation, failed) for _, operation, failed in outcome if failed
            )
        previous = self._last_outcomes.pop(test, None)
        self._last_outcomes[test] = outcome
        if len(self._last_outcomes) > MAX_REMEMBERED:
            self._last_outcomes.popitem(last=False)
        if outcome != previous:
            return min(planned, Priority.P1)
        return min(planned, Priority.P2) if any(failure for *_, failure in outcome) else planned
