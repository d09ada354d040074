"""Level readings: counts of a cell over time, by the collector or public series."""

from dataclasses import dataclass

from heliograph_collector.model.scope import Scope


@dataclass(frozen=True, slots=True)
class LevelReading:
    """Level of a cell over a step, such as answering addresses; None is unknown."""

    at_us: int  # start of the step
    step_us: int
    scope: Scope
    source: str
    value: float | None

    @property
    def until_us(self) -> int:
        """Return the end of the step, when the value can be known."""
        return self.at_us + self.step_us
