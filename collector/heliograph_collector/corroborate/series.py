"""What was read from a source: a series of figures, or its own word on outages."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from heliograph_collector.corroborate.incident import Entity


class Point(NamedTuple):
    """`value` is of the time from `at_us` until a step later."""

    at_us: int
    value: float


class Claim(NamedTuple):
    """An outage as the source tells it; open while `until_us` is None."""

    since_us: int
    until_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEvidence:
    source: str
    signal: str
    entity: Entity
    read_us: int
    url: str  # where a reader sees the same
    attribution: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesEvidence(SourceEvidence):
    """Points in order of time; a moment without data has none."""

    step_us: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsEvidence(SourceEvidence):
    claims: tuple[Claim, ...]


def select_points(series: SeriesEvidence, since_us: int, until_us: int) -> list[Point]:
    """The points that lie wholly within."""
    last_us = until_us - series.step_us
    return [point for point in series.points if since_us <= point.at_us <= last_us]


def sort_points(points: Iterable[Point]) -> tuple[Point, ...]:
    """Sorted, each moment once: the last word on it counts."""
    return tuple(Point(*each) for each in sorted(dict(points).items()))
