"""`heliograph-collector import`: OONI's measurements, judged; what is ours by `bundle`, `code`."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import bundle, code

if TYPE_CHECKING:
    from heliograph_collector.app.ooni_import import Unreadable

EXAMPLE = "Example: heliograph-collector import ooni --json measurements/"
EVERY = 500  # measurements between two lines of progress


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = commands.add_parser(
        "import",
        help="read results that came by another way",
        description="Reads measurements of another system, or what our agents sent by file or "
        "said by voice.",
        epilog=EXAMPLE,
        allow_abbrev=False,
    )
    kinds = command.add_subparsers(dest="kind", metavar="ooni|bundle|code", required=True)
    bundle.add_parser(kinds)
    code.add_parser(kinds)
    ooni = kinds.add_parser(
        "ooni",
        help="OONI's measurement files",
        description="Judges OONI's measurements by our rules; what OONI concluded is not read. "
        "Files are .json (one, or a list) or .jsonl (one a line), plain or .gz; folders are "
        "walked. What cannot be read gets a line on stderr, and the rest goes on.",
        epilog=EXAMPLE + " | Exit code: 0 all read, 1 something was left out, 2 wrong usage.",
        allow_abbrev=False,
    )
    ooni.add_argument("paths", nargs="+", metavar="PATH", type=Path, help="a file or a folder")
    ooni.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace) -> int:
    others = {"bundle": bundle.run, "code": code.run}
    return others.get(args.kind, _ooni)(args)


def _ooni(args: argparse.Namespace) -> int:
    from heliograph_collector.app.ooni_import import Unreadable, judge_files

    count = _Count()
    for result in judge_files(args.paths):
        if isinstance(result, Unreadable):
            _complain(result, count)
            continue
        count.read += 1
        line = json.dumps(result.document()) if args.json else result.sentence()
        print(_plain(line, sys.stdout.encoding))
        _progress(count.read)
    _closing(count)
    return 1 if count.left_out else 0


def _complain(unreadable: "Unreadable", count: "_Count") -> None:
    count.left_out += 1
    place = _place(unreadable.path, unreadable.line)
    complaint = f"heliograph-collector: {place}: {unreadable.reason}."
    print(_plain(complaint, sys.stderr.encoding), file=sys.stderr)


class _Count:
    def __init__(self) -> None:
        self.read = 0
        self.left_out = 0


def _place(path: Path, line: int) -> str:
    return f"{path}, line {line}" if line else str(path)


def _plain(said: str, encoding: str | None) -> str:
    """One line that no file can use to steer the terminal, in what the terminal can show."""
    shown = "".join(c if c.isprintable() else "\ufffd" for c in said)
    return shown.encode(encoding or "utf-8", "replace").decode(encoding or "utf-8")


def _progress(number: int) -> None:
    if number % EVERY == 0 and sys.stderr.isatty():
        print(f"\r{number} read", end="", file=sys.stderr, flush=True)


def _closing(count: _Count) -> None:
    if sys.stderr.isatty():
        print(f"\r{count.read} read, {count.left_out} left out.", file=sys.stderr)
