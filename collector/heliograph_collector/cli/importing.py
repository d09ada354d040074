"""`heliograph-collector import`: OONI's measurements, judged; what is ours by `bundle`, `code`."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import bundle, code

if TYPE_CHECKING:
    from heliograph_collector.ooni import Imported

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
    from heliograph_collector.judge import judge
    from heliograph_collector.ooni import World, line, sentence

    world = World()
    for found in _services(args.paths):
        world.note(found)
    count = _Count()
    for number, found in _imported(args.paths, count):
        seen = world.contrast(found)
        verdicts = judge(seen.taken, seen.control)
        said = json.dumps(line(seen, verdicts)) if args.json else sentence(seen, verdicts)
        print(_plain(said, sys.stdout.encoding))
        _progress(number)
    _closing(count)
    return 1 if count.left_out else 0


def _services(paths: Sequence[Path]) -> "Iterator[Imported]":
    """Those whose control is what others saw; what cannot be read is told of when it is judged."""
    from heliograph_collector.ooni import Complaint, UnreadableError, documents, has_control, read

    for found in documents(paths):
        if isinstance(found, Complaint) or has_control(found.json):
            continue
        with suppress(UnreadableError):
            yield read(found.json)


class _Count:
    def __init__(self) -> None:
        self.read = 0
        self.left_out = 0


def _imported(paths: Sequence[Path], count: _Count) -> Iterator[tuple[int, "Imported"]]:
    """Those that can be read, numbered; the others get their line."""
    from heliograph_collector.ooni import Complaint, UnreadableError, documents, read

    for found in documents(paths):
        try:
            if isinstance(found, Complaint):
                raise UnreadableError(found.why)
            imported = read(found.json)
        except UnreadableError as error:
            count.left_out += 1
            place = _place(found.path, found.line)
            said = f"heliograph-collector: {place}: {error}."
            print(_plain(said, sys.stderr.encoding), file=sys.stderr)
            continue
        count.read += 1
        yield count.read, imported


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
