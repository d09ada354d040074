"""A detector for levels that others publish: a drop below what a robust past allows.

What is usual at a step is the median of the same time of day (half an hour, or one step, either
way) in the 14 days before; where there are fewer than 12 such values, of the last 24 hours; with
fewer than 12 of those it is not known, and nothing is said. The spread is the larger of the median
and the mean absolute deviation, scaled to sigma, at least 2 % of the level. A step is *low* below
80 % of the usual, if it is six spreads under it, or under half of the least of these values too.
*Suspected*: a low step; *confirmed*: two in a row, or one below half of the usual. *Over*: two in a
row that are not low. Low steps enter the past as what was usual, for at most 7 days.

It counts addresses or queries, no vantages: an alarm says that the level fell and in which source,
never how many people tell of it. It can be read when its step is over; how much later the source
publishes is not known here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import fmean, median
from typing import NamedTuple

from heliograph_collector.model.signals import DAY_US, SECOND_US
from heliograph_collector.sources.replay import Alarm, Replay, Series

_HALF_HOUR_US = 1_800 * SECOND_US
_MOST_NEAR = 6  # values around a time of day that are looked at, however fine the steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    days: int = 14
    least: int = 12
    share: float = 0.8
    half: float = 0.5
    spreads: float = 6.0
    floor: float = 0.02
    paint_days: float = 7.0


class Standing(Enum):
    WELL = 1
    LOW = 2
    VERY_LOW = 3
    UNKNOWN = 4


class Drop(NamedTuple):
    """Steps by number. `well`: the last that was well before it, or `first` where none is known."""

    well: int
    first: int
    confirmed: int | None
    back: int | None  # the first of two that were well again


def level(replay: Replay) -> Sequence[Alarm]:
    """Of every series of the replay; nothing where there is none."""
    found = [alarm for series in replay.series for alarm in _alarms(series)]
    return sorted(found, key=lambda alarm: (alarm.at_us, alarm.scope, alarm.layer))


def standings(series: Series, config: Config = Config()) -> Iterator[Standing]:
    """One for each step."""
    past = _Past(series.step_us, config)
    painted, most = 0, config.paint_days * DAY_US / series.step_us
    for value in series.values:
        usual = past.usual()
        standing = _standing(value, usual, config)
        low = standing in (Standing.LOW, Standing.VERY_LOW)
        painted = painted + 1 if low else 0
        past.add(usual[0] if usual is not None and low and painted <= most else value)
        yield standing


def _standing(value: float | None, usual: tuple[float, float] | None, config: Config) -> Standing:
    if value is None or usual is None or usual[0] <= 0:
        return Standing.UNKNOWN
    middle, line = usual
    if value >= config.share * middle or value >= line:
        return Standing.WELL
    return Standing.VERY_LOW if value < config.half * middle else Standing.LOW


class _Past:
    """What was there before, by step."""

    def __init__(self, step_us: int, config: Config) -> None:
        self._config = config
        self._day = max(1, round(DAY_US / step_us))
        near = max(1, round(_HALF_HOUR_US / step_us)) if self._day > 2 else 0
        self._near = range(-near, near + 1, max(1, -(-2 * near // _MOST_NEAR)))
        self._values: list[float | None] = []

    def add(self, value: float | None) -> None:
        self._values.append(value)

    def usual(self) -> tuple[float, float] | None:
        """(median, what it takes to be below chance); None where too little is known."""
        known = self._same_hour()
        if len(known) < self._config.least:
            last = [self._values[-i] for i in range(1, min(self._day, len(self._values)) + 1)]
            known = [value for value in last if value is not None]
        if len(known) < self._config.least:
            return None
        middle = median(known)
        off = [abs(value - middle) for value in known]
        spread = max(1.4826 * median(off), 1.2533 * fmean(off))
        spread = max(spread, self._config.floor * middle)
        return middle, max(middle - self._config.spreads * spread, self._config.half * min(known))

    def _same_hour(self) -> list[float]:
        here, found = len(self._values), []
        for back in range(1, self._config.days + 1):
            at = here - back * self._day
            for near in self._near:
                value = self._values[at + near] if 0 <= at + near < here else None
                found += [value] if value is not None else []
        return found


def drops(series: Series, config: Config = Config()) -> list[Drop]:
    """Where it was low. A step that is not known ends nothing and begins nothing."""
    found: list[Drop] = []
    well, run, rise = 0, 0, 0
    now: Drop | None = None
    for step, standing in enumerate(standings(series, config)):
        if standing is Standing.UNKNOWN:
            continue
        if standing is Standing.WELL:
            run, rise = 0, rise + 1
            if now is None:
                well = step
            elif now.confirmed is None or rise >= 2:
                found.append(now._replace(back=step - rise + 1))
                now, well = None, step
            continue
        run, rise = run + 1, 0
        now = now or Drop(well if well < step else step, step, None, None)
        if now.confirmed is None and (run >= 2 or standing is Standing.VERY_LOW):
            now = now._replace(confirmed=step)
    return [*found, now] if now is not None else found


def _alarms(series: Series) -> Iterator[Alarm]:
    def begins(step: int) -> int:
        return series.since_us + step * series.step_us

    for drop in drops(series):
        started = (begins(drop.well), begins(drop.first + 1))
        over = begins(drop.back + 2) if drop.back is not None else None
        for confirmed, step in ((False, drop.first), (True, drop.confirmed)):
            if step is None or (not confirmed and step == drop.confirmed):
                continue
            yield Alarm(
                at_us=begins(step + 1),
                scope=series.scope,
                service="",
                kind="cut",
                started=started,
                ended_at_us=over,
                confirmed=confirmed,
                layer=series.source,
                ended=(begins(drop.back - 1), begins(drop.back + 1)) if drop.back else None,
            )
