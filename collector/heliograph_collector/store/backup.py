"""Backup and restore of the store's tables and the journal as files.

Tables are written first, then the journal. So journal rows beyond the tables are written again by
the writer, and rows in both are recognized by their block marks.
"""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from heliograph_collector.store.journal import tables
from heliograph_collector.store.journal.journal import Journal
from heliograph_collector.store.store import Store, StoreError

MANIFEST = "manifest.json"
FORMAT_VERSION = 1
_JOURNAL = "journal.db"


async def snapshot(
    journal: Journal, store: Store, directory: Path, extra_paths: Sequence[Path] = ()
) -> None:
    """Write a complete snapshot or none while both are in use; blocks wait for it.

    `extra_paths` are further directories and files (.db: SQLite) to save. Raises StoreError,
    JournalError.
    """
    unfinished = directory.with_name(directory.name + ".unfinished")
    try:
        await asyncio.to_thread(_create_directory, directory, unfinished)
        rows = await store.export(unfinished)
        await journal.snapshot(unfinished / _JOURNAL)
        await asyncio.to_thread(_save_extra_files, extra_paths, unfinished)
        files = [_JOURNAL, *(path.name for path in extra_paths)]
        manifest = json.dumps({"format": FORMAT_VERSION, "rows": rows, "files": files}, indent=2)
        await asyncio.to_thread(_finish_snapshot, directory, unfinished, manifest)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StoreError(f"{directory} cannot be written: {reason}.") from error


async def restore(directory: Path, data: Path, store: Store) -> None:
    """Restore a snapshot into an empty, open `store` and `data`. Raises StoreError."""
    try:
        manifest = json.loads((directory / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(f"{directory} holds no whole snapshot: {MANIFEST} is missing.") from error
    if manifest.get("format") != FORMAT_VERSION:
        raise StoreError(f"{directory} was written by another Heliograph, in another format.")
    files = [Path(name).name for name in manifest["files"]]
    if any((data / name).exists() for name in files) or not await store.is_empty():
        raise StoreError(f"{data} is in use already: restore into an empty --data directory.")
    await store.load(directory, manifest["rows"])
    try:
        await asyncio.to_thread(_copy_files, directory, files, data)
    except (OSError, shutil.Error) as error:
        raise StoreError(f"{directory} cannot be laid into {data}: {error}.") from error


def _create_directory(directory: Path, unfinished: Path) -> None:
    if directory.exists():
        raise StoreError(f"{directory} exists already: name a new directory for the snapshot.")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True, mode=0o700)


def _save_extra_files(extra_paths: Sequence[Path], unfinished: Path) -> None:
    for path in extra_paths:
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as db:
                tables.copy_database(db, unfinished / path.name)
        else:
            _copy(path, unfinished / path.name)


def _finish_snapshot(directory: Path, unfinished: Path, manifest: str) -> None:
    (unfinished / MANIFEST).write_text(manifest)
    unfinished.rename(directory)


def _copy_files(directory: Path, files: Sequence[str], data: Path) -> None:
    """Copy the files, the journal last, because it marks the directory as in use."""
    for name in reversed(files):
        _copy(directory / name, data / name)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
