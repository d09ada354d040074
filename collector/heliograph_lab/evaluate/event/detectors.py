"""Detectors for imported events: level drops, and blocking in bins of an hour.

Theory of operation of level drops. The usual level at a step is the median at the same time of day
(half an hour or one step on either side) in the 14 days before. With fewer than 12 such values it
is the median of the last 24 hours, and with fewer than 12 of those the state is unknown. The spread
is the larger of the median and the mean absolute deviation, scaled to sigma, and at least 2 % of
the usual level. A step is low below 80 % of the usual level if it is also six spreads below it or
below half of the lowest of these values. A low step is suspected. Two in a row, or one below half
of the usual level, are confirmed. The drop ends with two steps in a row that are not low (a
suspected one with one step). Low steps enter the past as the usual level for at most 7 days, so
that a long drop does not become usual. All numbers are assumed.

A series counts addresses or queries, not vantages. An alarm names the source whose level fell, and
no number of observers. It is readable at the end of its step; the delay of the publisher is
unknown.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from operator import attrgetter
from statistics import fmean, median
from typing import NamedTuple

from heliograph.units import DAY_US, HOUR_US, SECOND_US
from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.incidents.incident import Incident, IncidentKind
from heliograph_collector.model.signals import ServiceVote
from heliograph_collector.model.thresholds import THRESHOLDS
from heliograph_collector.sources.replay import Alarm, Replay, Series
from heliograph_collector.sources.replay import Kind as AlarmKind

HOURLY = replace(THRESHOLDS, bin_s=3_600.0, fresh_s=10_800.0)  # assumed


def detect_hourly(replay: Replay) -> Sequence[Alarm]:
    """Detect blocking in irregular measurements, such as OONI's.

    It is the live detector with bins of an hour and votes of three hours. With bins of a minute,
    hourly runs would be in different bins. Suspected and confirmed alarms come at the end of their
    hour.
    """
    if not replay.opinions:
        return ()
    since_us = replay.since_us // HOUR_US * HOUR_US
    until_us = -(-replay.until_us // HOUR_US) * HOUR_US
    votes_by_service: defaultdict[str, list[ServiceVote]] = defaultdict(list)
    for vote in replay.opinions:
        votes_by_service[vote.service].append(vote)
    alarms = [
        alarm
        # One service at a time, because there are many pages and each run reads all its votes.
        for service_votes in votes_by_service.values()
        for incident in detect_blocking(service_votes, since_us, until_us, HOURLY)
        for alarm in _hourly_alarms(incident)
    ]
    return sorted(alarms, key=attrgetter("at_us", "scope", "service"))


def _hourly_alarms(incident: Incident) -> Iterator[Alarm]:
    name: AlarmKind = "throttle" if incident.kind is IncidentKind.THROTTLING else "block"
    stages = [(False, incident.suspected_us)]
    stages += [(True, incident.confirmed_us)] if incident.confirmed_us is not None else []
    for is_confirmed, at_us in stages:
        for cell in incident.parts:
            yield Alarm(
                at_us=at_us,
                scope=cell.scope,
                service=incident.service,
                kind=name,
                started=(incident.started.earliest_us, incident.started.latest_us),
                ended_at_us=incident.closed_us,
                label=incident.label,
                confirmed=is_confirmed,
                layer=incident.layer,
            )


_HALF_HOUR_US = 1_800 * SECOND_US
_MAX_NEAR = 6  # intervals between values around a time of day, however fine the steps; assumed


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelConfig:
    days: int = 14
    least: int = 12
    share: float = 0.8
    half: float = 0.5
    spreads: float = 6.0
    floor: float = 0.02
    paint_days: float = 7.0


class LevelState(Enum):
    WELL = 1
    LOW = 2
    VERY_LOW = 3
    UNKNOWN = 4


class Drop(NamedTuple):
    """A drop by step numbers; `well` is the last well step, or `first` if unknown."""

    well: int
    first: int
    confirmed: int | None
    back: int | None  # the first well step after it


def detect_level_drops(replay: Replay) -> Sequence[Alarm]:
    """Detect drops in every series of the replay."""
    alarms = [alarm for series in replay.series for alarm in _alarms(series)]
    return sorted(alarms, key=attrgetter("at_us", "scope", "layer"))


def classify_steps(series: Series, config: LevelConfig = LevelConfig()) -> Iterator[LevelState]:
    """Yield the state of each step."""
    history = _LevelHistory(series.step_us, config)
    painted = 0
    most = config.paint_days * DAY_US / series.step_us
    for value in series.values:
        usual = history.usual()
        state = _classify_value(value, usual, config)
        is_low = state in (LevelState.LOW, LevelState.VERY_LOW)
        painted = painted + 1 if is_low else 0
        history.add(usual[0] if usual is not None and is_low and painted <= most else value)
        yield state


def _classify_value(
    value: float | None, usual: tuple[float, float] | None, config: LevelConfig
) -> LevelState:
    if value is None or usual is None or usual[0] <= 0:
        return LevelState.UNKNOWN
    middle, line = usual
    if value >= config.share * middle or value >= line:
        return LevelState.WELL
    return LevelState.VERY_LOW if value < config.half * middle else LevelState.LOW


class _LevelHistory:
    """The values of earlier steps."""

    def __init__(self, step_us: int, config: LevelConfig) -> None:
        self._config = config
        self._day = max(1, round(DAY_US / step_us))
        near = max(1, round(_HALF_HOUR_US / step_us)) if self._day > 2 else 0
        self._near = range(-near, near + 1, max(1, -(-2 * near // _MAX_NEAR)))
        self._values: list[float | None] = []

    def add(self, value: float | None) -> None:
        self._values.append(value)

    def usual(self) -> tuple[float, float] | None:
        """Return (median, lowest value that is not low); None without enough values."""
        values = self._same_hour()
        if len(values) < self._config.least:
            last = [self._values[-i] for i in range(1, min(self._day, len(self._values)) + 1)]
            values = [value for value in last if value is not None]
        if len(values) < self._config.least:
            return None
        middle = median(values)
        deviations = [abs(value - middle) for value in values]
        spread = max(1.4826 * median(deviations), 1.2533 * fmean(deviations))
        spread = max(spread, self._config.floor * middle)
        return middle, max(middle - self._config.spreads * spread, self._config.half * min(values))

    def _same_hour(self) -> list[float]:
        step = len(self._values)
        values = []
        for back in range(1, self._config.days + 1):
            at = step - back * self._day
            for near in self._near:
                value = self._values[at + near] if 0 <= at + near < step else None
                values += [value] if value is not None else []
        return values


def find_drops(series: Series, config: LevelConfig = LevelConfig()) -> list[Drop]:
    """Find drops; an unknown step neither begins nor ends one."""
    result: list[Drop] = []
    well = 0
    run = 0
    rise = 0
    current: Drop | None = None
    for step, state in enumerate(classify_steps(series, config)):
        if state is LevelState.UNKNOWN:
            continue
        if state is LevelState.WELL:
            run = 0
            rise = rise + 1
            if current is None:
                well = step
            elif current.confirmed is None or rise >= 2:
                result.append(current._replace(back=step - rise + 1))
                current = None
                well = step
            continue
        run = run + 1
        rise = 0
        current = current or Drop(well if well < step else step, step, None, None)
        if current.confirmed is None and (run >= 2 or state is LevelState.VERY_LOW):
            current = current._replace(confirmed=step)
    return [*result, current] if current is not None else result


def _alarms(series: Series) -> Iterator[Alarm]:
    def step_start_us(step: int) -> int:
        return series.since_us + step * series.step_us

    for drop in find_drops(series):
        started = (step_start_us(drop.well), step_start_us(drop.first + 1))
        over = step_start_us(drop.back + 2) if drop.back is not None else None
        for confirmed, step in ((False, drop.first), (True, drop.confirmed)):
            if step is None or (not confirmed and step == drop.confirmed):
                continue
            yield Alarm(
                at_us=step_start_us(step + 1),
                scope=series.scope,
                service="",
                kind="cut",
                started=started,
                ended_at_us=over,
                confirmed=confirmed,
                layer=series.source,
                ended=(step_start_us(drop.back - 1), step_start_us(drop.back + 1))
                if drop.back
                else None,
            )
