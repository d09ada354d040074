"""A backend of the console with cheap password hashes, as cost is not tested."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from heliograph_collector.console import login
from support.cheap_passwords import cheap_passwords
from support.console_backend import Caller, FakeBackend, console


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(login, "LOCKED_REPLY_S", 0.0)
    with cheap_passwords():
        yield


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[FakeBackend]:
    made = FakeBackend(tmp_path)
    yield made
    made.fleet.close()


@pytest.fixture
async def caller(backend: FakeBackend) -> AsyncIterator[Caller]:
    async with console(backend) as found:
        yield found
