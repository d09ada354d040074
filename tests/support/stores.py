"""Stores for tests: opened on the embedded engine, closed at the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from heliograph_collector.store.store import Store

KEPT_DAYS = 99_999  # the rows of the tests are from 2022


def build_store(data: Path, **options: Any) -> Store:
    days = dict.fromkeys(("observations_days", "verdicts_days", "minutes_days"), KEPT_DAYS)
    return Store(f"chdb://{data}/store", **(days | options))


@asynccontextmanager
async def open_store(data: Path, **options: Any) -> AsyncIterator[Store]:
    """The store in the folder `data`; the engine takes one such folder at a time in a process."""
    store = build_store(data, **options)
    await store.open()
    yield store
    await store.close()
