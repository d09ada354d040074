"""Drop test: a sequential test of a level against its habit.

Theory of operation. A step is low below 80 % of the usual level if it is also below half of the
lowest value of the past, or out of the spread. Low steps add up (CUSUM): each adds its distance in
spreads, 6 at most, less 4. A sum of 2 is suspected, 4 is confirmed; so one step of six spreads is
suspected and two are confirmed, and a slow fall needs more steps. One step below half of the usual
level is confirmed at once, if it took ten minutes or more: of shorter ones a month has thousands,
and a telescope's noise halves one of them by chance. So is one step of half an hour, the mean of
several rounds of probing, that lies below two thirds of all that was seen at this time of day, and
ten spreads out: Iran's of 8 January 2026, 16:30, lost 45 % where 2 % are usual. Of a handful of
networks that answer in an islet, a round of probing misses some or all by chance: a count of fewer
than eight is confirmed once it has been low for an hour. Of few things (`small_counts.py`) the low
steps must be no chance: suspected at one in ten thousand, which an hourly series sees once a year,
and confirmed at one in a million. A suspected drop ends with one step that is not low, a confirmed
one with two. Below 80 % these are within the spread and have half of what was lost: what stays at
half of its level would be a drop each morning. An unknown step neither begins nor ends a drop.

Until a level has been seen on the same weekday, this may be a first weekend, and a level that
people let swing by day must fall further. So must all in a file's first days, when the spread is
that of day and night. But one that loses half of what is usual within an hour, and twice as much as
in any hour before, is low until then: no weekend and no night is so steep.

Steps of a confirmed drop enter the past as the usual level for at most 7 days, so that a long drop
does not become usual and a habit does; those below half of it for 28 days, because shutdowns have
lasted for weeks (Iran 2026: 19 days) and no habit halves a level. Where the usual level is only
that of the last day, they enter as unknown: its middle is usual at no time of day, and the nights
after the drop would be drops. All numbers are assumed.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from heliograph.units import DAY_US, HOUR_US, MINUTE_US
from heliograph_collector.detect.level.habit import LevelHabit, UsualLevel
from heliograph_collector.detect.level.small_counts import find_log_chance, find_unit

# Shares are of the usual level, and distances are in spreads. Assumed, all of them.
_LOW_SHARE = 0.8
_HALF = 0.5
_DRIFT = 4.0  # that a low step must exceed
_MOST = 6.0  # that counts of one step
_SUSPECT = 2.0
_CONFIRM = 4.0
_IMPUTED_DAYS = 7.0
_DEEP_DAYS = 28.0  # the same where the level is below `_HALF`
_SURE_SHARE = 2 / 3  # of the lowest value seen; one long step below it is confirmed
_HANDFUL = 8.0  # a count below it is confirmed after an hour
_SHORT_US = 10 * MINUTE_US  # a shorter step confirms nothing alone
_LONG_US = 30 * MINUTE_US  # of a step that may confirm at less than half lost
_SURE_SPREADS = 10.0  # that such a step is out
_SURE_DAYS = 3  # that were seen at its time of day
_ABRUPT = 0.5  # of the usual level, lost within an hour …
_ABRUPT_RATIO = 2.0  # … and so many times what any hour lost while all was well
_LASTING_US = 3 * HOUR_US  # in which noise cancels out
_SUSPECT_CHANCE = math.log(1e-4)  # that few things are missed by chance …
_CONFIRM_CHANCE = math.log(1e-6)


class DropStage(Enum):
    UNKNOWN = 0
    WELL = 1
    SUSPECTED = 2
    CONFIRMED = 3


@dataclass(slots=True)
class DropTest:
    """The test of one level; `observe` takes its steps in order."""

    habit: LevelHabit
    stage: DropStage = DropStage.WELL
    score: float = 0.0
    lost_share: float = 0.0  # of the usual level, at the last step
    well_steps: int = 0  # in a row, up to the last known one
    low_steps: int = 0  # the same
    steepest: float = 0.0  # what the share of the usual level fell by within an hour, in this drop
    deepest: float = 0.0  # the largest lost share of this drop
    log_chance: float = 0.0  # of this drop's low steps, if few things are counted
    unit: float | None = None  # of few things, as the drop began
    _confirmed_steps: int = 0
    _last_usual: UsualLevel | None = None  # a drop may outlast the day that was learned
    _shares: deque[float] = field(default_factory=deque)  # of the usual level, in the last hour
    _is_of_hour: bool = False  # the usual level of these shares
    _steepest_well: float = 0.0  # of all hours in which the level was well
    _losses: deque[float] = field(default_factory=deque)  # lost shares of this drop's last hours

    def observe(self, value: float | None) -> DropStage:
        """Judge the next step and add it to the habit."""
        usual = self.habit.find_usual()
        if usual is None and self.stage is DropStage.CONFIRMED:
            usual = self._last_usual
        self._last_usual = usual
        stage = self.judge(value, usual)
        self._confirmed_steps = (
            self._confirmed_steps + 1 if self.stage is DropStage.CONFIRMED else 0
        )
        is_deep = self.lost_share > 1.0 - _HALF
        days = _DEEP_DAYS if is_deep else _IMPUTED_DAYS
        most = days * DAY_US / self.habit.step_us
        is_imputed = stage is DropStage.CONFIRMED and self._confirmed_steps <= most
        self.habit.add(_impute(usual) if is_imputed else value)
        return stage

    def judge(self, value: float | None, usual: UsualLevel | None) -> DropStage:
        """Judge a value against the usual level; the habit stays."""
        if value is None or usual is None or usual.middle <= 0:
            return DropStage.UNKNOWN
        self.lost_share = max(0.0, 1.0 - value / usual.middle)
        if usual.is_of_hour != self._is_of_hour:  # shares of another level cannot be compared
            self._is_of_hour = usual.is_of_hour
            self._shares.clear()
        self._record_share(value / usual.middle)
        is_low = self._is_below(value, usual)
        weight = self._weigh(value, usual) if is_low else 0.0
        if not is_low or (weight <= 0.0 and not self._stays_down):
            self._add_well_step()
            return self.stage
        self.well_steps = 0
        self._record_loss()
        self.deepest = max(self.deepest, self.lost_share)
        if weight > 0.0:
            self.low_steps += 1
            self.score += weight
            self._record_chance(value, usual)
            if self.score >= _SUSPECT:
                self._raise_stage(value, usual)
        return self.stage

    @property
    def lasting_loss(self) -> float:
        """Return the mean lost share of this drop's last three hours, or since it began.

        Of a long drop that stays shallow, noise takes one step far below the others.
        """
        return sum(self._losses) / len(self._losses) if self._losses else self.lost_share

    @property
    def is_low(self) -> bool:
        return self.stage in (DropStage.SUSPECTED, DropStage.CONFIRMED)

    @property
    def _stays_down(self) -> bool:
        """Return whether a confirmed drop has not come back by half."""
        is_confirmed = self.stage is DropStage.CONFIRMED
        return is_confirmed and self.lost_share > _HALF * self.deepest

    def _is_below(self, value: float, usual: UsualLevel) -> bool:
        """Return whether a value is below what is usual, be it within the spread."""
        weekday = usual.weekday_lowest
        if self._is_abrupt(usual):
            weekday = usual.middle
        if weekday is None:  # what swings by day swings by week: no weekend was seen yet
            weekday = self._weekend_share() * usual.middle
        return value < _LOW_SHARE * min(usual.middle, weekday)

    def _weigh(self, value: float, usual: UsualLevel) -> float:
        """Return the score of a value below the usual; 0 if the spread explains it."""
        if value < _HALF * usual.lowest or self._is_abrupt(usual):
            return _MOST - _DRIFT
        distance = (usual.middle - value) / usual.spread
        return max(0.0, min(distance, _MOST) - _DRIFT)

    def _is_abrupt(self, usual: UsualLevel) -> bool:
        """Return whether a drop of a first week took half within an hour, as no hour before.

        Of few things chance takes half.
        """
        if usual.weekday_lowest is not None or self.habit.step_us > HOUR_US:
            return False
        is_steep = self.steepest >= max(_ABRUPT, _ABRUPT_RATIO * self._steepest_well)
        return is_steep and find_unit(self.habit.values) is None

    def _weekend_share(self) -> float:
        """Return the share of a level that may remain on a first weekend, by daily swing."""
        return math.sqrt(self.habit.measure_swing())

    def _raise_stage(self, value: float, usual: UsualLevel) -> None:
        share = value / usual.middle
        is_deep = share < _HALF and self.habit.step_us >= _SHORT_US
        is_certain = self.score >= _CONFIRM or is_deep or self._is_sure(value, usual)
        if self.unit is not None and self.log_chance > _CONFIRM_CHANCE:
            is_certain = False
            if self.log_chance > _SUSPECT_CHANCE:
                return
        if is_certain and not self._is_chance(value, usual):
            self.stage = DropStage.CONFIRMED
        elif self.stage is not DropStage.CONFIRMED:
            self.stage = DropStage.SUSPECTED

    def _is_sure(self, value: float, usual: UsualLevel) -> bool:
        """Return whether one long step is so low that it needs no second one."""
        return (
            self.habit.step_us >= _LONG_US
            and usual.is_of_hour
            and usual.days >= _SURE_DAYS
            and value < _SURE_SHARE * usual.lowest
            and usual.middle - value >= _SURE_SPREADS * usual.spread
        )

    def _is_chance(self, value: float, usual: UsualLevel) -> bool:
        """Return whether a handful that is counted may be missing by chance."""
        is_count = value % 1 == 0 and usual.lowest % 1 == 0
        is_short = self.low_steps * self.habit.step_us < HOUR_US
        return is_count and usual.middle < _HANDFUL and is_short

    def _record_chance(self, value: float, usual: UsualLevel) -> None:
        """Add the chance of a low step, where few things are counted."""
        if self.stage is DropStage.CONFIRMED:
            return
        if self.low_steps == 1:
            self.unit = find_unit(self.habit.values)
        if self.unit is not None:
            self.log_chance += find_log_chance(value / self.unit, usual.middle / self.unit)

    def _record_share(self, share: float) -> None:
        """Record how far the share fell within an hour, or one step of more; a peak is no fall."""
        share = min(1.0, share)
        self.steepest = max(self.steepest, max(self._shares, default=share) - share)
        self._shares.append(share)
        if len(self._shares) * self.habit.step_us > HOUR_US and len(self._shares) > 1:
            self._shares.popleft()

    def _record_loss(self) -> None:
        self._losses.append(self.lost_share)
        if len(self._losses) * self.habit.step_us > _LASTING_US and len(self._losses) > 1:
            self._losses.popleft()

    def _add_well_step(self) -> None:
        self.well_steps += 1
        self.low_steps = 0
        self._losses.clear()
        self._steepest_well = max(self._steepest_well, self.steepest)
        self.steepest = 0.0
        if self.stage is not DropStage.CONFIRMED or self.well_steps >= 2:
            self.stage = DropStage.WELL
            self.score = 0.0
            self.deepest = 0.0
            self.log_chance = 0.0


def _impute(usual: UsualLevel | None) -> float | None:
    """Return the value stored in the habit in place of a step of a drop."""
    return usual.middle if usual is not None and usual.is_of_hour else None
