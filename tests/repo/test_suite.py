"""The suite's own machinery does what the Makefile asks of it."""

import os

import pytest


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="no workers, no groups")
@pytest.mark.xdist_group("together")
def test_a_group_stays_with_one_worker(request: pytest.FixtureRequest) -> None:
    """Else each worker makes every costly fixture anew, and nobody notices but the clock."""
    assert request.node.nodeid.endswith("@together")
