"""The journals that one suite runs over: SQLite, and a real nats-server."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TypeAlias
from uuid import uuid4

import pytest

from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.store.journal.opening import open_journal
from heliograph_collector.store.journal.protocol import JournalProtocol
from support.nats_servers import NatsServers

OpenJournal: TypeAlias = Callable[[], AbstractAsyncContextManager[JournalProtocol]]
NATS = (pytest.mark.real, pytest.mark.xdist_group("nats"))


@pytest.fixture(params=["sqlite", pytest.param("nats", marks=NATS)])
def open_again(request: pytest.FixtureRequest) -> OpenJournal:
    """Return an opener of this test's journal, the same one each time."""
    servers = request.getfixturevalue("settings") if request.param == "nats" else None
    return partial(open_journal, request.getfixturevalue("tmp_path"), servers)


@pytest.fixture
async def journal(open_again: OpenJournal) -> AsyncIterator[JournalProtocol]:
    async with open_again() as journal:
        yield journal


@pytest.fixture
def settings(nats_server: NatsServers) -> JournalSettings:
    """Return settings with names on the server that no other test has."""
    return nats_server.settings(f"t{uuid4().hex[:16]}")
