"""What a file's first days allow: no night and no weekend was seen yet, but a cut is told."""

import random
from collections.abc import Sequence

import pytest

from heliograph.units import HOUR_US, MINUTE_US
from heliograph_collector.detect.level.detector import detect_levels
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.level import LevelReading
from heliograph_collector.model.scope import Scope

STEP_US = 30 * MINUTE_US
# What people in Iran ask Google for in a day of December 2025, by hour of UTC (IODA).
DAY = (
    20, 14, 14, 20, 36, 56, 72, 83, 86, 81, 84, 83, 76, 69, 66, 69, 72, 73, 74, 75, 70, 59, 43, 30,
)  # fmt: skip


def make_days(begins_h: int, hours: int, lost: dict[range, float] | None = None) -> list[float]:
    """Make half hours of a few days; `lost` shares by hours since the file began."""
    draw = random.Random(begins_h)
    values = []
    for step in range(2 * hours):
        hour = begins_h + step // 2
        here, there = DAY[hour % 24], DAY[(hour + 1) % 24]
        usual = (here + there) / 2 if step % 2 else here
        shares = [1 - share for when, share in (lost or {}).items() if step // 2 in when]
        values.append(usual * min(shares, default=1) * draw.gauss(1, 0.02))
    return values


def find(values: Sequence[float], source: str = "gtr", step_us: int = STEP_US) -> list[Incident]:
    readings = [
        LevelReading(step * step_us, step_us, Scope("IR"), source, value)
        for step, value in enumerate(values)
    ]
    return list(detect_levels(readings, readings[-1].until_us))


@pytest.mark.parametrize("begins_h", range(0, 24, 3))
@pytest.mark.parametrize("step_us", [STEP_US, HOUR_US])
def test_the_first_night_of_a_file_is_no_drop(begins_h: int, step_us: int) -> None:
    values = make_days(begins_h, 24 * 4)
    assert find(values[:: step_us // STEP_US], step_us=step_us) == []


@pytest.mark.parametrize("begins_h", [1, 7, 13, 18])
def test_a_cut_of_the_first_days_is_told_by_its_first_hour(begins_h: int) -> None:
    """Thirty hours after the file began, where the spread is still that of day and night."""
    cut_h = 30 + (9 - begins_h - 30) % 24  # at nine, when people are up
    values = make_days(begins_h, 24 * 4, {range(cut_h, cut_h + 6): 0.9})[::2]
    (incident,) = find(values, step_us=HOUR_US)
    assert incident.confirmed_us == (cut_h + 1) * HOUR_US


def test_a_cut_of_two_thirds_in_a_first_week_is_no_weekend() -> None:
    values = make_days(0, 24 * 6, {range(24 * 5 + 10, 24 * 5 + 16): 0.65})[::2]
    (incident,) = find(values, "traffic", HOUR_US)
    assert incident.confirmed_us is not None
    assert incident.confirmed_us <= (24 * 5 + 12) * HOUR_US
    weekend = make_days(0, 24 * 7, {range(24 * 5, 24 * 7): 0.3})[::2]
    assert find(weekend, "traffic", HOUR_US) == []


def test_probes_that_fall_by_and_by_on_the_first_day_are_no_night() -> None:
    draw = random.Random(4)
    fade = [max(0.1, 1 - 0.11 * hour) for hour in range(12)]
    values = [1000 * draw.gauss(1, 0.01) * share for share in [1.0] * 16 + fade]
    (incident,) = find(values, "ping-slash24", HOUR_US)
    assert incident.confirmed_us is not None


def test_a_slow_fade_of_the_first_day_is_told_when_the_night_is_over() -> None:
    """What people ask for alone, which faded over six hours like an evening, and stayed away."""
    values = make_days(6, 48)[::2]
    fade = [value * max(0.05, 1 - 0.16 * (hour - 13)) for hour, value in enumerate(values)]
    (incident,) = find([*values[:14], *fade[14:]], step_us=HOUR_US)
    assert incident.confirmed_us is not None
    assert 24 * HOUR_US < incident.confirmed_us <= 36 * HOUR_US
