"""Bands of counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_collector.http.anonymity import band_bounds, band_floor, format_band


@pytest.mark.parametrize(
    ("count", "k", "expected"),
    [
        (0, 1, "0"),
        (3, 1, "1-4"),
        (3, 5, "0-4"),
        (0, 5, "0-4"),
        (5, 5, "5-9"),
        (5, 10, "0-9"),
        (19, 5, "10-19"),
        (49, 5, "20-49"),
        (50, 5, "50+"),
        (70_000, 5, "50+"),
    ],
)
def test_a_count_is_told_as_a_band(count: int, k: int, expected: str) -> None:
    assert format_band(count, k) == expected


@given(st.integers(0, 10_000), st.integers(1, 20))
def test_a_band_holds_its_count_and_hides_the_few(count: int, k: int) -> None:
    low, high = band_bounds(count, k)
    assert low <= count
    assert high is None or count <= high
    if 0 < count < min(k, 5):
        assert low == 0


def test_where_nobody_needs_hiding_counts_are_exact() -> None:
    assert (band_floor(3, 1), band_floor(37, 5)) == (3, 20)
