"""The collector's clock offset, from heartbeats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.uplink.clock_offset import MAX_DELAY_US, WINDOW, ClockExchange, ClockFilter

FAR_US = (1 << 63) - 1_000_000


def exchange(ahead_us: int, out_us: int, back_us: int, at_us: int = 0) -> ClockExchange:
    """Return a heartbeat to a collector whose clock is `ahead_us` before ours."""
    received = at_us + out_us + ahead_us
    return ClockExchange(at_us, received, received + 500, at_us + out_us + 500 + back_us)


def test_no_offset_before_first_exchange() -> None:
    assert ClockFilter().offset_us(1, 1) is None


def test_wall_clock_jump_changes_offset() -> None:
    clock = ClockFilter()
    clock.add(exchange(5_000_000, 10_000, 10_000))
    assert clock.offset_us(wall_us=5_000_000, monotonic_us=0) == 0
    assert clock.offset_us(wall_us=5_000_000 - 3_600_000_000, monotonic_us=0) == 3_600_000_000


def test_jump_of_collectors_clock_is_over_with_its_next_answer() -> None:
    two_years = 2 * 365 * 86_400_000_000
    clock = ClockFilter()
    clock.add(exchange(two_years, 1, 1))  # by chance the fastest
    clock.add(exchange(5_000_000, 10_000, 10_000))
    assert clock.offset_us(wall_us=5_000_000, monotonic_us=0) == 0


@pytest.mark.parametrize(
    "impossible",
    [
        ClockExchange(100, 0, 0, 50),  # answered before it was sent
        ClockExchange(0, 5, 5, MAX_DELAY_US + 1),
        ClockExchange(0, FAR_US, FAR_US, 10),  # an offset that fits into no message
        ClockExchange(0, -FAR_US, -FAR_US, 10),
    ],
)
def test_impossible_exchange_is_ignored(impossible: ClockExchange) -> None:
    clock = ClockFilter()
    clock.add(impossible)
    assert clock.offset_us(0, 0) is None


@given(
    ahead=st.integers(-(10**15), 10**15),
    ways=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1),
)
def test_error_is_at_most_half_the_least_delay(ahead: int, ways: list[tuple[int, int]]) -> None:
    clock = ClockFilter()
    for out, back in ways:
        clock.add(exchange(ahead, out, back))
    least = min(out + back for out, back in ways[-WINDOW:])
    offset_us = clock.offset_us(0, 0)
    assert offset_us is not None
    assert abs(offset_us - ahead) <= least / 2 + 1
