"""Command `heliograph-collector export parquet`: write daily files of cells.

They equal those under `/dumps/`.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from heliograph.clock import SystemClock
from heliograph_collector.cli import (
    CommandError,
    add_command,
    add_common_options,
    check_store_exists,
    load_cli_config,
    parse_day,
    parse_last_day,
    print_progress,
)
from heliograph_collector.cli.backup import report_as_command_error


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "export",
        "write published data to files",
        "export parquet /mnt/open-data --since 2022-01-01",
        description="Writes daily Parquet files of cells (never measurements or vantages), within "
        "feed.k_anonymity, with a list of them (index.json) and a data dictionary (README.json).",
    )
    kinds = command.add_subparsers(dest="kind", metavar="FORMAT", required=True)
    parquet = add_command(
        kinds,
        "parquet",
        "daily Parquet files of cells",
        "export parquet /mnt/open-data --since 2022-01-01",
        description="One file for each UTC day that is over. Stop serve first: the embedded store "
        "has one owner at a time; agents keep their results meanwhile. (`serve` offers the same "
        "files under /dumps/.)",
    )
    parquet.add_argument("directory", metavar="DIR", type=Path, help="made if it does not exist")
    parquet.add_argument("--since", metavar="DAY", type=parse_day, help="first day, UTC (all)")
    parquet.add_argument(
        "--until", metavar="DAY", type=parse_last_day, help="last day, UTC (yesterday)"
    )
    parquet.add_argument("--json", action="store_true", help="print one JSON object")
    add_common_options(parquet)


def run(args: argparse.Namespace) -> int:
    from msgspec import to_builtins

    from heliograph_collector.app.commands import export_days

    config = load_cli_config(args)
    folder = args.directory.expanduser()
    check_store_exists(config)
    now_us = SystemClock().wall_us()
    since_us = 0 if args.since is None else args.since
    until_us = now_us if args.until is None else args.until
    if since_us >= until_us:
        raise CommandError("--since lies after --until: nothing is between them.")
    with report_as_command_error():
        files = asyncio.run(
            export_days(config, folder, (since_us, until_us), now_us, print_progress)
        )
    _print_result(to_builtins(files), folder, as_json=args.json)
    return 0


def _print_result(files: Sequence[Mapping[str, object]], folder: Path, *, as_json: bool) -> None:
    if sys.stderr.isatty() and files:
        print(file=sys.stderr)
    if as_json:
        print(json.dumps({"directory": str(folder), "files": files}))
        return
    for file in files:
        print(f"{file['name']}  {file['rows']} rows, revision {file['revision']}")
    print(f"{len(files)} days in {folder}." if files else "No day that is over has cells to show.")
