"""An agent's uplink with its spool, and the keys of its collector."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from heliograph.clock import SystemClock
from heliograph_agent.state import State
from support.ports import free_port
from support.results import open_spool
from support.scripted_intake import Collector, Identity, identity, plan_of
from support.uplink_agent import Agent, UplinkSealer


@pytest.fixture(scope="module")
def who() -> Identity:
    return identity()


@pytest_asyncio.fixture
async def agent(tmp_path: Path, who: Identity) -> AsyncIterator[Agent]:
    async with open_spool(tmp_path / "spool.db", SystemClock(), sealer=UplinkSealer(who)) as spool:
        yield Agent(State(tmp_path), spool, who)


@pytest.fixture
def away(who: Identity) -> Collector:
    """Return a collector whose entrance for sessions is closed."""
    collector = Collector(who, plan_of())
    collector.port = free_port()
    return collector
