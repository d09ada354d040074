"""The delay until an agent is back, computed without waiting."""

import random

import pytest

from heliograph_agent.uplink.reconnection import (
    RECONNECT,
    SHORT_WAIT_PASSES,
    FailedPasses,
    ReconnectDelay,
)
from heliograph_collector.model.thresholds import THRESHOLDS
from support.hand_clock import HandClock

AGENTS = 2_000
DEAD_SHARE = 1 / 3  # of a balancer's hosts


@pytest.mark.parametrize(
    ("is_refusal", "for_waits"),
    [(False, [1, 2, 3, 4, 5, 6, 7, 8, 9]), (True, [1, 2, 3, 4, 1, 1, 1, 5, 1])],
)
def test_a_refused_pass_is_repeated_soon_once_waits_are_long(
    is_refusal: bool, for_waits: list[int]
) -> None:
    passes = FailedPasses()
    failures = []
    for _ in for_waits:
        passes.record_pass(is_refusal=is_refusal)
        failures.append(passes.for_wait)
    assert failures == for_waits


def test_a_reply_makes_the_next_waits_short_again() -> None:
    passes = FailedPasses(count=9, for_wait=9)
    passes.reset()
    passes.record_pass(is_refusal=True)
    assert passes.for_wait == 1


def test_a_dead_host_behind_a_balancer_keeps_nobody_away_for_a_minute() -> None:
    """All were offline for hours, and their links are online again."""
    rng = random.Random(21)
    waits_s = sorted(return_s(rng) for _ in range(AGENTS))
    assert waits_s[int(0.99 * AGENTS)] < 15
    assert waits_s[-1] < 60


def test_nobody_waits_longer_than_the_detectors_assume() -> None:
    delay = ReconnectDelay(HandClock(), random.Random(5))
    waits_s = [delay.draw_wait_s(failures) for failures in range(1, 2_000)]
    assert max(waits_s) <= THRESHOLDS.retry_s
    assert sum(waits_s) / len(waits_s) > 0.45 * RECONNECT.limit_s, "not in step, nor at once"


def return_s(rng: random.Random) -> float:
    passes = FailedPasses(count=12)
    passes.shorten()
    delay = ReconnectDelay(HandClock(), rng)
    waited_s = delay.draw_wait_s(passes.for_wait)
    while rng.random() < DEAD_SHARE:
        passes.record_pass(is_refusal=True)
        waited_s += delay.draw_wait_s(passes.for_wait)
    assert passes.count >= SHORT_WAIT_PASSES
    return waited_s
