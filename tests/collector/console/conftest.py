"""Passwords are hashed at a small price here: what they cost is measured elsewhere."""

import pytest

from heliograph_collector.fleet import passwords


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_MEMORY_KIB", 64)
    monkeypatch.setattr(passwords, "_TIMES", 1)
    passwords._hasher.cache_clear()
    passwords.nobodys.cache_clear()
