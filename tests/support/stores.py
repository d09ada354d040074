"""Stores for tests: opened on the embedded engine, closed at the end."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from heliograph_collector.store.store import Store

KEPT_DAYS = 99_999  # the rows of the tests are from 2022
_EMPTY = TemporaryDirectory(prefix="heliograph-empty-store-")


def build_store(data: Path, **options: Any) -> Store:
    days = dict.fromkeys(("observations_days", "verdicts_days", "minutes_days"), KEPT_DAYS)
    return Store(f"chdb://{data}/store", **(days | options))


@asynccontextmanager
async def open_store(data: Path, *, is_copied: bool = True, **options: Any) -> AsyncIterator[Store]:
    """Open the store in `data`; the engine opens one folder per process at a time.

    A new one is a copy of an empty store, or where not `is_copied` made by its migrations.
    """
    if is_copied and not (data / "store").exists():
        shutil.copytree(await _make_empty_store(), data / "store", symlinks=True)
    store = build_store(data, **options)
    await store.open()
    yield store
    await store.close()


async def _make_empty_store() -> Path:
    """Make an empty store once per process: copying is 3 times as fast as migrating."""
    folder = Path(_EMPTY.name)
    if not (folder / "store").exists():
        store = build_store(folder)
        await store.open()
        await store.close()
    return folder / "store"
