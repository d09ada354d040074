"""Tests of pages share one evening, whose bins are counted once."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import pytest

from heliograph_collector.http import snapshot_cache
from heliograph_collector.http.cell_queries import roll_up_merged
from heliograph_collector.model.records import Cell, SilenceCount, Vote


@lru_cache(maxsize=4_096)
def _roll_up(
    votes: tuple[Vote, ...],
    silences: tuple[SilenceCount, ...],
    window: tuple[int, int, int],
    merged_fields: tuple[str, ...],
) -> tuple[Cell, ...]:
    return tuple(roll_up_merged(votes, silences, window, merged_fields))


def _roll_up_once(
    votes: Sequence[Vote],
    silences: Sequence[SilenceCount],
    window: tuple[int, int, int],
    merged_fields: Sequence[str],
) -> list[Cell]:
    return list(_roll_up(tuple(votes), tuple(silences), window, tuple(merged_fields)))


@pytest.fixture(autouse=True, scope="module")
def bins_counted_once() -> Iterator[None]:
    """Count the evening's bins once, as counting takes most of a test's time.

    Equal votes give equal cells. Only here: elsewhere a snapshot counts what it reads.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot_cache, "roll_up_merged", _roll_up_once)
        yield
