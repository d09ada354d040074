"""Command `heliograph-collector backup`: save all data of a running collector."""

import argparse
import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import CommandError, add_command, add_common_options, load_cli_config
from heliograph_collector.config.endpoint_file import read_endpoint
from heliograph_collector.config.roles import INGEST
from heliograph_collector.config.settings import Config

if TYPE_CHECKING:
    from heliograph_collector.config.journal_settings import JournalSettings
    from heliograph_collector.store.backup.archive import Manifest
    from heliograph_collector.store.backup.encryption import BackupKey, SealedKey
    from heliograph_collector.store.backup.save import TableSource
    from heliograph_collector.store.store import Store
    from heliograph_collector.store.table_snapshot import StoreSnapshot

SCRATCH = "backup.scratch"  # in the data directory
_SPACE_FACTOR = 2  # a proof needs the tables again, and a spool file of one; assumed


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "backup",
        "save everything into a new directory",
        "backup /mnt/backup/heliograph-1 --to recipient.pub",
        description="Saves store, journal, fleet, logs and keys into a new directory, also while "
        "serve runs, and proves it by restoring it into a scratch directory. Encryption: `openssl "
        "genpkey -algorithm X25519 -out backup.key` makes a private key, to be kept elsewhere, and "
        "`openssl pkey -in backup.key -pubout -out recipient.pub` its public key.",
    )
    command.add_argument("directory", metavar="DIR", type=Path, help="made by this command")
    command.add_argument(
        "--to", metavar="FILE", type=Path, help="encrypt to this X25519 public key, PEM (clear)"
    )
    command.add_argument(
        "--scratch",
        metavar="DIR",
        type=Path,
        help=f"where the proof is made, and removed again (DATA/{SCRATCH})",
    )
    command.add_argument("--no-proof", action="store_true", help="do not restore it for proof")
    add_common_options(command)


def run(args: argparse.Namespace) -> int:
    config = load_cli_config(args)
    directory = args.directory.expanduser()
    is_there = (config.data / ("journal.db" if config.journal is None else "keys")).exists()
    if not is_there:
        raise CommandError(f"{config.data} holds no collector: name its --data directory.")
    with report_as_command_error(), keep_files_private():
        manifest = asyncio.run(_save(config, directory, args))
    rows = sum(table.rows for table in manifest.tables)
    proof = "not proved" if args.no_proof else "proved by a restore"
    keys = "It is encrypted" if args.to else "The keys are in it: keep it as safe as them"
    print(
        f"Saved in {directory}: {rows} rows, journal up to {manifest.last_position}, {proof}. "
        f"{keys}."
    )
    return 0


async def _save(config: Config, directory: Path, args: argparse.Namespace) -> "Manifest":
    from heliograph_collector.store.backup.encryption import BackupKey
    from heliograph_collector.store.backup.save import save_backup

    key: tuple[BackupKey, SealedKey] | None = BackupKey.create(args.to) if args.to else None
    with (
        _open_scratch(args.scratch or config.data / SCRATCH) as scratch,
        _open_source(config) as source,
    ):
        return await save_backup(
            source,
            config.data,
            directory,
            scratch,
            journal=JournalOnServers(config.journal, config.data) if config.journal else None,
            proof=None if args.no_proof else RestoreProof(config, scratch),
            key=key,
        )


class JournalOnServers:
    """The journal of a collector with `store.journal`."""

    def __init__(self, servers: "JournalSettings", data: Path) -> None:
        self._servers = servers
        self._data = data

    async def copy(self, file: Path) -> None:
        from heliograph_collector.store.journal.opening import copy_from_servers

        await copy_from_servers(self._servers, self._data, file)


@contextmanager
def _open_scratch(scratch: Path) -> Iterator[Path]:
    """Create a directory for one backup, and remove it at the end.

    Files of a killed backup are removed first.
    """
    from heliograph_collector.store.backup.archive import make_private_folder
    from heliograph_collector.store.directory_lock import DirectoryLock

    make_private_folder(scratch)
    lock = DirectoryLock(scratch, "backup")
    work = scratch / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        lock.release()
        if scratch.name == SCRATCH:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _open_source(config: Config) -> "Iterator[TableSource]":
    """Yield the store of a running collector, or our own while no collector may start."""
    from heliograph_collector.app.commands import build_store
    from heliograph_collector.store.backup.live import LiveTables
    from heliograph_collector.store.directory_lock import DirectoryInUseError, DirectoryLock

    try:
        lock = DirectoryLock(config.data, "journal")
    except DirectoryInUseError:
        if not read_endpoint(config.data, "pid"):  # another command has it
            raise
        if read_endpoint(config.data, "roles") == INGEST:
            raise CommandError(
                f"`serve` runs ingest alone on {config.data}, without the store: stop it, or start "
                "it with all roles, and run the backup again."
            ) from None
        yield LiveTables(config.data)
        return
    try:
        yield _StoppedStore(build_store(config))
    finally:
        lock.release()


class _StoppedStore:
    """Store that is open only while it is read: an engine has one directory at a time."""

    def __init__(self, store: "Store") -> None:
        self._store = store

    @asynccontextmanager
    async def open_snapshot(self) -> "AsyncIterator[StoreSnapshot]":
        try:
            await self._store.open()
            async with self._store.open_snapshot() as snapshot:
                yield snapshot
        finally:
            await self._store.close()

    def read_table(self, table: str) -> AsyncGenerator[bytes, None]:
        return self._store.read_table(table)


class RestoreProof:
    """Restores a backup into a scratch directory, which compares every count and hash."""

    def __init__(self, config: Config, scratch: Path) -> None:
        self._config = config
        self._scratch = scratch

    async def prove(self, directory: Path, key: "BackupKey | None") -> None:
        from heliograph_collector.app.commands import build_store
        from heliograph_collector.store.backup.archive import ArchiveReader
        from heliograph_collector.store.backup.restore import restore_backup

        reader = ArchiveReader(directory, key=key)
        needed = _SPACE_FACTOR * sum(file.bytes for file in reader.manifest.files)
        if shutil.disk_usage(self._scratch).free < needed:
            raise CommandError(
                f"{self._scratch} has too little room to restore the backup for proof "
                f"({needed // 1_000_000 + 1} MB): name another place with --scratch, or say "
                "--no-proof."
            )
        data = self._scratch / "proof"
        store = build_store(replace(self._config, data=data, store_url=""))
        await restore_backup(reader, data, store)


@contextmanager
def keep_files_private() -> Iterator[None]:
    """Create files that only their owner reads, the engine's too, whatever the umask."""
    mask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(mask)


@contextmanager
def report_as_command_error() -> Iterator[None]:
    """Convert errors of store and journal, which are sentences, to CommandError."""
    from heliograph_collector.store.backup import BackupError
    from heliograph_collector.store.journal.journal import JournalError
    from heliograph_collector.store.migrations import SchemaError
    from heliograph_collector.store.store import DirectoryInUseError, StoreError

    try:
        yield
    except (BackupError, DirectoryInUseError, JournalError, SchemaError, StoreError) as error:
        raise CommandError(str(error)) from error
