"""Rates: what may pass, how long to wait, and what a long silence saves up."""

from math import ceil

import pytest

from heliograph.token_bucket import TokenBuckets
from heliograph.units import HOUR_S
from heliograph_collector.ingest.rate_limits import (
    CREDIT_S,
    build_agent_rates,
    build_stranger_rates,
    max_concurrent_rpcs,
    raise_file_limit,
)

S = 1_000_000


def allowed(rates: TokenBuckets[bytes], now_us: int, *, absent_s: int = 0) -> int:
    first_level = rates.per_s * (HOUR_S + absent_s)
    count = 0
    while rates.take(b"a", now_us, first_level=first_level) == 0:
        count += 1
    return count


def test_an_hour_s_worth_at_once_then_as_it_comes() -> None:
    rates = build_agent_rates(64)
    assert allowed(rates, 0) == 64
    assert ceil(rates.take(b"a", 0)) == 57  # 3600 s / 64
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
    assert [rates.take("a", 0) for _ in range(2_000)] == [0.0] * 2_000
    assert ceil(rates.take("a", 0)) == 1
    assert [rates.take("a", S) for _ in range(51)] == [0.0] * 50 + [1 / 50]


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


def test_rates_hold_for_every_agent_of_a_large_fleet() -> None:
    """A bucket that was dropped for another agent's would be full again."""
    rates = build_agent_rates(64)
    agents = [number.to_bytes(16) for number in range(70_000)]
    for agent in agents:
        assert rates.take(agent, 0, 64.0, first_level=64.0) == 0
    assert all(rates.take(agent, 0, first_level=64.0) > 0 for agent in agents)
