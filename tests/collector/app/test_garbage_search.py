"""The garbage collector runs rarely, and still limits the memory held by cycles."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from heliograph_collector.app.garbage_search import YOUNG_OBJECTS, limit_garbage_search

OBJECTS_EACH = 2  # a node and its dictionary


class _Node:
    """An object that holds itself, so that only a search frees it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def searching() -> Iterator[None]:
    thresholds, was_enabled = gc.get_threshold(), gc.isenabled()
    gc.enable()
    yield
    gc.set_threshold(*thresholds)
    if not was_enabled:
        gc.disable()


@pytest.mark.usefixtures("searching")
def test_garbage_in_cycles_stays_bounded() -> None:
    limit_garbage_search()
    alive = weakref.WeakSet[_Node]()
    most = 0
    for _ in range(2 * YOUNG_OBJECTS):
        alive.add(_Node())
        most = max(most, len(alive))
    assert YOUNG_OBJECTS // (4 * OBJECTS_EACH) < most <= YOUNG_OBJECTS
