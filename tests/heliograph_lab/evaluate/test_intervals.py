"""The intervals are the exact ones, by published figures and by their definition."""

import math

import pytest

from heliograph_lab.evaluate import intervals


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(0, 10, 0, 0.3085), (10, 10, 0.6915, 1), (5, 10, 0.1871, 0.8129), (95, 100, 0.8872, 0.9836)],
)
def test_a_share_by_clopper_and_pearson(hits: int, n: int, low: float, high: float) -> None:
    assert intervals.share(hits, n) == pytest.approx((low, high), abs=2e-4)


@pytest.mark.parametrize(
    ("events", "low", "high"), [(0, 0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.390)]
)
def test_a_rate_by_garwood(events: int, low: float, high: float) -> None:
    assert intervals.rate(events, 1) == pytest.approx((low, high), abs=2e-3)
    assert intervals.rate(events, 10) == pytest.approx((low / 10, high / 10), abs=2e-4)


def test_nothing_seen_says_nothing() -> None:
    assert intervals.share(0, 0) == (0, 1)
    assert intervals.rate(0, 0) == (0, math.inf)
    assert math.isnan(intervals.quantile([], 0.5))


def test_a_quantile_counts_what_never_came_and_its_interval_needs_enough() -> None:
    values = [float(i) for i in range(1, 96)] + [math.inf] * 5
    assert intervals.quantile(values, 0.95) == 95
    assert intervals.quantile([*values, math.inf], 0.95) == math.inf
    assert intervals.quantile_range([1.0] * 20, 0.95)[1] == math.inf  # 20 may all be below it
    values = [float(i) for i in range(1, 1_001)]
    low, high = intervals.quantile_range(values, 0.5)
    assert 468 <= low <= 470
    assert 531 <= high <= 533
