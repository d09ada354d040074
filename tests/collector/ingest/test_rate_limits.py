"""Rates: what may pass, how long to wait, and what a long silence saves up."""

import pytest

from heliograph_collector.ingest.rate_limits import (
    CREDIT_S,
    LeakyBuckets,
    build_agent_rates,
    build_stranger_rates,
    max_concurrent_rpcs,
    raise_file_limit,
)

S = 1_000_000


def allowed(rates: LeakyBuckets, now_us: int, *, absent_s: int = 0) -> int:
    count = 0
    while rates.take_or_wait_s("a", now_us, absent_s=absent_s) == 0:
        count += 1
    return count


def test_an_hour_s_worth_at_once_then_as_it_comes() -> None:
    rates = build_agent_rates(64)
    assert allowed(rates, 0) == 64
    assert rates.take_or_wait_s("a", 0) == 57  # 3600 s / 64
    assert allowed(rates, 57 * S) == 1


def test_backlog_is_credited_for_ninety_days() -> None:
    assert allowed(build_agent_rates(64), 0, absent_s=3 * 86_400) == 64 + 3 * 24 * 64
    most = 64 + 90 * 24 * 64
    assert allowed(build_agent_rates(64), 0, absent_s=10 * CREDIT_S) == most
    rates = build_agent_rates(64)
    allowed(rates, 0)
    assert allowed(rates, 10 * CREDIT_S * S) == most


def test_a_prefix_is_slowed_and_never_shut_out() -> None:
    rates = build_stranger_rates()
    assert allowed(rates, 0) == 2_000
    assert rates.take_or_wait_s("a", 0) == 1
    assert allowed(rates, S) == 50


def test_the_table_forgets_the_longest_unused() -> None:
    rates = LeakyBuckets(per_s=1 / 3_600, burst=1, max_keys=2)
    for name in ("a", "b", "a", "c"):
        rates.take_or_wait_s(name, 0)
    assert rates.take_or_wait_s("a", 0) > 0
    assert rates.take_or_wait_s("b", 0) == 0, "forgotten, so it starts afresh"


def test_agents_do_not_share_and_a_clock_that_jumps_back_gives_nothing_away() -> None:
    rates = build_agent_rates(1)
    assert [rates.take_or_wait_s(name, 10 * S) for name in ("a", "b", "a")] == [0, 0, 3_600]
    assert rates.take_or_wait_s("a", 0) > 0


def test_sessions_leave_room_for_other_calls() -> None:
    assert max_concurrent_rpcs(2_000) == 2_200


def test_the_limit_of_open_files_is_raised_as_far_as_it_goes() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[1]), before[1]))
        assert raise_file_limit(300)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
        assert not raise_file_limit(before[1] + 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
