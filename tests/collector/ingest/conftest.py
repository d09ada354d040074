"""Fixtures: a separate ingest server for each test, and a session with it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.intake import IngestServer, OpenSession, ingest_server, open_session


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[IngestServer]:
    async with ingest_server(tmp_path) as server:
        yield server


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[OpenSession]:
    async with open_session(tmp_path) as session:
        yield session
