"""The judge with the operator's lists of fingerprints, in processes that watch a directory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from heliograph_collector.judge import judge
from heliograph_collector.judge.fingerprints.imported_lists import DIRECTORY
from heliograph_collector.judge.fingerprints.library import LIBRARY
from heliograph_collector.judge.writer import BlockAssessor
from heliograph_collector.model.records import (
    ControlView,
    JudgedMeasurement,
    ReceivedMeasurement,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class WatchingJudge:
    """Judge that uses the lists of a directory; it may be sent to another process."""

    directory: Path

    def __call__(self, record: ReceivedMeasurement, control: ControlView, /) -> tuple[Verdict, ...]:
        LIBRARY.watch(self.directory)
        return judge(record, control)


class WatchingAssessor:
    """Assessor that takes up changed lists before each block of measurements."""

    def __init__(self, assessor: BlockAssessor, data: Path) -> None:
        LIBRARY.watch(data / DIRECTORY)
        self._assessor = assessor

    def assess(self, block: Sequence[ReceivedMeasurement]) -> Sequence[JudgedMeasurement]:
        LIBRARY.refresh()
        return self._assessor.assess(block)
