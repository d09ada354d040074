"""Check the machine for what a test needs."""

import os

import pytest


def require(condition: object, reason: str) -> None:
    """Unless `condition` is true, fail the test in CI, and skip it elsewhere."""
    if condition:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
