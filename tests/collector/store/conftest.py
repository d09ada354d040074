"""A store of its own for each test: the engine takes one directory at a time in a process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heliograph_collector.store.store import Limits, Store

AGES = 99_999  # the rows of the tests are from 2022


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(
        f"chdb://{tmp_path}/store",
        limits=Limits(query_s=5),
        observations_days=AGES,
        verdicts_days=AGES,
        minutes_days=AGES,
    )
    await store.open()
    yield store
    await store.close()
