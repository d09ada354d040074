"""Backup and restore: the store's tables and the journal's tail, as plain files in one directory.

Tables first, then the journal: what the journal knows beyond the tables is taken in again by the
writer, and what is in both is known by its block marks.
"""

import asyncio
import json
import shutil
from pathlib import Path

from heliograph_collector.store.engine import Store, StoreError
from heliograph_collector.store.journal import Journal

MANIFEST = "manifest.json"
FORMAT = 1


async def snapshot(journal: Journal, store: Store, directory: Path) -> None:
    """Write a snapshot, whole or not at all, while both are in use; blocks wait meanwhile.

    Raises StoreError, JournalError.
    """
    unfinished = directory.with_name(directory.name + ".unfinished")
    try:
        await asyncio.to_thread(_make, directory, unfinished)
        rows = await store.export(unfinished)
        await journal.snapshot(unfinished / "journal.db")
        manifest = json.dumps({"format": FORMAT, "rows": rows}, indent=2)
        await asyncio.to_thread(_finish, directory, unfinished, manifest)
    except OSError as error:
        raise StoreError(f"{directory} cannot be written: {error.strerror}.") from error


async def restore(directory: Path, data: Path, store: Store) -> None:
    """Fill the empty, open `store` and lay the journal into `data`. Raises StoreError."""
    try:
        manifest = json.loads((directory / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(f"{directory} holds no whole snapshot: {MANIFEST} is missing.") from error
    if manifest.get("format") != FORMAT:
        raise StoreError(f"{directory} was written by another Heliograph, in another format.")
    if (data / "journal.db").exists() or not await store.empty():
        raise StoreError(f"{data} is in use already: restore into an empty --data directory.")
    await store.load(directory, manifest["rows"])
    await asyncio.to_thread(shutil.copy, directory / "journal.db", data / "journal.db")


def _make(directory: Path, unfinished: Path) -> None:
    if directory.exists():
        raise StoreError(f"{directory} exists already: name a new directory for the snapshot.")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True, mode=0o700)


def _finish(directory: Path, unfinished: Path, manifest: str) -> None:
    (unfinished / MANIFEST).write_text(manifest)
    unfinished.rename(directory)
