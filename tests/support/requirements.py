"""Check the machine for what a test needs."""

import os

import pytest


def require(condition: object, reason: str) -> None:
    """Fail the test in CI, or skip it elsewhere, unless `condition` is true."""
    if condition:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
