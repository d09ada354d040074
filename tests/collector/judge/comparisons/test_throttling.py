"""The statistics of throttling: enough transfers decide, too few do not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.failure import Failure
from heliograph_collector.judge.comparisons.throttling import (
    GOODPUT_THRESHOLDS,
    Transfer,
    extract_transfers,
    has_run_on,
    is_frozen,
    is_slower,
)
from support.scenario import measurement

SECOND = 1_000_000
FAST, SLOW = 400_000, 16_000  # bytes a second


def at(rate: int, seconds: float = 2.0, times: int = 3) -> list[Transfer]:
    us = int(seconds * SECOND)
    return [Transfer(int(rate * seconds), us, us, False, n) for n in range(times)]


def stuck(bytes_: int, *, silent_s: float = 10, times: int = 3) -> list[Transfer]:
    late = int((0.2 + silent_s) * SECOND)
    return [Transfer(bytes_, SECOND // 5, late, True, n) for n in range(times)]


@pytest.mark.parametrize(
    ("target", "neutral", "slower"),
    [
        (at(SLOW), at(FAST), True),
        (at(FAST), at(FAST), False),
        (at(2 * FAST), at(FAST), False),
        # On a line that is faster than can be measured all are even.
        (at(5_000_000, 0.02), at(40_000_000, 0.005), False),
        # A slow target is slow however fast the neutral one is.
        (at(150_000), at(40_000_000, 0.005), True),
        (at(SLOW, times=2), at(FAST), None),  # too few
        (at(SLOW), at(FAST, times=1), None),
        (at(SLOW), at(SLOW), None),  # the path itself is slow
        (at(SLOW, 0.1), at(FAST), None),  # over before a rate settles
        ([*at(SLOW, times=2), *at(FAST, times=1)], at(FAST), None),  # not all of them
        (at(FAST // 3), at(FAST), None),  # neither the same nor far apart
        ([], [], None),
    ],
)
def test_many_slow_transfers_beside_fast_ones_are_slower_and_doubt_says_nothing(
    target: list[Transfer], neutral: list[Transfer], slower: bool | None
) -> None:
    assert is_slower(target, neutral) is slower


def test_a_body_that_a_deadline_cut_took_all_the_time() -> None:
    (one,) = stuck(16_384, silent_s=9.8, times=1)
    assert one.rate == pytest.approx(1_638.4)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (stuck(16_384), True),
        (stuck(14_000), True),
        (stuck(30_000), True),
        (stuck(13_999), False),
        (stuck(30_001), False),
        (stuck(16_384, silent_s=4), False),
        (stuck(16_384, times=1), False),
        ([*stuck(16_384), *at(FAST, times=1)], False),
        (at(8_192), False),  # it ended, in its own time
    ],
)
def test_a_freeze_is_in_the_window_silent_and_without_exception(
    found: list[Transfer], expected: bool
) -> None:
    assert is_frozen(found) is expected


def test_what_ran_on_got_past_the_window() -> None:
    assert has_run_on(at(FAST))
    assert not has_run_on(stuck(16_384))
    assert not has_run_on(at(FAST, times=1))


@given(
    st.lists(st.integers(1, 10_000_000), min_size=3, max_size=6),
    st.lists(st.integers(1, 10_000_000), min_size=3, max_size=6),
)
def test_both_sides_are_never_slower_than_each_other(ours: list[int], others: list[int]) -> None:
    one, other = ([t for r in rates for t in at(r, times=1)] for rates in (ours, others))
    assert not (is_slower(one, other) and is_slower(other, one))
    if is_slower(one, other):
        assert max(t.rate for t in one) <= GOODPUT_THRESHOLDS.apart * min(t.rate for t in other)


def test_transfers_are_told_by_their_connections() -> None:
    body = {"status": 200, "arrivals": [[0.1, 8_000], [0.2, 16_000]], "seconds": 12}
    late = body | {"failure": Failure.GENERIC_TIMEOUT_ERROR.value}
    broken = body | {"failure": Failure.CONNECTION_RESET.value}
    once: list[dict[str, Any]] = [{"connect 5.6.7.8": "ok"}, {"tls": "ok"}, {"http": 200}]
    steps = [*once, {"body": body}, *once, {"body": late}, *once, {"body": broken}]
    found = extract_transfers(measurement({"target": steps}), "target")
    assert [(t.bytes, t.last_us, t.timed_out, t.index) for t in found] == [
        (16_000, 200_000, False, 3),
        (16_000, 200_000, True, 7),
    ]
    assert found[1].waited_us == 12 * SECOND
