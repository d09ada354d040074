"""The collector's clock, told from heartbeats."""

from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.uplink.clock_offset import MAX_DELAY_US, WINDOW, ClockFilter, Exchange


def exchange(ahead_us: int, out_us: int, back_us: int, at_us: int = 0) -> Exchange:
    """One heartbeat to a collector whose wall clock is `ahead_us` of our monotonic one."""
    received = at_us + out_us + ahead_us
    return Exchange(at_us, received, received + 500, at_us + out_us + 500 + back_us)


def test_nothing_is_known_before_the_first_answer() -> None:
    assert ClockFilter().offset_us(1, 1) is None


def test_a_symmetric_way_gives_the_exact_offset() -> None:
    clock = ClockFilter()
    clock.add(exchange(7_000_000, 40_000, 40_000))
    assert clock.offset_us(wall_us=0, monotonic_us=0) == 7_000_000


def test_the_exchange_with_the_least_delay_is_believed() -> None:
    clock = ClockFilter()
    clock.add(exchange(1_000_000, 900_000, 20_000))
    clock.add(exchange(1_000_000, 10_000, 10_000))
    clock.add(exchange(1_000_000, 20_000, 700_000))
    assert clock.offset_us(0, 0) == 1_000_000


def test_a_jump_of_our_wall_clock_shows_at_once() -> None:
    clock = ClockFilter()
    clock.add(exchange(5_000_000, 10_000, 10_000))
    assert clock.offset_us(wall_us=5_000_000, monotonic_us=0) == 0
    assert clock.offset_us(wall_us=5_000_000 - 3_600_000_000, monotonic_us=0) == 3_600_000_000


def test_impossible_exchanges_are_left_out() -> None:
    clock = ClockFilter()
    clock.add(Exchange(100, 0, 0, 50))  # answered before it was sent
    clock.add(Exchange(0, 5, 5, MAX_DELAY_US + 1))
    assert clock.offset_us(0, 0) is None


@given(
    ahead=st.integers(-(10**15), 10**15),
    ways=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1),
)
def test_the_error_is_never_more_than_half_the_least_delay(
    ahead: int, ways: list[tuple[int, int]]
) -> None:
    clock = ClockFilter()
    for out, back in ways:
        clock.add(exchange(ahead, out, back))
    least = min(out + back for out, back in ways[-WINDOW:])
    told = clock.offset_us(0, 0)
    assert told is not None
    assert abs(told - ahead) <= least / 2 + 1


def test_a_clock_beyond_all_sense_is_not_believed() -> None:
    """Its offset would fit no message, and no measurement could be stored."""
    clock = ClockFilter()
    for far_us in (-(1 << 63) + 1_000_000, (1 << 63) - 1_000_000):
        clock.add(Exchange(0, far_us, far_us, 10))
    assert clock.offset_us(1, 1) is None
