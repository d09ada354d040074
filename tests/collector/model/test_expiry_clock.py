"""Data expire by a time that a wrong machine clock cannot advance."""

from dataclasses import dataclass, field

import pytest

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.model.expiry_clock import ExpiryClock
from heliograph_collector.model.guarded_clock import GuardedClock
from support.hand_clock import HandClock

START = 1_795_700_000 * SECOND_US  # November 2026
TWO_YEARS = 2 * 365 * DAY_US


@dataclass
class Machine:
    """A machine that restarts a collector; only the clock's record survives."""

    hands: HandClock = field(default_factory=lambda: HandClock(wall=START))
    stored_us: int = 0
    record_us: int = START - SECOND_US

    def start(self) -> ExpiryClock:
        clock = GuardedClock(self.hands, self.record_us)
        return ExpiryClock(clock, self.stored_us, self.record_us)

    def live(self, seconds: int) -> int:
        """Run a collector for so long; return the expiry time in the end."""
        expiry = self.start()
        expiry_us = 0
        for _ in range(seconds):
            self.hands.advance_us(SECOND_US)
            expiry_us = expiry.expiry_us()
            self.stored_us = expiry.reached_us()
            self.record_us = max(self.record_us, self.hands.wall)
        return expiry_us


def test_the_expiry_time_is_the_present_time_where_no_clock_is_wrong() -> None:
    machine = Machine()
    for _ in range(3):
        assert machine.live(60) == machine.hands.wall


@pytest.mark.parametrize("starts", [1, 2, 20])
def test_a_clock_ahead_by_two_years_ages_nothing_whenever_the_collector_starts(starts: int) -> None:
    """A clock ahead by two years expires nothing, whenever the collector starts.

    Started while the clock is wrong, the collector has no other time to use.
    """
    machine = Machine()
    machine.live(60)
    machine.hands.wall += TWO_YEARS
    for _ in range(starts):
        machine.live(25)
    machine.hands.wall -= TWO_YEARS
    ahead_us = machine.stored_us - machine.hands.wall
    assert ahead_us <= 25 * starts * SECOND_US
    assert machine.live(1) == machine.hands.wall


def test_a_clock_ahead_ages_nothing_in_data_that_have_no_expiry_time_yet() -> None:
    machine = Machine()
    machine.hands.wall += TWO_YEARS
    assert machine.live(25) <= START + 50 * SECOND_US


def test_small_jumps_that_are_followed_do_not_add_up() -> None:
    machine = Machine()
    machine.live(60)
    for _ in range(100):
        machine.hands.wall += 7 * DAY_US
        machine.live(65)
    truth_us = machine.hands.wall - 700 * DAY_US
    assert machine.stored_us - truth_us <= 6_500 * SECOND_US


def test_after_a_rest_the_expiry_time_catches_up() -> None:
    machine = Machine()
    machine.live(60)
    machine.hands.advance_us(20 * DAY_US)
    expiry = machine.start()
    assert expiry.expiry_us() == machine.stored_us
    for day in range(1, 31):
        machine.hands.advance_us(DAY_US)
        behind_us = machine.hands.wall - expiry.expiry_us()
        assert behind_us <= max(20 - day, 0) * DAY_US + 60 * SECOND_US
    assert expiry.expiry_us() == machine.hands.wall
