"""Restore a backup into an empty data directory: all of it, or nothing."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

from heliograph.durable_file import sync_folder
from heliograph_collector.store.backup import JOURNAL, RESTORE_MARK, BackupError
from heliograph_collector.store.backup.archive import (
    ArchiveReader,
    SavedFile,
    make_private_folder,
    open_private,
)
from heliograph_collector.store.directory_lock import DirectoryLock
from heliograph_collector.store.disk_errors import describe_os_error
from heliograph_collector.store.journal.tables import read_last_position
from heliograph_collector.store.store import Store, StoreError


async def restore_backup(reader: ArchiveReader, data: Path, store: Store) -> None:
    """Restore a backup into an empty `store`, not yet open, and an empty `data`.

    The result is compared with the manifest. A failed restore leaves nothing behind. Raises
    BackupError, StoreError, DirectoryInUseError.
    """
    files = reader.list_data_files()
    tops = {name.partition("/")[0] for name in files} | {JOURNAL}
    if JOURNAL not in files or any((data / name).exists() for name in (*tops, RESTORE_MARK)):
        raise _build_refusal(reader, data, is_whole=JOURNAL in files)
    try:
        with _undo_on_failure(data), _lock(data), _open_mark(data):
            async with _open_empty_store(store, data):
                for table in reader.manifest.tables:
                    await store.load_table(table, reader.read_table(table.name))
            await asyncio.to_thread(_restore_files, reader, files, data)
    except OSError as error:
        raise BackupError(describe_os_error(error.filename or data, error)) from error


def _build_refusal(reader: ArchiveReader, data: Path, *, is_whole: bool) -> BackupError:
    if not is_whole:
        return BackupError(f"{reader.directory} lacks the journal: use another backup.")
    return BackupError(f"{data} is in use already: restore into an empty --data directory.")


@contextmanager
def _undo_on_failure(data: Path) -> Iterator[None]:
    """Delete what the block has added to `data` if it fails."""
    is_new = not data.exists()
    entries_before = set() if is_new else set(data.iterdir())
    try:
        make_private_folder(data)
        yield
    except BaseException:
        _delete_entries(data, entries_before)
        if is_new:
            data.rmdir()
        raise


def _delete_entries(data: Path, entries_before: set[Path]) -> None:
    for path in set(data.iterdir()) - entries_before:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def _lock(data: Path) -> Iterator[None]:
    lock = DirectoryLock(data, "journal")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _open_mark(data: Path) -> Iterator[None]:
    """Mark the directory as unfinished, for the case of a kill."""
    open_private(data / RESTORE_MARK).close()
    sync_folder(data)
    yield
    (data / RESTORE_MARK).unlink()
    sync_folder(data)


@asynccontextmanager
async def _open_empty_store(store: Store, data: Path) -> AsyncIterator[None]:
    """Open the store; clear it if the block fails, because it may lie elsewhere."""
    try:
        await store.open()
        if not await store.is_empty():
            raise BackupError(f"{data} is in use already: its store has rows.")
        try:
            yield
        except BaseException:
            await store.clear()
            raise
    finally:
        await store.close()


def _restore_files(reader: ArchiveReader, files: dict[str, SavedFile], data: Path) -> None:
    for name, saved in files.items():
        target = data / name
        with open_private(target) as stream:
            stream.writelines(reader.read(saved.name))
            stream.flush()
            os.fsync(stream.fileno())
        if saved.modified_ns:
            os.utime(target, ns=(saved.modified_ns, saved.modified_ns))
        if target.suffix == ".db":
            _check_database(target)
    for folder in {(data / name).parent for name in files}:
        sync_folder(folder)
    _check_journal(reader, data / JOURNAL)


def _check_database(file: Path) -> None:
    try:
        with closing(sqlite3.connect(file)) as db:
            ((answer,),) = db.execute("PRAGMA quick_check(1)")
    except sqlite3.Error as error:
        answer = error
    if answer != "ok":
        raise BackupError(f"{file.name} in the backup is damaged ({answer}): use another backup.")


def _check_journal(reader: ArchiveReader, file: Path) -> None:
    manifest = reader.manifest
    with closing(sqlite3.connect(file)) as db:
        ((journal,),) = db.execute("SELECT id FROM journal")
        last_position = read_last_position(db)
    is_same = (journal, last_position) == (manifest.journal, manifest.last_position)
    if manifest.format > 1 and not is_same:
        raise StoreError("The journal in the backup is not that of its manifest: use another.")
