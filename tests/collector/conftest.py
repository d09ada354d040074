"""Fixtures of the collector's tests: an open store, fleet.db, and a nats-server."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from heliograph_collector.fleet import Fleet
from heliograph_collector.store.store import Store, StoreLimits
from support.leading_terms import LeadingTerms
from support.nats_servers import NatsServers, nats_servers
from support.stores import open_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Open a store whose queries have the time that a busy machine needs."""
    async with open_store(tmp_path, limits=StoreLimits(query_s=120)) as store:
        yield store


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    opened = Fleet(tmp_path)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServers]:
    with nats_servers(tmp_path_factory.mktemp("nats")) as servers:
        yield servers


@pytest.fixture
async def terms(nats_server: NatsServers) -> AsyncIterator[LeadingTerms]:
    terms = LeadingTerms(nats_server)
    yield terms
    await terms.close()
