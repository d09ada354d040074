"""One source of a cell: its drop test, and the steps around its drop."""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from heliograph.units import HOUR_US
from heliograph_collector.detect.level.drop_test import DropStage, DropTest
from heliograph_collector.model.level import LevelReading

ROUTES = "bgp"
PROBES = "ping-slash24"
TELESCOPES = ("merit-nt", "ucsd-nt")
REQUESTS = ("gtr", "mozilla")  # what the names of these begin with
_MAX_SKIPPED = 10_000  # unknown steps between two readings that are kept; assumed
_RECENT_US = 6 * HOUR_US  # as far back as other sources are compared; assumed


class RecentStep(NamedTuple):
    """What a known step had lost of its usual level."""

    until_us: int
    lost_share: float


def find_publisher(source: str) -> str:
    """Return the publisher of a source; `gtr`, `gtr-norm` and `gtr.maps` are Google's."""
    return REQUESTS[0] if source.startswith(REQUESTS[0]) else source.partition(".")[0]


@dataclass(slots=True)
class SourceLevel:
    """One source of a cell: its test and the steps around its drop."""

    test: DropTest
    next_us: int  # start of the step that comes next
    well_us: int  # start of the last step that was well
    low_us: int = 0  # end of the first low step
    back_us: int = 0  # start of the first well step after it
    known_us: int = 0  # end of the last known step
    recent: deque[RecentStep] = field(default_factory=deque)  # known ones of the last hours

    def skip_to(self, at_us: int) -> None:
        """Add unknown steps up to a reading; a gap of a month leaves no past."""
        step_us = self.test.habit.step_us
        for _ in range(min((at_us - self.next_us) // step_us, _MAX_SKIPPED)):
            self.test.observe(None)
        self.next_us = at_us

    def observe(self, reading: LevelReading, value: float | None) -> DropStage:
        before = self.test.score
        stage = self.test.observe(value)
        self.next_us = reading.until_us
        if stage is DropStage.UNKNOWN:
            return stage
        self.known_us = reading.until_us
        self._keep_recent(reading.until_us)
        if self.test.well_steps == 0:
            self.low_us = self.low_us if before else reading.until_us
        elif self.test.well_steps == 1:
            self.back_us = reading.at_us
        if stage is DropStage.WELL and not self.test.score:
            self.well_us = reading.at_us
        return stage

    def list_recent(self, since_us: int) -> list[RecentStep]:
        """Return the known steps that ended after a time."""
        return [step for step in self.recent if step.until_us > since_us]

    def _keep_recent(self, until_us: int) -> None:
        self.recent.append(RecentStep(until_us, self.test.lost_share))
        while self.recent[0].until_us <= until_us - _RECENT_US:
            self.recent.popleft()
