"""Delays between attempts, computed without waiting."""

import random

import pytest

from heliograph.backoff import Backoff

RECONNECT = Backoff(1.0, 60.0)


def test_full_delay_doubles_up_to_its_limit() -> None:
    delays_s = [RECONNECT.full_delay_s(n) for n in (0, 1, 2, 3, 4, 5, 6, 7, 10_000)]
    assert delays_s == [1, 1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(
    ("shares", "least_s", "most_s"),
    [((0.0, 1.0), 0, 300), ((0.5, 1.0), 150, 300), ((0.75, 1.25), 225, 375)],
)
def test_delays_spread_over_the_whole_range(
    shares: tuple[float, float], least_s: float, most_s: float
) -> None:
    rng = random.Random(7)
    delays_s = [Backoff(1.0, 300.0, shares).draw_s(12, rng) for _ in range(2_000)]
    assert least_s <= min(delays_s) < least_s + 3
    assert most_s - 3 < max(delays_s) <= most_s


def test_an_offline_day_makes_two_attempts_a_minute() -> None:
    rng = random.Random(1)
    clock_s = 0.0
    attempts = 0
    while clock_s < 86_400:  # virtual
        attempts += 1
        clock_s += RECONNECT.draw_s(attempts, rng)
    assert 2_600 < attempts < 3_200
