"""`heliograph-collector evaluate`: how good the detectors are, where the truth is known."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import CommandError

if TYPE_CHECKING:
    from heliograph_lab.evaluate.run import Job, Outcome

EXAMPLE = "Example: heliograph-collector evaluate --seeds 100"
CORPUS_SEEDS, FILE_SEEDS = 1_000, 20
MOST_SEEDS = 100_000


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = commands.add_parser(
        "evaluate",
        help="score the detectors on replays whose truth is known",
        description="Plays scenarios in virtual time, lets the detectors and those of others look "
        "at the same replay, and prints the scorecard. Without a file: the shipped corpus. "
        "Nothing is measured, nothing leaves the machine.",
        epilog=EXAMPLE,
        allow_abbrev=False,
    )
    command.add_argument(
        "scenarios",
        metavar="FILE",
        nargs="*",
        help="scenarios to play (.yml); or one real event: IODA's signals, RIPE Atlas's connection "
        "events, OONI's measurements, a table of time and value",
    )
    command.add_argument(
        "--entity",
        metavar="WHO",
        default="",
        help="of whom a real event is: IR, IR/Tehran, AS44244",
    )
    command.add_argument(
        "--truth", metavar="FILE", type=Path, help="what happened, to hold a real event against"
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument(
        "--seeds",
        metavar="N",
        type=seeds,
        help=f"replays of each file ({FILE_SEEDS}), or of random shutdowns ({CORPUS_SEEDS})",
    )
    command.add_argument(
        "--half",
        choices=("tuning", "reporting"),
        default="reporting",
        help="which seeds: thresholds may be tuned on one half alone (reporting)",
    )


def seeds(text: str) -> int:
    """For argparse: a number of seeds."""
    if text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_SEEDS:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {MOST_SEEDS}")


def run(args: argparse.Namespace) -> int:
    from heliograph_lab.evaluate.measures import piles
    from heliograph_lab.evaluate.run import jobs
    from heliograph_lab.evaluate.scenario_file import ScenarioError
    from heliograph_lab.evaluate.table import document, text

    paths = [Path(name).expanduser() for name in args.scenarios]
    if any(path.suffix not in (".yml", ".yaml") for path in paths):
        from heliograph_lab.cli.evaluate_event import told

        return told(paths, args)
    if args.entity or args.truth:
        raise CommandError("--entity and --truth belong to a real event: name its file.")
    count = args.seeds or (FILE_SEEDS if paths else CORPUS_SEEDS)
    try:
        _read(paths)
        work = jobs(paths, count, args.half)
        of = piles(_counted(work))
    except ScenarioError as error:
        raise CommandError(str(error)) from error
    except TimeoutError as error:
        raise CommandError(
            "a replay took over a quarter of an hour: give fewer --seeds."
        ) from error
    about = {"seeds": count, "half": args.half, "replays": len(work)}
    print(json.dumps(document(of, about)) if args.json else text(of, about))
    return 0


def _read(paths: Sequence[Path]) -> None:
    """Complain of a file before the first replay, not in the middle."""
    from heliograph_lab.evaluate.scenario_file import load

    for path in paths:
        load(path)


def _counted(work: Sequence["Job"]) -> Iterator["Outcome"]:
    from heliograph_lab.evaluate.run import outcomes

    seen = sys.stderr.isatty()
    try:
        for number, outcome in enumerate(outcomes(work), 1):
            if seen:
                print(f"\r{number} of {len(work)} replays", end="", file=sys.stderr, flush=True)
            yield outcome
    finally:
        if seen:
            print(file=sys.stderr)
