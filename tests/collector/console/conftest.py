"""A shop for the console; passwords are hashed at a small price, what they cost is not tested."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from heliograph_collector.fleet import passwords
from support.office import Caller, Shop, console


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_MEMORY_KIB", 64)
    monkeypatch.setattr(passwords, "_TIME_COST", 1)
    passwords._build_hasher.cache_clear()
    passwords.dummy_hash.cache_clear()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


@pytest.fixture
async def caller(shop: Shop) -> AsyncIterator[Caller]:
    async with console(shop.office()) as found:
        yield found
