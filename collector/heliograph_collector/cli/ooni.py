"""Command `heliograph-collector import ooni`: judge OONI's data by our rules."""

import argparse
import json
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import (
    CommandError,
    add_command,
    add_common_options,
    load_cli_config,
    make_integer_parser,
    print_progress,
)

if TYPE_CHECKING:
    from heliograph_collector.config.settings import Config
    from heliograph_collector.sources.ooni.judged_import import JudgedImport
    from heliograph_collector.store.imported_results import ImportedResults

PROGRESS_STEP = 500  # measurements between two updates of the progress line
MAX_JOBS = 256  # assumed: more than processors of a machine for this


def add_parser(kinds: "argparse._SubParsersAction[Any]") -> None:
    ooni = add_command(
        kinds,
        "ooni",
        "OONI's measurement files",
        "import ooni --json measurements/",
        description="Judges OONI's measurements by our rules; what OONI concluded is not read. "
        "Files are .json (one, or a list) or .jsonl (one a line), plain or .gz; folders are "
        "walked. What cannot be read gets a line on stderr, and the import continues. "
        "Exit code: 0 all read, 1 something was left out or cut, 2 wrong usage.",
    )
    ooni.add_argument("paths", nargs="+", metavar="PATH", type=Path, help="a file or a folder")
    ooni.add_argument("--json", action="store_true", help="one JSON object a line")
    ooni.add_argument(
        "--max-expanded",
        metavar="BYTES",
        type=parse_byte_count,
        help="read no more of one file, unpacked (default 1 GiB)",
    )
    ooni.add_argument(
        "--jobs",
        metavar="N",
        type=make_integer_parser(MAX_JOBS),
        help="use so many processes (default: one for each processor that has work)",
    )
    ooni.add_argument(
        "--summary",
        action="store_true",
        help="end with a line of JSON on stderr: read, left_out, read_in_part, stored",
    )
    ooni.add_argument(
        "--store",
        action="store_true",
        help="keep the results in DATA/imported.db, as OONI's and apart from ours",
    )
    add_common_options(ooni)


def parse_byte_count(text: str) -> int:
    """Parse a positive number of bytes. Raises argparse.ArgumentTypeError."""
    if not text.isdecimal() or int(text[:20]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes; write, say, 2000000000")
    return int(text[:20])


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.store.imported_results import (
        FILE,
        ImportedResults,
        ImportedResultsError,
    )

    config = load_cli_config(args)
    if not args.store:
        return _import_files(args, config, None)
    try:
        with closing(ImportedResults(config.data / FILE)) as imported:
            return _import_files(args, config, imported)
    except ImportedResultsError as error:
        raise CommandError(str(error)) from error


@dataclass(slots=True)
class _ImportCount:
    read: int = 0
    left_out: int = 0
    read_in_part: int = 0
    stored: int = 0  # that were not there before


def _import_files(
    args: argparse.Namespace, config: "Config", imported: "ImportedResults | None"
) -> int:
    from heliograph.clock import SystemClock
    from heliograph_collector.app.commands import judge_files
    from heliograph_collector.fleet.plain_lists import open_lists
    from heliograph_collector.judge.fingerprints.list_summary import PlainFormat

    count = _ImportCount()
    pending: list[JudgedImport] = []
    lists = open_lists(config.data, SystemClock(), PlainFormat())
    for result in judge_files(args.paths, lists, args.max_expanded, args.jobs):
        if not result.is_readable:
            count.left_out += 1
            _print_complaint(result.path, result.line, result.reason)
            continue
        count.read += 1
        if result.cut_rows:
            count.read_in_part += 1
            reason = f"read in part: {result.cut_rows} of its rows are beyond the limit of a list"
            _print_complaint(result.path, result.line, reason)
        line = json.dumps(result.row) if args.json else result.sentence
        print(_sanitize_line(line, sys.stdout.encoding))
        pending.append(result)
        if count.read % PROGRESS_STEP == 0:
            print_progress(f"{count.read} read")
            count.stored += _store_results(imported, pending)
            pending.clear()
    count.stored += _store_results(imported, pending)
    _print_total(count, is_summary=args.summary)
    return 1 if count.left_out or count.read_in_part else 0


def _store_results(imported: "ImportedResults | None", pending: "list[JudgedImport]") -> int:
    """Store results, if requested, and return the number of new ones.

    Raises ImportedResultsError.
    """
    from heliograph.clock import SystemClock
    from heliograph_collector.judge import RULES_VERSION

    if imported is None:
        return 0
    results = [judged.result for judged in pending]
    return imported.add(results, SystemClock().wall_us(), RULES_VERSION)


def _print_complaint(path: Path, line: int, reason: str) -> None:
    position = f"{path}, line {line}" if line else str(path)
    message = f"heliograph-collector: {position}: {reason}."
    print(_sanitize_line(message, sys.stderr.encoding), file=sys.stderr)


def _sanitize_line(line: str, encoding: str | None) -> str:
    """Replace characters that control the terminal or cannot be shown."""
    printable = "".join(c if c.isprintable() else "\ufffd" for c in line)
    return printable.encode(encoding or "utf-8", "replace").decode(encoding or "utf-8")


def _print_total(count: _ImportCount, *, is_summary: bool) -> None:
    if is_summary:
        print(json.dumps(asdict(count)), file=sys.stderr)
    elif sys.stderr.isatty():
        total = f"{count.read} read ({count.read_in_part} in part), {count.left_out} left out."
        print(f"\r{total}", file=sys.stderr)
