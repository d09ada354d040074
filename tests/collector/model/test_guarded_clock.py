"""The collector's time while the machine's clock jumps."""

from collections.abc import Iterator

import pytest

from heliograph_collector.model.guarded_clock import GuardedClock
from support.hand_clock import HandClock

S = 1_000_000
HOUR, TWO_YEARS = 3_600 * S, 2 * 365 * 86_400 * S
START = 1_795_700_000 * S  # November 2026


class JumpingMachine:
    """A machine with a clock that a test sets wrong, and the collector's error."""

    def __init__(self, wall_us: int = START, record_us: int = 0) -> None:
        self.hands = HandClock(wall=wall_us)
        self.clock = GuardedClock(self.hands, record_us)
        self.truth_us = wall_us

    def run(self, seconds: int) -> Iterator[int]:
        """Yield the error of the time, each second."""
        for _ in range(seconds):
            self.hands.advance_us(S)
            self.truth_us += S
            yield self.clock.wall_us() - self.truth_us

    def errors(self, seconds: int) -> set[int]:
        return set(self.run(seconds))


@pytest.mark.parametrize("jump_us", [TWO_YEARS, 8 * HOUR, -HOUR, -TWO_YEARS])
def test_jump_that_is_taken_back_never_happened(jump_us: int) -> None:
    machine = JumpingMachine()
    for _ in range(3):
        machine.hands.wall += jump_us
        assert machine.errors(25) == {0}
        (sentence,) = machine.clock.problems()
        direction = "ahead" if jump_us > 0 else "back"
        assert f"jumped {direction} by {abs(jump_us) // S} s" in sentence
        machine.hands.wall -= jump_us
        assert machine.errors(100) == {0}
        assert machine.clock.problems() == []
        assert "jump was not followed" in machine.clock.notices()[-1]


@pytest.mark.parametrize("jump_us", [8 * HOUR, -HOUR, -TWO_YEARS])
def test_jump_that_lasts_is_followed_within_a_minute(jump_us: int) -> None:
    machine = JumpingMachine()
    machine.hands.wall += jump_us
    assert machine.errors(59) == {0}
    machine.errors(5)
    assert machine.errors(100) == {jump_us}
    assert machine.clock.problems() == []


def test_jump_of_years_ahead_is_refused_for_good() -> None:
    machine = JumpingMachine()
    machine.hands.wall += TWO_YEARS
    assert machine.errors(7_200) == {0}
    (sentence,) = machine.clock.problems()
    assert "set the clock right, or restart" in sentence


def test_clock_that_flutters_is_followed_nowhere() -> None:
    machine = JumpingMachine()
    for _ in range(20):
        for jump_us in (HOUR, -2 * HOUR):
            machine.hands.wall += jump_us
            assert machine.errors(40) == {0}
        machine.hands.wall += HOUR


@pytest.mark.parametrize("step_us", [7 * S, -7 * S, 45 * S])
def test_step_of_seconds_is_followed_at_once(step_us: int) -> None:
    machine = JumpingMachine()
    machine.hands.wall += step_us
    assert machine.errors(10) == {step_us}


def test_boot_without_battery_is_corrected_at_once() -> None:
    machine = JumpingMachine(wall_us=0, record_us=START)
    machine.errors(20)
    assert "before the newest entry" in machine.clock.notices()[0]
    machine.hands.wall = START + 90 * S
    assert machine.clock.wall_us() == START + 90 * S
    assert machine.clock.problems() == []


def test_start_long_after_the_journals_end_is_told_for_a_day() -> None:
    machine = JumpingMachine(record_us=START - TWO_YEARS)
    (sentence,) = machine.clock.notices()
    assert "started 730 days after the newest entry of its journal" in sentence
    assert machine.clock.problems() == [], "it may have rested for so long"
    machine.hands.advance_us(25 * HOUR)
    assert machine.clock.notices() == []
    assert JumpingMachine(record_us=START - HOUR).clock.notices() == []
    assert JumpingMachine().clock.notices() == []
