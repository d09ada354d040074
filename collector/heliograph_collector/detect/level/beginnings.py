"""How series begin: whether one is too short to judge, or may begin within a drop.

What is usual is learned from a series itself, so a drop in which it begins is its habit. That is
not found, but can be said: its first values are far below those of its best day at the same hours.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from heliograph.timestamps import format_timestamp
from heliograph.units import DAY_US
from heliograph_collector.detect.level.habit import LEAST_VALUES
from heliograph_collector.model.level import LevelReading
from heliograph_collector.model.scope import Scope

LOW_SHARE = 0.5  # of the best day, below which a beginning may be a drop; assumed


@dataclass(frozen=True, slots=True)
class DoubtfulBeginning:
    """A series of which nothing, or not the beginning, can be judged."""

    source: str
    scope: Scope
    since_us: int
    values: int
    share: float  # of its best day, at which it begins

    @property
    def is_short(self) -> bool:
        return self.values <= LEAST_VALUES

    def describe(self) -> str:
        """Say what cannot be judged, and the cure."""
        scope = self.scope
        place = (scope.country, scope.region, f"AS{scope.asn}" * bool(scope.asn))
        name = f"{'/'.join(filter(None, place))} ({self.source})"
        if self.is_short:
            return f"{name}: {self.values} values are too few to judge any."
        return (
            f"{name}: begins on {format_timestamp(self.since_us)[:16]} at {self.share:.0%} of its "
            "best day. It may begin within a drop, which would be taken for usual: give a series "
            "that begins two weeks earlier."
        )


def find_doubtful_beginnings(readings: Iterable[LevelReading]) -> tuple[DoubtfulBeginning, ...]:
    """Find the series that are too short, or begin low; the order of readings is free."""
    series: defaultdict[tuple[str, Scope], list[LevelReading]] = defaultdict(list)
    for reading in readings:
        series[reading.source, reading.scope].append(reading)
    beginnings = (_build_beginning(*key, own) for key, own in sorted(series.items()))
    return tuple(b for b in beginnings if b.is_short or b.share < LOW_SHARE)


def _build_beginning(source: str, scope: Scope, own: list[LevelReading]) -> DoubtfulBeginning:
    known = sorted((r.at_us, r.value) for r in own if r.value is not None)
    since_us = min(reading.at_us for reading in own)
    by_day: defaultdict[int, list[float]] = defaultdict(list)
    beginning = known[:LEAST_VALUES]
    for at_us, value in known:
        day, clock_us = divmod(at_us - beginning[0][0], DAY_US)
        if clock_us <= beginning[-1][0] - beginning[0][0]:
            by_day[day].append(value)
    best = max((median(values) for values in by_day.values()), default=0.0)
    first = median([value for _, value in beginning]) if beginning else 0.0
    return DoubtfulBeginning(source, scope, since_us, len(known), first / best if best else 1.0)
