"""What holds for the whole suite."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: they mostly wait, and at the end everybody would wait for them."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[float, bool]:
    """By the time a test asks for, where it asks for more than the others."""
    limit = item.get_closest_marker("timeout")
    seconds = float(limit.args[0]) if limit and limit.args else 0.0
    return -seconds, item.get_closest_marker("slow") is None
