"""Habit of a level: what is usual at a time of day and a day of the week.

The usual level at a step is the median at the same time of day (half an hour or one step on either
side) in the 14 days before. With fewer than 12 such values it is the median of the last 24 hours,
and with fewer than 12 of those it is unknown. The spread is the larger of the median and the mean
absolute deviation, scaled to sigma, and at least 2 % of the usual level. The mean leaves out one
day of seven, those that deviate most: an outage of an earlier day is no habit. The same weekday of
the four weeks before excuses what it has seen itself. All numbers are assumed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median

from heliograph.units import DAY_US, MINUTE_US

_NEAR_US = 30 * MINUTE_US
_MAX_NEAR = 6  # intervals between values around a time of day, however fine the steps; assumed
_MAD_TO_SIGMA = 1.4826  # of a normal distribution, as is the next
_MEAN_DEVIATION_TO_SIGMA = 1.2533
_DAYS = 14
_WEEKS = 4
LEAST_VALUES = 12  # of which a usual level is made
_FLOOR = 0.02
_OUTLIER_DAYS = 7  # of so many days one may have been an outage
_OUTLIER_WEEKS = 3
_HIGH_QUANTILE = 0.9
_SWING_DAYS = 7


@dataclass(frozen=True, slots=True)
class UsualLevel:
    """The usual level at one step, its spread, and the lowest values of the past."""

    middle: float
    spread: float
    lowest: float
    earlier_lowest: float | None  # at this time on earlier days; None: not seen yet
    weekday_lowest: float | None  # of the same weekday, less an outage; None: not seen yet
    days: int  # days that have a value at this time of day
    is_cut_hour: bool = False  # at this time of day cuts were confirmed again and again
    is_before_cuts: bool = False  # … or two hours later, so that when people sleep is unknown
    is_of_hour: bool = True  # of this time of day; else of the whole last day

    @property
    def is_assumed(self) -> bool:
        """Return whether nothing is known, so that all are thought to be here."""
        return self.days == 0

    def scale(self, share: float) -> "UsualLevel":
        """Return the level of which this share is left everywhere."""
        if share == 1.0:
            return self
        earlier = None if self.earlier_lowest is None else self.earlier_lowest * share
        return replace(self, middle=self.middle * share, earlier_lowest=earlier)


@dataclass(slots=True)
class LevelHabit:
    """The values of earlier steps, newest last."""

    step_us: int
    values: list[float | None] = field(default_factory=list)
    keep_days: int = _WEEKS * 7 + 1

    def add(self, value: float | None) -> None:
        """Add the value of the next step; forget what no step will ask for."""
        self.values.append(value)
        if len(self.values) > self.most_steps + self._steps_a_day:
            del self.values[: -self.most_steps]

    def find_usual(self, above: float = -1.0) -> UsualLevel | None:
        """Return what is usual at the next step; None without enough values.

        Args:
            above: Values that are not are left out.
        """
        by_day = [[v for v in self._values_near(days) if v > above] for days in range(1, _DAYS + 1)]
        values = [value for day in by_day for value in day]
        earlier_lowest = min(values, default=None)
        is_of_hour = len(values) >= LEAST_VALUES
        if not is_of_hour:
            recent = self.values[-self._steps_a_day :]
            values = [value for value in recent if value is not None and value > above]
            by_day = [values]
        if len(values) < LEAST_VALUES:
            return None
        middle = median(values)
        spread = max(
            _MAD_TO_SIGMA * median(abs(value - middle) for value in values),
            _MEAN_DEVIATION_TO_SIGMA * _mean_deviation(by_day, middle),
            _FLOOR * middle,
        )
        days = sum(bool(day) for day in by_day)
        lowest = self._find_weekday_lowest()
        return UsualLevel(
            middle, spread, min(values), earlier_lowest, lowest, days, is_of_hour=is_of_hour
        )

    def _find_weekday_lowest(self) -> float | None:
        """Return the lowest value of this weekday; None if unknown.

        Of `_OUTLIER_WEEKS` weeks or more, the lowest may be an outage and is left out.
        """
        weeks = [list(self._values_near(7 * week)) for week in range(1, _WEEKS + 1)]
        lowest = sorted(min(week) for week in weeks if week)
        return lowest[len(lowest) >= _OUTLIER_WEEKS] if lowest else None

    def list_days(self, ahead: int = 0) -> Iterator[tuple[float | None, bool]]:
        """Yield the lowest value near this time of day for each day, the newest first.

        The flag beside it is True if some values are missing because the cell was cut. The value is
        None if all are missing, or none is known yet.

        Args:
            ahead: Steps from this time of day to the one that is asked for.
        """
        for days in range(1, _DAYS + 1):
            values = list(self._slots_near(days, ahead))
            measured = [value for value in values if value is not None]
            yield min(measured, default=None), len(measured) < len(values)

    def measure_swing(self) -> float:
        """Return the low level of the last day as a share of the high one."""
        return _measure_swing(self.values[-self._steps_a_day :])

    def measure_usual_swing(self) -> float:
        """Return the median swing of the days before the last, which may be a fall."""
        days = self._list_past_days()
        return median(map(_measure_swing, days)) if days else self.measure_swing()

    def find_usual_low(self) -> float | None:
        """Return the low level of the middle one of the days before the last."""
        lows = [low for day in self._list_past_days() if (low := _find_low(day)) is not None]
        return median(lows) if lows else None

    def find_mean(self, steps: int, days_ago: int) -> float | None:
        """Return the mean of the last steps, or of those days ago; None if any is unknown."""
        end = len(self.values) - days_ago * self._steps_a_day
        window = self.values[end - steps : end] if end >= steps else []
        known = [value for value in window if value is not None]
        return fmean(known) if known and len(known) == steps else None

    def list_means(self, steps: int) -> list[float]:
        """Return the known means of the last steps on the days before."""
        means = (self.find_mean(steps, days) for days in range(1, _DAYS + 1))
        return [mean for mean in means if mean is not None]

    def _list_past_days(self) -> list[list[float | None]]:
        day = self._steps_a_day
        ends = range(-day, -(_SWING_DAYS + 1) * day, -day)
        return [self.values[end - day : end] for end in ends if len(self.values) >= day - end]

    def held_day(self, steps_ago: int) -> bool:
        """Return whether all times of day had been seen, so many steps ago."""
        return len(self.values) - steps_ago >= self._steps_a_day

    @property
    def most_steps(self) -> int:
        """Return how many steps are kept."""
        return self.keep_days * self._steps_a_day

    @property
    def _steps_a_day(self) -> int:
        return max(1, round(DAY_US / self.step_us))

    def _values_near(self, days: int) -> Iterator[float]:
        """Yield the values around this time of day, some days ago."""
        return (value for value in self._slots_near(days) if value is not None)

    def _slots_near(self, days: int, ahead: int = 0) -> Iterator[float | None]:
        day = self._steps_a_day
        near = max(1, round(_NEAR_US / self.step_us)) if day > 2 else 0
        count = len(self.values)
        for offset in range(-near, near + 1, max(1, -(-2 * near // _MAX_NEAR))):
            index = count - days * day + ahead + offset
            if 0 <= index < count:
                yield self.values[index]


def _measure_swing(day: Iterable[float | None]) -> float:
    values = sorted(value for value in day if value is not None)
    high = values[round(_HIGH_QUANTILE * (len(values) - 1))] if values else 0.0
    low = _find_low(values) or 0.0
    return low / high if high > 0 else 1.0


def _find_low(day: Iterable[float | None]) -> float | None:
    values = sorted(value for value in day if value is not None)
    return values[round((1 - _HIGH_QUANTILE) * (len(values) - 1))] if values else None


def _mean_deviation(by_day: Iterable[Sequence[float]], middle: float) -> float:
    """Return the mean absolute deviation without the days that deviate most."""
    days = [[abs(value - middle) for value in day] for day in by_day if day]
    days.sort(key=fmean)
    typical = days[: len(days) - len(days) // _OUTLIER_DAYS]
    return fmean(deviation for day in typical for deviation in day)
