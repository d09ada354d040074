"""Command `heliograph-collector backup`: save all data of a collector."""

import argparse
import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from heliograph_collector.cli import CommandError, add_command, add_common_options, load_cli_config
from heliograph_collector.config.settings import Config


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "backup",
        "save everything into a new directory",
        "backup /mnt/backup/heliograph-1",
        description="Saves store, journal, fleet, alert log and keys into a new directory. "
        "Stop serve first: the embedded store has one owner at a time; agents keep their results "
        "meanwhile.",
    )
    command.add_argument("directory", metavar="DIR", type=Path, help="made by this command")
    add_common_options(command)


# The alert log and the data for its reproduction; the daily files, to continue their revisions;
# the console users, and their audit log.
_EXTRA_FILES = (
    "fleet.db",
    "keys",
    "alerts.jsonl",
    "detect",
    "dumps",
    "operators.json",
    "audit.jsonl",
)


def run(args: argparse.Namespace) -> int:
    config = load_cli_config(args)
    directory = args.directory.expanduser()
    if not (config.data / "journal.db").exists():
        raise CommandError(f"{config.data} holds no collector: name its --data directory.")
    with report_as_command_error():
        asyncio.run(_save_backup(config, directory))
    print(f"Saved in {directory}. The keys are in it: keep it as safe as them.")
    return 0


async def _save_backup(config: Config, directory: Path) -> None:
    from heliograph_collector.app.commands import build_store
    from heliograph_collector.store.backup import snapshot
    from heliograph_collector.store.journal.journal import Journal

    journal = Journal(config.data / "journal.db")
    store = build_store(config)
    try:
        await store.open()
        extra_paths = [config.data / name for name in _EXTRA_FILES]
        await snapshot(journal, store, directory, [path for path in extra_paths if path.exists()])
    finally:
        await store.close()
        await journal.close()


@contextmanager
def report_as_command_error() -> Iterator[None]:
    """Convert errors of store and journal, which are sentences, to CommandError."""
    from heliograph_collector.store.journal.journal import JournalError
    from heliograph_collector.store.migrations import SchemaError
    from heliograph_collector.store.store import DirectoryInUseError, StoreError

    try:
        yield
    except (DirectoryInUseError, JournalError, SchemaError, StoreError) as error:
        raise CommandError(str(error)) from error
