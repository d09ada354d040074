"""Save a data directory and its store, in the order that the package explains."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, closing
from pathlib import Path
from typing import BinaryIO, Protocol

from heliograph import __version__
from heliograph_collector.store.backup import JOURNAL, BackupError
from heliograph_collector.store.backup.archive import (
    PIECE_BYTES,
    ArchiveWriter,
    Manifest,
    make_private_folder,
    open_private,
)
from heliograph_collector.store.backup.encryption import BackupKey, SealedKey
from heliograph_collector.store.disk_errors import describe_database_error
from heliograph_collector.store.journal.tables import read_last_position
from heliograph_collector.store.table_snapshot import StoreSnapshot

# First the detectors' files, by which they continue (position before votes), and then the logs.
# The daily files are saved because new ones would begin at revision 1.
_FILES_BEFORE = (
    "detect/heard.json",
    "detect",
    "alerts.jsonl",
    "audit.jsonl",
    "corroboration.jsonl.1",
    "corroboration.jsonl",
    "dumps",
)
_FILES_AFTER = ("fleet.db", "imported.db", "operators.json", "keys", "fingerprints")
_TRIES = 5  # of a file that is replaced while it is copied; assumed


class TableSource(Protocol):
    """The open store, in this process or in the collector's."""

    def open_snapshot(self) -> AbstractAsyncContextManager[StoreSnapshot]: ...
    def read_table(self, table: str) -> AsyncGenerator[bytes, None]: ...


class JournalSource(Protocol):
    """The journal, in the data directory or on servers."""

    async def copy(self, file: Path) -> None:
        """Copy its state of one moment into a new file. Raises BackupError, JournalError."""
        ...


class JournalInFile:
    """The journal of a data directory."""

    def __init__(self, data: Path) -> None:
        self._file = data / JOURNAL

    async def copy(self, file: Path) -> None:
        _copy_database(self._file, file)


class BackupProof(Protocol):
    """Check of a finished backup; it raises BackupError or StoreError."""

    async def prove(self, directory: Path, key: BackupKey | None) -> None: ...


async def save_backup(
    source: TableSource,
    data: Path,
    directory: Path,
    scratch: Path,
    *,
    journal: JournalSource | None = None,
    proof: BackupProof | None = None,
    key: tuple[BackupKey, SealedKey] | None = None,
) -> Manifest:
    """Save into a new directory, which appears complete or not at all.

    Args:
        source: The store; blocks wait only while its tables are cloned.
        data: The data directory, which may be in use.
        scratch: An empty directory for copies of databases, which are never in clear elsewhere.
        journal: The journal; None for the file in the data directory.
        proof: Check to pass before the directory appears; None for no check.
        key: Key to encrypt with, and the same sealed to the recipient; None for no encryption.

    Raises:
        BackupError, StoreError, JournalError: With a sentence.
    """
    journal = journal or JournalInFile(data)
    unfinished = directory.with_name(directory.name + ".unfinished")
    try:
        _create_directory(directory, unfinished)
        writer = ArchiveWriter(unfinished, key)
        manifest = await _save_all(source, journal, data, scratch, writer)
        if proof:
            await proof.prove(unfinished, key[0] if key else None)
        unfinished.rename(directory)
    except OSError as error:
        place = error.filename or directory
        raise BackupError(
            f"{place} cannot be used ({error.strerror}): free space, let this user write there, or "
            "name another place."
        ) from error
    except sqlite3.Error as error:
        raise BackupError(describe_database_error(f"A database in {data}", error)) from error
    finally:
        await asyncio.to_thread(shutil.rmtree, unfinished, ignore_errors=True)
    return manifest


def _create_directory(directory: Path, unfinished: Path) -> None:
    if directory.exists():
        raise BackupError(f"{directory} exists already: name a new directory for the backup.")
    shutil.rmtree(unfinished, ignore_errors=True)
    make_private_folder(unfinished)


