"""Command `heliograph-collector restore`: restore into an empty directory."""

import argparse
import asyncio
from pathlib import Path
from typing import Any

from heliograph_collector.cli import add_command, add_common_options, load_cli_config
from heliograph_collector.cli.backup import report_as_command_error
from heliograph_collector.config.settings import Config


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "restore",
        "lay a backup out in an empty data directory",
        "restore /mnt/backup/heliograph-1 --data new",
        description="Fills an empty data directory from what `backup` saved; then start serve.",
    )
    command.add_argument("directory", metavar="DIR", type=Path, help="made by `backup`")
    add_common_options(command)


def run(args: argparse.Namespace) -> int:
    config = load_cli_config(args)
    directory = args.directory.expanduser()
    with report_as_command_error():
        asyncio.run(_restore_backup(config, directory))
    print(f"Restored into {config.data}.")
    return 0


async def _restore_backup(config: Config, directory: Path) -> None:
    from heliograph_collector.app.commands import build_store
    from heliograph_collector.store.backup import restore

    store = build_store(config)
    try:
        await store.open()
        await restore(directory, config.data, store)
    finally:
        await store.close()
