"""The level of one cell: its habit, and its fall while there is one."""

import math
from dataclasses import dataclass, field, replace

from heliograph.units import DAY_US
from heliograph_collector.detect.level.cell_counts import DARK_SHARE, LEARNED_DAYS
from heliograph_collector.detect.level.fall import SAMPLE_US, LevelFall
from heliograph_collector.detect.level.habit import LEAST_VALUES, LevelHabit, UsualLevel
from heliograph_collector.detect.level.nights import NEAR_STEPS, STEP_US, list_nights
from heliograph_collector.incidents.incident import Bracket

DAY_SPREAD = 0.04  # of the share, before the habit is learned; assumed
QUIET_SHARE = 0.7  # lowest share of a day in which few switch off; assumed
_MOST_SIGMA = 1.645  # one tail of 5 % of a normal distribution
_STEPS_A_DAY = DAY_US // STEP_US
_NEW = UsualLevel(1.0, DAY_SPREAD, 1.0, None, None, days=0, is_of_hour=False)
_CUT_DAYS = 2  # with a cut at the same time of day: it is no habit of people; assumed


@dataclass(slots=True)
class CellLevel:
    """The habit of one cell, and its fall while there is one."""

    habit: LevelHabit
    step: int  # number of the current step since 1970
    well_us: int  # the last sample in which chance explains all silences
    lowest: float = 1.0  # share in the current step
    share: float = 1.0  # at the last sample
    cut_step: int | None = None  # since which a cut in the country keeps steps out of the habit
    is_cut: bool = False  # at the last sample, in all of it or a part
    is_low: bool = False  # at the last sample: not usual, but it may be chance
    dark_samples: int = 0  # in a row that could confirm the fall
    well_samples: int = 0  # in a row that could end it
    fall: LevelFall | None = None
    usual: UsualLevel | None = None  # in the current step
    left_out: dict[int, float] = field(default_factory=dict)  # of the habit, in the last day

    def sample(self, share: float, step: int, cut_step: int | None) -> None:
        """Record a share; add completed steps to the habit, except steps with a cut.

        Args:
            cut_step: Since which the country has a cut that is not over; None if there is none.
        """
        if step > self.step:
            quiet = min(step - self.step - 1, self.habit.most_steps)
            for number, value in enumerate([self.lowest, *[self.share] * quiet], self.step):
                is_kept = self.cut_step is None or number < self.cut_step
                self.habit.add(value if is_kept else None)
                if not is_kept:
                    self.left_out[number] = value
            self.left_out = {n: v for n, v in self.left_out.items() if n >= step - _STEPS_A_DAY}
            self.step = step
            self.lowest = share
            self.cut_step = cut_step
            self.usual = _find_usual(self.habit)
        self.lowest = min(self.lowest, share)
        self.share = share

    def learn(self, since_us: int, until_us: int, share: float | None) -> None:
        """Enter the steps of a time that were left out of the habit into it.

        Args:
            share: That of all these steps; None for what was measured in each.
        """
        values = self.habit.values
        for step in range(since_us // STEP_US, until_us // STEP_US + 1):
            index = self._find_step(step * STEP_US)
            if 0 <= index < len(values) and values[index] is None:
                values[index] = self.left_out.get(step) if share is None else share

    def had_quiet_day(self, before_us: int) -> bool:
        """Return whether the day and night before a time are known and were never dark.

        People who did not switch off in one night do not do so in the next one either.
        """
        shares = self._list_day(before_us)
        return len(shares) == _STEPS_A_DAY and min(shares) >= QUIET_SHARE

    def was_cut_yesterday(self) -> bool:
        """Return whether a cut of the day before kept this time of day out of the habit."""
        return next((is_cut for _, is_cut in self.habit.list_days()), False)

    def list_absent(self, at_us: int) -> list[float]:
        """List the largest share that was absent at this time of day, of each earlier day."""
        days = self.habit.list_days(at_us // STEP_US - self.step)
        return [1.0 - lowest for lowest, _ in days if lowest is not None]

    def find_most_away(self, before_us: int, size: int) -> float | None:
        """Return the largest share that may be absent by habit; None without a full day.

        It is what the darkest time of the day before shows, with a probability of 95 %.
        """
        shares = self._list_day(before_us)
        if len(shares) < _STEPS_A_DAY:
            return None
        away = 1.0 - min(shares)
        return away + _MOST_SIGMA * math.sqrt(away * (1.0 - away) / size)

    def list_nights(self, before_us: int, *, is_day: bool) -> list[float]:
        """List the shares that were away on whole days before a time (nights.py)."""
        return list_nights(self.habit.values, self._find_step(before_us), is_day=is_day)

    def _list_day(self, before_us: int) -> list[float]:
        """List the shares of the steps in the day before a time, as far as they are known."""
        end = self._find_step(before_us)
        values = self.habit.values[max(0, end - _STEPS_A_DAY) : max(0, end)]
        return [share for share in values if share is not None]

    def _find_step(self, at_us: int) -> int:
        """Return the index of a time's step in the habit, which lacks the current step."""
        return len(self.habit.values) - max(0, self.step - at_us // STEP_US)

    def note_cut(self, cut_step: int | None, now_us: int, *, is_here: bool) -> None:
        """Record the first step of the country's cut, and whether it may touch the cell.

        Vantages that are not back at its end are no new fall. A cell has no samples while a cut
        explains all its silences.
        """
        if self.is_cut and not is_here:
            self.well_us = now_us
        self.is_cut = is_here
        if cut_step is not None:
            self.cut_step = cut_step if self.cut_step is None else min(cut_step, self.cut_step)

    def end_fall(self, now_us: int, *, is_near_habit: bool) -> LevelFall | None:
        """Count a sample that has not fallen; return the fall if it is over.

        Where it takes chance to be a night, those who went may belong to a fall that continues.
        """
        self.well_samples += 1
        fall = self.fall
        if fall is None or self.well_samples < 2:
            return None
        fall.ended = Bracket(now_us - 2 * SAMPLE_US, now_us - SAMPLE_US)
        fall.closed_us = now_us
        self.fall = None
        if is_near_habit:
            self.well_us = now_us
        return fall


def _find_usual(habit: LevelHabit) -> UsualLevel | None:
    """Return the usual share; of a single day it is what most of it exceeded.

    The median would follow a fall of half a day. At an hour of cuts dark days are left out. In its
    first hours all of a cell are thought to be here: each is known for having come.
    """
    is_cut_hour = _is_cut_hour(habit)
    above = DARK_SHARE if is_cut_hour else -1.0
    usual = habit.find_usual(above)
    if usual is None:
        return _NEW if len(habit.values) < LEAST_VALUES else None
    is_before = is_cut_hour or _is_cut_hour(habit, NEAR_STEPS)
    usual = replace(usual, is_cut_hour=is_cut_hour, is_before_cuts=is_before)
    recent = sorted(v for v in habit.values[-_STEPS_A_DAY:] if v is not None and v > above)
    if usual.days >= LEARNED_DAYS or not recent:
        return usual
    middle = recent[round(0.9 * (len(recent) - 1))]
    return replace(usual, middle=middle, spread=DAY_SPREAD)


def _is_cut_hour(habit: LevelHabit, ahead: int = 0) -> bool:
    """Return whether confirmed cuts, and no earlier dark days, mark this time of day.

    Or the one so many steps ahead.

    A curfew comes each night, more or less suddenly. Without this test, a night of it that could
    not be confirmed would be the habit that explains all later ones.
    """
    days = list(enumerate(habit.list_days(ahead)))
    cut = [number for number, (_, is_cut) in days if is_cut]
    if len(cut) < _CUT_DAYS:
        return False
    dark = [n for n, (low, is_cut) in days if low is not None and low <= DARK_SHARE and not is_cut]
    return len(cut) >= len(dark) and cut[-1] > max(dark, default=-1)