async def _save_all(
    source: TableSource, journal: JournalSource, data: Path, scratch: Path, writer: ArchiveWriter
) -> Manifest:
    for name in _FILES_BEFORE:
        _save_path(writer, data, name, scratch)
    async with source.open_snapshot() as snapshot:
        for table in snapshot.tables:
            with writer.create(f"store/{table.name}.native") as file:
                async with aclosing(source.read_table(table.name)) as pieces:
                    async for piece in pieces:
                        file.write(piece)
    copy = scratch / JOURNAL
    copy.unlink(missing_ok=True)
    await journal.copy(copy)
    id_, last_position = _save_journal(writer, copy, snapshot.positions)
    for name in _FILES_AFTER:
        _save_path(writer, data, name, scratch)
    manifest = Manifest(
        version=__version__,
        journal=id_,
        position=snapshot.positions.get(id_, 0),
        last_position=last_position,
        tables=snapshot.tables,
        files=tuple(writer.files),
    )
    writer.finish(manifest)
    return manifest


def _save_journal(writer: ArchiveWriter, copy: Path, positions: dict[str, int]) -> tuple[str, int]:
    """Save a copy of the journal, and delete it; return its id and its last position.

    Raises BackupError.
    """
    with closing(sqlite3.connect(copy)) as db:
        ((journal,),) = db.execute("SELECT id FROM journal")
        last_position = read_last_position(db)
        position = positions.get(journal, 0)
        ((later,),) = db.execute("SELECT count(*) FROM log WHERE position > ?", (position,))
    # Positions have no gaps, and a row is trimmed only behind the store's position.
    if positions and later != last_position - position:
        raise BackupError("The journal was trimmed while the store was saved: run it again.")
    _save_stream(writer, copy, f"data/{JOURNAL}")
    copy.unlink()
    return journal, last_position


def _save_path(writer: ArchiveWriter, data: Path, name: str, scratch: Path) -> None:
    """Save a file or folder of the data directory, if it is there."""
    path = data / name
    if path.suffix == ".db" and path.exists():
        copy = scratch / path.name
        _copy_database(path, copy)
        _save_stream(writer, copy, f"data/{name}")
        copy.unlink()
        return
    for _ in range(_TRIES):  # a key or a checkpoint may move while the folder is listed
        try:
            for file in _list_files(path):
                _save_stream(writer, file, f"data/{file.relative_to(data)}")
        except FileNotFoundError:
            continue
        return
    raise BackupError(f"{path} changes all the time: run the backup again.")


def _list_files(path: Path) -> Sequence[Path]:
    if path.is_file():
        return (path,)
    files = (file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
    return sorted(file for file in files if not file.name.startswith("."))  # .NAME.new: unfinished


def _save_stream(writer: ArchiveWriter, file: Path, name: str) -> None:
    """Save a file, unless it is saved already; a log ends with its last complete line."""
    if (writer.directory / name).exists():
        return
    with file.open("rb") as stream:
        status = os.fstat(stream.fileno())
        end = _find_last_line(stream, status.st_size) if ".jsonl" in file.name else status.st_size
        with writer.create(name, status.st_mtime_ns) as saved:
            while end and (piece := stream.read(min(end, PIECE_BYTES))):
                saved.write(piece)
                end -= len(piece)


def _find_last_line(stream: BinaryIO, size: int) -> int:
    """Return the end of the last complete line within `size`, and rewind."""
    start = max(0, size - PIECE_BYTES)  # a line of a log is at most 256 KiB
    stream.seek(start)
    end = start + stream.read(size - start).rfind(b"\n") + 1
    stream.seek(0)
    return end


def _copy_database(source: Path, copy: Path) -> None:
    """Copy a database that others write, as it is at one moment."""
    copy.unlink(missing_ok=True)
    open_private(copy).close()
    try:
        with closing(sqlite3.connect(source)) as db, closing(sqlite3.connect(copy)) as target:
            db.backup(target)
    except sqlite3.Error as error:
        raise BackupError(describe_database_error(source, error)) from error
