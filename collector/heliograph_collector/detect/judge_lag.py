"""Lag of the judge: how long the oldest result has waited for its verdict.

While a result waits longer than `MAX_WAIT_US`, blocks that it shows are not known, and the absence
of an incident means nothing. That time is a coverage gap, from the arrival of that result on.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.detect.silence.detector import CoverageGap
from heliograph_collector.model.records import JournalRow, RowKind

GAP_REASON = "judging"
MAX_WAIT_US = MINUTE_US  # detect/README.md, "Behind"; assumed
_GROUP_US = 5 * SECOND_US  # results that came within it are one entry, which bounds memory; assumed


@dataclass(slots=True)
class _WaitingRows:
    """Results that arrived together, by their journal positions."""

    last: int
    received_us: int


@dataclass(slots=True)
class JudgeLag:
    """The results that wait, and the gap while they wait too long."""

    started_us: int  # of this process: what came before it may be judged
    lag_us: int = 0
    gap_since_us: int | None = None
    _judged_through: int = 0
    _waiting: deque[_WaitingRows] = field(default_factory=deque)

    def note_rows(self, rows: Iterable[JournalRow]) -> None:
        """Note results that the judge may not have read yet."""
        for row in rows:
            if row.kind is not RowKind.ENVELOPE or row.position <= self._judged_through:
                continue
            received_us = max(row.received_us, self.started_us)
            if self._waiting and received_us - self._waiting[-1].received_us < _GROUP_US:
                self._waiting[-1].last = row.position
            else:
                self._waiting.append(_WaitingRows(row.position, received_us))

    def note_judged(self, position: int) -> None:
        """Note that all rows up to a position are judged."""
        self._judged_through = max(position, self._judged_through)
        while self._waiting and self._waiting[0].last <= self._judged_through:
            self._waiting.popleft()

    def update(self, now_us: int) -> CoverageGap | None:
        """Measure the lag; return the gap that ends now, if one does."""
        oldest_us = self._waiting[0].received_us if self._waiting else now_us
        self.lag_us = max(0, now_us - oldest_us)
        if self.lag_us > MAX_WAIT_US:
            if self.gap_since_us is None:
                self.gap_since_us = oldest_us
            return None
        if self.gap_since_us is None:
            return None
        gap = CoverageGap(self.gap_since_us, now_us, GAP_REASON)
        self.gap_since_us = None
        return gap

    def measure_s(self) -> float:
        return self.lag_us / SECOND_US

    def problems(self) -> list[str]:
        if self.lag_us <= MAX_WAIT_US:
            return []
        minutes = self.lag_us // MINUTE_US
        return [f"Judging is {minutes} min behind: blocks may go unnoticed until it has caught up."]
