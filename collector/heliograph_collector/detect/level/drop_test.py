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
than eight is confirmed once it has been low for an hour. A suspected drop ends with one step that
is not low, a confirmed one with two. An unknown step neither begins nor ends a drop.

Until a level has been seen on the same weekday, this may be a first weekend, and a level that
people let swing by day must fall further. Until it has been seen on `learned_days` at this time of
day, and once on this weekday, people's habits could explain any fall. Then only a fall to
`alone_share` is confirmed.

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

_SHORT_US = 10 * MINUTE_US  # a shorter step confirms nothing alone; assumed
_LONG_US = 30 * MINUTE_US  # of a step that may confirm at less than half lost; assumed
_SURE_SPREADS = 10.0  # that such a step is out; assumed
_SURE_DAYS = 3  # that were seen at its time of day; assumed


class DropStage(Enum):
    UNKNOWN = 0
    WELL = 1
    SUSPECTED = 2
    CONFIRMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DropLimits:
    """The lines of the drop test."""

    share: float = 0.8
    half: float = 0.5
    drift: float = 4.0  # spreads that a low step must exceed
    most: float = 6.0  # spreads that count of one step
    suspect: float = 2.0
    confirm: float = 4.0
    paint_days: float = 7.0
    deep_days: float = 28.0  # the same where the level is below `half`
    learned_days: int = 0
    alone_share: float = 1.0
    sure_share: float = 0.0  # of the lowest value seen; one long step below it is confirmed
    handful: float = 0.0  # a count below it is confirmed after an hour


SERIES_LIMITS = DropLimits(sure_share=2 / 3, handful=8.0)
# Vantages are few and people; their first evenings and weekends are no cut.
PRESENCE_LIMITS = DropLimits(learned_days=3, alone_share=0.15)


@dataclass(slots=True)
class DropTest:
    """The test of one level; `observe` takes its steps in order."""

    habit: LevelHabit
    limits: DropLimits = SERIES_LIMITS
    stage: DropStage = DropStage.WELL
    score: float = 0.0
    lost_share: float = 0.0  # of the usual level, at the last step
    is_learned: bool = False  # the habit excludes an evening or a weekend
    well_steps: int = 0  # in a row, up to the last known one
    low_steps: int = 0  # the same
    steepest: float = 0.0  # what the share of the usual level fell by within an hour, in this drop
    _confirmed_steps: int = 0
    _last_usual: UsualLevel | None = None  # a drop may outlast the day that was learned
    _shares: deque[float] = field(default_factory=deque)  # of the usual level, in the last hour

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
        is_deep = self.lost_share > 1.0 - self.limits.half
        days = self.limits.deep_days if is_deep else self.limits.paint_days
        most = days * DAY_US / self.habit.step_us
        is_painted = stage is DropStage.CONFIRMED and self._confirmed_steps <= most
        self.habit.add(_paint(usual) if is_painted else value)
        return stage

    def judge(self, value: float | None, usual: UsualLevel | None, noise: float = 0.0) -> DropStage:
        """Judge a value against the usual level; the habit stays.

        Args:
            noise: Spread that the number of counted vantages adds.
        """
        if value is None or usual is None or usual.middle <= 0:
            return DropStage.UNKNOWN
        self.lost_share = max(0.0, 1.0 - value / usual.middle)
        self._record_share(value / usual.middle)
        self.is_learned = self._is_learned(usual)
        weight = self._weigh(value, usual, noise)
        if weight <= 0.0:
            self._add_well_step()
        else:
            self.well_steps = 0
            self.low_steps += 1
            self.score += weight
            if self.score >= self.limits.suspect:
                self._raise_stage(value, usual)
        return self.stage

    @property
    def is_low(self) -> bool:
        return self.stage in (DropStage.SUSPECTED, DropStage.CONFIRMED)

    def _weigh(self, value: float, usual: UsualLevel, noise: float) -> float:
        """Return how much a value adds to the score, 0 if it is not low."""
        limits = self.limits
        weekday = usual.weekday_lowest
        if value >= limits.share * usual.middle:
            return 0.0
        # What swings by day swings by week: no weekend was seen yet.
        if weekday is None and value >= limits.share * self._weekend_share() * usual.middle:
            return 0.0
        if weekday is not None and value >= limits.share * weekday:
            return 0.0
        if value < limits.half * usual.lowest:
            return limits.most - limits.drift
        distance = (usual.middle - value) / math.hypot(usual.spread, noise)
        return max(0.0, min(distance, limits.most) - limits.drift)

    def _weekend_share(self) -> float:
        """Return what people may leave of a level on a first weekend, by how it swings by day."""
        return math.sqrt(self.habit.measure_swing())

    def _is_learned(self, usual: UsualLevel) -> bool:
        limits = self.limits
        return not limits.learned_days or (
            usual.days >= limits.learned_days and usual.weekday_lowest is not None
        )

    def _raise_stage(self, value: float, usual: UsualLevel) -> None:
        share = value / usual.middle
        is_deep = share < self.limits.half and self.habit.step_us >= _SHORT_US
        is_certain = self.score >= self.limits.confirm or is_deep or self._is_sure(value, usual)
        is_certain = is_certain and not self._is_chance(value, usual)
        if is_certain and (self.is_learned or share <= self.limits.alone_share):
            self.stage = DropStage.CONFIRMED
        elif self.stage is not DropStage.CONFIRMED:
            self.stage = DropStage.SUSPECTED

    def _is_sure(self, value: float, usual: UsualLevel) -> bool:
        """Return whether one long step is so low that it needs no second one."""
        return (
            self.habit.step_us >= _LONG_US
            and usual.is_of_hour
            and usual.days >= _SURE_DAYS
            and value < self.limits.sure_share * usual.lowest
            and usual.middle - value >= _SURE_SPREADS * usual.spread
        )

    def _is_chance(self, value: float, usual: UsualLevel) -> bool:
        """Return whether a handful that is counted may be missing by chance."""
        is_count = value % 1 == 0 and usual.lowest % 1 == 0
        is_short = self.low_steps * self.habit.step_us < HOUR_US
        return is_count and usual.middle < self.limits.handful and is_short

    def _record_share(self, share: float) -> None:
        """Record how far the share fell within an hour, or one step of more."""
        self.steepest = max(self.steepest, max(self._shares, default=share) - share)
        self._shares.append(share)
        if len(self._shares) * self.habit.step_us > HOUR_US and len(self._shares) > 1:
            self._shares.popleft()

    def _add_well_step(self) -> None:
        self.well_steps += 1
        self.low_steps = 0
        self.steepest = 0.0
        if self.stage is not DropStage.CONFIRMED or self.well_steps >= 2:
            self.stage = DropStage.WELL
            self.score = 0.0


def _paint(usual: UsualLevel | None) -> float | None:
    """Return what enters the past in place of a step of a drop."""
    return usual.middle if usual is not None and usual.is_of_hour else None
