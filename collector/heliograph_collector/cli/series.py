"""Command `heliograph-collector import series`: public series as a file of signals."""

import argparse
import sys
from pathlib import Path
from typing import Any

from heliograph_collector.cli import CommandError, add_command
from heliograph_collector.cli.replay import sanitize_text


def add_parser(kinds: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        kinds,
        "series",
        "series of IODA, RIPE Atlas, OONI, or a table of time and value",
        "import series ioda-IR.csv --signals iran.jsonl | "
        "Exit code: 0 all read, 1 something was left out, 2 wrong usage.",
        description="Writes public series as signals, which `replay` runs the detectors over. "
        "The format is known by its content: IODA's signals (JSON) or table (CSV), RIPE Atlas's "
        "connection events, OONI's measurements, any table of time and value.",
    )
    command.add_argument("path", metavar="PATH", type=Path, help="a file or a folder")
    command.add_argument("--signals", metavar="FILE", type=Path, required=True, help="to write")
    command.add_argument(
        "--entity",
        metavar="WHO",
        default="",
        help="the place or network, where the file names none: IR, IR/Tehran, AS44244",
    )


def run(args: argparse.Namespace) -> int:
    """Convert one file or folder; return 1 if part of it was left out, else 0."""
    from heliograph_collector.app.commands import load_event
    from heliograph_collector.sources.complaints import ImportRefusedError
    from heliograph_collector.sources.signal_writer import write_signals

    try:
        imported = load_event(args.path.expanduser(), args.entity)
    except ImportRefusedError as error:
        raise CommandError(str(error)) from error
    for sentence in imported.complaints:
        print(sanitize_text(f"heliograph-collector: {sentence}"), file=sys.stderr)
    with args.signals.expanduser().open("wb") as file:
        count = write_signals(imported.replay, file)
    print(f"{count} signals written; run: heliograph-collector replay {args.signals}")
    return 1 if imported.complaints else 0
