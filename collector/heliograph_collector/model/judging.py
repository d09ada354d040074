"""Protocol of the function that judges a measurement, and handling of its bugs."""

from typing import Protocol

from heliograph_collector.model.records import (
    ControlView,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
)

# Exceptions of a rule that meets a measurement it was not written for.
RULE_BUGS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
NOT_JUDGED = Verdict(state=VerdictState.UNKNOWN, rule="writer.not_judged")  # in place of its result


class Judge(Protocol):
    """Judge one measurement against its control. Implemented by judge.judge."""

    def __call__(
        self, record: ReceivedMeasurement, control: ControlView, /
    ) -> tuple[Verdict, ...]: ...
