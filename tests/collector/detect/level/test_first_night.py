"""In a country's first night, of which no habit is known, all who are away count."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from support.presence_model import at, confirmed, country, world
from support.small_nights import DAY, HOUR, arrived, back, off

BEDTIME = 14 * HOUR  # seven in the evening in Kazakhstan
ONSET = 20 * HOUR


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_fade_in_the_first_night_is_told_before_morning(seed: int) -> None:
    """Of 54, 22 sleep when all others but two fade within an hour, at one in the morning.

    Version 163 compared the others alone with what a night may take, and told it by day.
    """
    rng = Random(seed)
    people = country(each=3)
    asleep = rng.sample(people, 22)
    signals = arrived(people + world())
    signals += off(asleep, BEDTIME, 3 * HOUR, rng)
    awake = [v for v in people if v not in asleep]
    signals += off(awake[2:], ONSET, HOUR, rng)
    assert confirmed(detect_silence(signals, at(ONSET + 1.5 * HOUR)).incidents)


@pytest.mark.parametrize("seed", [2, 4, 5])
def test_a_fade_after_lines_were_switched_off_is_no_power_failure(seed: int) -> None:
    """Most lines are off by one in the morning, and all else fades within an hour.

    Up to version 193 lines that had led by their bedtimes made it the order of a power failure.
    """
    rng = Random(seed)
    people = country(each=3)
    lines = [v for v in people if v.place.access == "fixed"]
    asleep = rng.sample(lines, len(lines) * 3 // 5)
    signals = arrived(people + world())
    signals += off(asleep, ONSET - 4 * HOUR, 4 * HOUR, rng)
    signals += off([v for v in people if v not in asleep], ONSET, HOUR, rng)
    (told,) = confirmed(detect_silence(signals, at(ONSET + 1.5 * HOUR)).incidents)
    assert told.scope.is_national


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_first_night_that_takes_four_fifths_is_no_cut(seed: int) -> None:
    rng = Random(seed)
    people = country(each=3)
    asleep = [v for v in people if rng.random() < 0.8]
    signals = arrived(people + world())
    signals += off(asleep, BEDTIME, 5 * HOUR, rng)
    assert not confirmed(detect_silence(signals, at(DAY + HOUR)).incidents)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_first_nights_that_take_all_lines_are_no_cut(seed: int) -> None:
    """All computers are off by half past midnight, and four of ten phones doze."""
    rng = Random(seed)
    people = country(each=3)
    lines = [v for v in people if v.place.access == "fixed"]
    phones = [v for v in people if v.place.access == "mobile"]
    signals = arrived(people + world())
    for day in range(3):
        bedtime_s, morning_s = BEDTIME + day * DAY, BEDTIME + day * DAY + 12 * HOUR
        dozing = rng.sample(phones, len(phones) * 2 // 5)
        signals += off(lines, bedtime_s, 5 * HOUR, rng) + off(dozing, bedtime_s, 5 * HOUR, rng)
        signals += back(lines + dozing, morning_s, 2 * HOUR, rng)
    assert not confirmed(detect_silence(signals, at(3 * DAY + HOUR)).incidents)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_first_workday_after_a_sunday_in_which_few_slept_is_no_cut(seed: int) -> None:
    """On Sunday two lines are switched off; on Monday all are, of homes and of offices."""
    rng = Random(seed)
    people = country(each=2)
    lines = [v for v in people if v.place.access == "fixed"][:10]
    phones = [v for v in people if v.place.access == "mobile"]
    signals = arrived([*lines, *phones, *world()])
    for day, asleep in enumerate((lines[:2], lines)):
        dozing = rng.sample(phones, len(phones) * 2 // 5)
        bedtime_s = BEDTIME + day * DAY
        signals += off([*asleep, *dozing], bedtime_s, 5 * HOUR, rng)
        signals += back([*asleep, *dozing], bedtime_s + 12 * HOUR, 2 * HOUR, rng)
    assert not confirmed(detect_silence(signals, at(2 * DAY + HOUR)).incidents)
