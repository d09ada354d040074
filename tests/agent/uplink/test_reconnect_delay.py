"""Waits between attempts, computed without waiting."""

import random

from heliograph_agent.uplink import reconnect_delay


def test_max_wait_doubles_to_five_minutes() -> None:
    assert [reconnect_delay.max_wait_s(n) for n in range(1, 6)] == [1, 2, 4, 8, 16]
    assert reconnect_delay.max_wait_s(9) == 256
    assert reconnect_delay.max_wait_s(10) == reconnect_delay.max_wait_s(10_000) == 300


def test_waits_spread_over_whole_range() -> None:
    rng = random.Random(7)
    waits = [reconnect_delay.draw_wait_s(12, rng) for _ in range(2_000)]
    assert 0 <= min(waits) < 3
    assert 297 < max(waits) <= 300
    assert 140 < sum(waits) / len(waits) < 160


def test_offline_day_makes_few_attempts() -> None:
    rng, clock_s, attempts = random.Random(1), 0.0, 0
    while clock_s < 86_400:  # virtual
        attempts += 1
        clock_s += reconnect_delay.draw_wait_s(attempts, rng)
    assert 400 < attempts < 800
