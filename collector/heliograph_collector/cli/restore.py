"""Command `heliograph-collector restore`: restore into an empty directory."""

import argparse
import asyncio
from pathlib import Path
from typing import Any

from heliograph_collector.cli import add_command, add_common_options, load_cli_config
from heliograph_collector.cli.backup import keep_files_private, report_as_command_error


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "restore",
        "restore a backup into an empty data directory",
        "restore /mnt/backup/heliograph-1 --data new",
        description="Fills an empty data directory from what `backup` saved, all or nothing, and "
        "compares counts and hashes; then start serve.",
    )
    command.add_argument("directory", metavar="DIR", type=Path, help="made by `backup`")
    command.add_argument(
        "--identity", metavar="FILE", type=Path, help="X25519 private key, PEM, if it is encrypted"
    )
    add_common_options(command)


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.app.commands import build_store
    from heliograph_collector.store.backup.archive import ArchiveReader
    from heliograph_collector.store.backup.restore import restore_backup

    config = load_cli_config(args)
    with report_as_command_error(), keep_files_private():
        reader = ArchiveReader(args.directory.expanduser(), identity=args.identity)
        asyncio.run(restore_backup(reader, config.data, build_store(config)))
    print(f"Restored into {config.data}.")
    return 0
