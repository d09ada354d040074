"""The function that judges a measurement, as its callers see it."""

from typing import Protocol

from heliograph_collector.model.records import ControlView, ReceivedMeasurement, Verdict


class Judge(Protocol):
    """Judge one measurement against its control. Implemented by judge.judge."""

    def __call__(
        self, record: ReceivedMeasurement, control: ControlView, /
    ) -> tuple[Verdict, ...]: ...
