"""Command `heliograph-collector fingerprints`: lists of block pages and addresses."""

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import CommandError, add_command, add_common_options, load_cli_config

if TYPE_CHECKING:
    from heliograph_collector.config.settings import Config
    from heliograph_collector.judge.fingerprints.library import ListSource
    from heliograph_collector.judge.fingerprints.list_summary import ListSummary
    from heliograph_collector.judge.fingerprints.scorecard import Score

MOST_SHOWN = 6  # values of one property in a line of text


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "fingerprints",
        "list, import, export and score lists of known block pages and block addresses",
        "fingerprints import fingerprints_http.csv",
        description="The lists by which the judge knows block pages, block addresses in DNS, "
        "certificate issuers and innocent pages. They are signed by the key that signs plans.",
    )
    actions = command.add_subparsers(
        dest="action", metavar="list|import|export|remove|score", required=True
    )
    list_parser = add_command(
        actions, "list", "count the lines of each list", "fingerprints list --json"
    )
    import_parser = _add_import_parser(actions)
    export_parser = add_command(
        actions,
        "export",
        "write the imported lists, signed, for other collectors",
        "fingerprints export heliograph-lists.json",
        description="Prints who signed them, for others to compare before they import the file.",
    )
    export_parser.add_argument("path", metavar="FILE", type=Path)
    remove_parser = add_command(
        actions, "remove", "take back a list, or a publisher's", "fingerprints remove isp.csv"
    )
    remove_parser.add_argument("name", metavar="NAME", help="a list, or a publisher's whole name")
    score_parser = add_command(
        actions,
        "score",
        "measure the lists on a corpus of labeled pages",
        "fingerprints score corpus.jsonl",
        description="One JSON object a line: label (block or innocent), body, title, text, "
        "location, server, status, url, dns. Exit code 1 if an innocent answer is called a block.",
    )
    score_parser.add_argument("corpus", metavar="CORPUS", type=Path)
    score_parser.add_argument(
        "--without",
        default="",
        metavar="SOURCE",
        help="leave out the lines of a source, to see what the others find of it",
    )
    for each in (list_parser, import_parser, score_parser):
        each.add_argument("--json", action="store_true", help="JSON")
    for each in (list_parser, export_parser, remove_parser):
        add_common_options(each, acts_on_collector=True)
    for each in (import_parser, score_parser):
        add_common_options(each)


def _add_import_parser(
    actions: "argparse._SubParsersAction[Any]",
) -> argparse.ArgumentParser:
    import_parser = add_command(
        actions,
        "import",
        "add a list, or replace the list of that name",
        "fingerprints import fingerprints_dns.csv",
        description="Reads OONI's CSV and JSON as they are, our YAML, and what another collector "
        "exported. A list with an error, a signature that is not valid, or a version older than "
        "the stored one changes nothing. A running collector uses the lists from the next "
        "measurements on.",
    )
    import_parser.add_argument(
        "path", metavar="PATH", type=Path, help=".csv, .json, .jsonl, .yml, or an export"
    )
    import_parser.add_argument("--name", default="", metavar="NAME", help="instead of the file's")
    import_parser.add_argument(
        "--publisher",
        default="",
        metavar="ID",
        help="trust who signed an export, from now on: 64 digits, compared by another way",
    )
    return import_parser


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.fleet.signed_lists import ListsError
    from heliograph_collector.judge.fingerprints.list_reader import FingerprintError

    config = load_cli_config(args)
    try:
        return _run_action(args, config)
    except FingerprintError as error:
        raise CommandError(f"{error}.") from error
    except ListsError as error:
        raise CommandError(str(error)) from error


def _run_action(args: argparse.Namespace, config: "Config") -> int:
    """Run one action. Raises FingerprintError, ListsError, OSError."""
    from heliograph.clock import SystemClock
    from heliograph_collector.cli import list_actions
    from heliograph_collector.fleet.plain_lists import open_lists
    from heliograph_collector.judge.fingerprints.list_summary import PlainFormat

    clock = SystemClock()
    if args.action == "score":
        return _score(args, open_lists(config.data, clock, PlainFormat()))
    if args.action == "export":
        publisher = list_actions.export_lists(config, clock, args.path)
        print(f"Publisher {publisher}: others compare it and give it once as --publisher.")
        return 0
    if args.action == "remove":
        list_actions.remove_lists(config, clock, args.name)
        print(f"{args.name} is removed.")
        return 0
    summaries = (
        list_actions.import_lists(
            config, clock, args.path, name=args.name, publisher=args.publisher
        )
        if args.action == "import"
        else list_actions.summarize_lists(config, clock)
    )
    _print_json(summaries) if args.json else _print_summaries(summaries)
    return 0


def _score(args: argparse.Namespace, lists: "ListSource") -> int:
    from heliograph_collector.judge.fingerprints.library import FingerprintLibrary
    from heliograph_collector.judge.fingerprints.scorecard import (
        leave_out,
        read_corpus,
        score_corpus,
    )

    library = FingerprintLibrary()
    library.watch(lists)
    index = leave_out(library.index, args.without) if args.without else library.index
    score = score_corpus(read_corpus(args.corpus), index)
    _print_json(score) if args.json else _print_score(score)
    return 1 if score.mistaken else 0


def _print_json(document: object) -> None:
    import msgspec

    print(msgspec.json.encode(document).decode())


def _print_summaries(summaries: "list[ListSummary]") -> None:
    for summary in summaries:
        version = f", version {summary.version}" if summary.version else ""
        print(f"{summary.name}: {summary.fingerprints} fingerprints{version}")
        if summary.bundle:
            signer = summary.publisher or "this collector"
            day = datetime.fromtimestamp(summary.issued_s, UTC)
            print(f"  signed by {signer} on {day:%Y-%m-%d}, lists version {summary.bundle}")
        for name in ("kinds", "scopes", "sources", "countries", "years"):
            print(f"  {name}: {_describe_counts(getattr(summary, name))}")
        if summary.unusable:
            print(f"  {summary.unusable} look at headers whose values no measurement holds")


def _describe_counts(counts: Mapping[str, int]) -> str:
    largest = sorted(counts.items(), key=_get_count, reverse=True)
    summary = ", ".join(f"{name} {count}" for name, count in largest[:MOST_SHOWN])
    rest = len(largest) - MOST_SHOWN
    return f"{summary} and {rest} more" if rest > 0 else summary


def _get_count(item: tuple[str, int]) -> int:
    return item[1]


def _print_score(score: "Score") -> None:
    print(
        f"recall {score.recall:.3f} ({score.found} of {score.blocks} block answers), "
        f"precision {score.precision:.3f}, "
        f"{score.mistaken} of {score.innocents} innocent answers called a block"
    )
    for line in score.lines:
        print(f"  {line.name}: {line.blocks} right, {line.innocents} wrong")
