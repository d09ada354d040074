"""Used-up numbers as ranges."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from heliograph_collector.store.journal.tables import fold

NUMBERS = st.lists(st.integers(0, 60))


@given(NUMBERS, NUMBERS)
def test_ranges_hold_exactly_the_numbers_they_were_given(early: list[int], late: list[int]) -> None:
    folded = fold(fold([], early), late)
    assert {n for first, last in folded for n in range(first, last + 1)} == {*early, *late}


@given(NUMBERS)
def test_there_are_no_more_ranges_than_gaps_demand(numbers: list[int]) -> None:
    folded = fold([], numbers)
    assert all(a[1] + 1 < b[0] for a, b in pairwise(folded))
