"""Coverage gaps of a running collector, as the public and the operator read them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from heliograph_collector.detect.judge_lag import GAP_REASON, JudgeLag
from heliograph_collector.detect.silence.detector import CoverageGap
from heliograph_collector.model.records import BlindTime

BEFORE_START = "before_start"  # the collector did not exist yet
_OpenGap = tuple[int, str, str]  # since, reason, country


class GapSource(Protocol):
    """The gaps of the detectors; by engine.DetectorEngine."""

    def coverage_gaps(self) -> Sequence[CoverageGap]: ...
    def open_coverage_gaps(self) -> Iterator[_OpenGap]: ...


@dataclass(slots=True)
class CoverageRecord:
    """The gaps as of the last evaluation, and when coverage began at all."""

    began_us: int = 0
    _past: tuple[CoverageGap, ...] = ()
    _current: tuple[_OpenGap, ...] = ()
    _has_evaluated: bool = False

    def update(self, source: GapSource, judge_lag: JudgeLag) -> list[BlindTime]:
        """Take up the gaps and return the new ones; none at the first evaluation."""
        is_first = not self._has_evaluated
        self._has_evaluated = True
        since_us = judge_lag.gap_since_us
        judging = [] if since_us is None else [(since_us, GAP_REASON, "")]
        past = tuple(source.coverage_gaps())
        current = (*source.open_coverage_gaps(), *judging)
        if (past, current) == (self._past, self._current):
            return []
        earlier_gaps: set[object] = {*self._past, *self._current}
        self._past = past
        self._current = current
        return [b for gap, b in self._iterate() if not is_first and gap not in earlier_gaps]

    def list_gaps(self, since_us: int, until_us: int) -> list[BlindTime]:
        """List gaps of a window, oldest first; `until_us` None: still open."""
        gaps = [
            gap
            for _, gap in self._iterate()
            if gap.since_us < until_us and (gap.until_us is None or gap.until_us > since_us)
        ]
        if since_us < self.began_us:
            gaps.append(BlindTime(since_us=since_us, until_us=self.began_us, reason=BEFORE_START))
        return sorted(gaps, key=attrgetter("since_us", "country"))

    def _iterate(self) -> Iterator[tuple[object, BlindTime]]:
        for past in self._past:
            yield past, _build_gap(past.since_us, past.until_us, past.why, past.country)
        for current in self._current:
            since_us, reason, country = current
            yield current, _build_gap(since_us, None, reason, country)


def _build_gap(since_us: int, until_us: int | None, reason: str, country: str) -> BlindTime:
    return BlindTime(since_us=since_us, until_us=until_us, reason=reason, country=country)
