"""Limit how many generated examples run: all in `make soak`, otherwise a part.

HELIOGRAPH_EXAMPLES is `all`, `few` (`make quick`) or not set. Where CI is set Hypothesis draws the
same examples each time, so that a run proves no more than the one before; what many seeds find,
the soak finds.
"""

import os
from collections.abc import Sequence
from typing import TypeVar

import pytest

_T = TypeVar("_T")
_AMOUNT = os.environ.get("HELIOGRAPH_EXAMPLES", "")
IS_SOAK = _AMOUNT == "all"
IS_QUICK = _AMOUNT == "few"
# For a test that takes seconds of CPU, whose rules a shorter one of its file tests too: a skip with
# its reason, so that a reader of CI's output sees which tests only `make soak` plays.
only_in_soak = pytest.mark.skipif(not IS_SOAK, reason="seconds of CPU: make soak plays it")


def draw_seeds(count: int) -> range:
    """Return seeds of random worlds, limited like other examples."""
    return range(limit_examples(count))


def limit_examples(count: int) -> int:
    """Return how many examples run: 1 in 8 in CI, 1 in 32 in `make quick`."""
    if IS_SOAK:
        return count
    return -(-count // (32 if IS_QUICK else 8))


def keep_part(listed: Sequence[_T], every: int = 2) -> Sequence[_T]:
    """Return one of `every`, or in `make soak` all: neighbors of the list show alike."""
    return listed if IS_SOAK else listed[::every]


def choose(listed: Sequence[_T], every: int = 4) -> Sequence[_T]:
    """Return all of a list, or in `make quick` one of `every`: CI plays the rest."""
    return listed[::every] if IS_QUICK else listed
