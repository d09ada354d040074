"""`heliograph-collector evaluate`: score detectors on replays with known truth."""

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import CommandError, make_integer_parser, sanitize_text

if TYPE_CHECKING:
    from heliograph_lab.evaluate.run import ReplayJob, ReplayOutcome

EXAMPLE = "Example: heliograph-collector evaluate --seeds 5 --family own_block --family power"
CORPUS_SEEDS = 10
FILE_SEEDS = 20
MAX_SEEDS = 100_000


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = commands.add_parser(
        "evaluate",
        help="score the detectors on replays with known outages",
        description="Plays scenarios in virtual time, runs our detectors and published ones on "
        "the same replay, and prints the scorecard. Without a file: the shipped corpus. "
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
        help="the place or network of a real event: IR, IR/Tehran, AS44244",
    )
    command.add_argument(
        "--truth",
        metavar="FILE",
        type=Path,
        help="a file of what happened, to compare a real event with",
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument(
        "--seeds",
        metavar="N",
        type=make_integer_parser(MAX_SEEDS),
        help=f"replays of each file ({FILE_SEEDS}), or of each family ({CORPUS_SEEDS})",
    )
    command.add_argument(
        "--half",
        choices=("tuning", "reporting"),
        default="tuning",
        help="which seeds (tuning); a look at the reporting half is to be noted in looks.csv",
    )
    command.add_argument(
        "--family",
        metavar="NAME",
        action="append",
        default=[],
        help="play only this family of the corpus; may be repeated",
    )


def run(args: argparse.Namespace) -> int:
    from heliograph.yaml_document import YamlError
    from heliograph_lab.evaluate.measures import group_by_contender
    from heliograph_lab.evaluate.run import DATED, list_jobs
    from heliograph_lab.evaluate.scenario_file import load_scenario
    from heliograph_lab.evaluate.table import (
        ScorecardRun,
        count_looks,
        format_scorecard,
        scorecard_document,
    )
    from heliograph_lab.evaluate.world.families import FAMILIES

    unknown = [name for name in args.family if name not in (*FAMILIES, DATED)]
    if unknown:
        raise CommandError(f"no family {unknown[0]!r}: give one of {', '.join(FAMILIES)}, {DATED}.")
    paths = [Path(name).expanduser() for name in args.scenarios]
    if any(path.suffix not in (".yml", ".yaml") for path in paths):
        return run_event(paths, args)
    if args.entity or args.truth:
        raise CommandError("--entity and --truth belong to a real event: name its file.")
    count = args.seeds or (FILE_SEEDS if paths else CORPUS_SEEDS)
    try:
        for path in paths:  # all of them, before the first replay
            load_scenario(path)
        work = list_jobs(paths, count, args.half, args.family)
        results_by_name = group_by_contender(_run_with_progress(work))
    except YamlError as error:
        raise CommandError(str(error)) from error
    except multiprocessing.TimeoutError as error:  # no subclass of the other one
        raise CommandError(
            "four replays took over an hour: leave the processors to them, or name a --family."
        ) from error
    about = ScorecardRun(count, args.half, len(work), count_looks())
    print(
        json.dumps(scorecard_document(results_by_name, about))
        if args.json
        else format_scorecard(results_by_name, about)
    )
    return 0


def _run_with_progress(work: Sequence["ReplayJob"]) -> Iterator["ReplayOutcome"]:
    from heliograph_lab.evaluate.run import run_jobs

    is_terminal = sys.stderr.isatty()
    try:
        for number, outcome in enumerate(run_jobs(work), 1):
            if is_terminal:
                print(f"\r{number} of {len(work)} replays", end="", file=sys.stderr, flush=True)
            yield outcome
    finally:
        if is_terminal:
            print(file=sys.stderr)


def run_event(paths: Sequence[Path], args: argparse.Namespace) -> int:
    """Evaluate one real event; return 1 if part of its file was left out, else 0."""
    from heliograph.yaml_document import YamlError
    from heliograph_collector.app.commands import load_event
    from heliograph_collector.sources.complaints import Complaints, ImportRefusedError
    from heliograph_lab.evaluate.event.report import (
        build_report,
        format_report,
        read_truths,
        report_document,
        with_truths,
    )

    if len(paths) != 1 or args.seeds is not None:
        raise CommandError(
            "A real event is looked at alone and has no seeds: give its one file or folder."
        )
    complaints = Complaints()
    try:
        imported = load_event(paths[0], args.entity)
        if args.truth:
            all_truths = read_truths(args.truth.expanduser(), complaints)
            imported = replace(imported, replay=with_truths(imported.replay, all_truths))
    except (ImportRefusedError, YamlError) as error:
        raise CommandError(str(error)) from error
    all_complaints = (*imported.complaints, *complaints.list_sentences())
    for sentence in all_complaints:
        print(sanitize_text(f"heliograph-collector: {sentence}"), file=sys.stderr)
    report = build_report(imported)
    if args.json:
        print(json.dumps(report_document(report)))
    else:
        print("\n".join(map(sanitize_text, format_report(report).splitlines())))
    return 1 if all_complaints else 0
