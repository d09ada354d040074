"""Evidence of a source: a time series of values, or a list of reported outages."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from heliograph_collector.corroborate.incident import Entity


class Point(NamedTuple):
    """A value for the time from `at_us` until one step later."""

    at_us: int
    value: float


class Claim(NamedTuple):
    """An outage as the source reports it; `until_us` None: ongoing."""

    since_us: int
    until_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEvidence:
    source: str
    signal: str
    entity: Entity
    read_us: int
    url: str  # a page on which a reader sees the same data
    attribution: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesEvidence(SourceEvidence):
    """Points in order of time; a step without data has no point."""

    step_us: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsEvidence(SourceEvidence):
    claims: tuple[Claim, ...]


def select_points(series: SeriesEvidence, since_us: int, until_us: int) -> list[Point]:
    """Return the points whose step lies wholly within the window."""
    last_us = until_us - series.step_us
    return [point for point in series.points if since_us <= point.at_us <= last_us]


def sort_points(points: Iterable[Point]) -> tuple[Point, ...]:
    """Sort points by time; of several for one time the last one counts."""
    return tuple(Point(*each) for each in sorted(dict(points).items()))
