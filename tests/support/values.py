"""Values that a test knows to be there."""

from typing import TypeVar

Value = TypeVar("Value")


def present(value: Value | None) -> Value:
    """Return the value; fail the test when it is None."""
    assert value is not None
    return value
