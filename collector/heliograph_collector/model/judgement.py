"""Measurements with their verdicts: as they are stored, and as pages of a list."""

from dataclasses import dataclass

from heliograph_collector.model.records import JudgedMeasurement, ReceivedMeasurement, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdicts of a measurement; a higher `number` replaces a lower one."""

    measurement: ReceivedMeasurement
    verdicts: tuple[Verdict, ...]
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementPage:
    items: tuple[JudgedMeasurement, ...]  # newest first
    next: str = ""  # the cursor of the next page, "" at the end
