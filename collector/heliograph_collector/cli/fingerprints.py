"""Command `heliograph-collector fingerprints`: lists of block pages, block addresses and others."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import CommandError, add_command, add_common_options, load_cli_config

if TYPE_CHECKING:
    from heliograph_collector.judge.fingerprints.imported_lists import ListSummary
    from heliograph_collector.judge.fingerprints.scorecard import Score

MOST_SHOWN = 6  # values of one property in a line of text


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "fingerprints",
        "list, import and score lists of known block pages and block addresses",
        "fingerprints import fingerprints_http.csv",
        description="The lists by which the judge knows block pages, block addresses in DNS, "
        "certificate issuers and innocent pages.",
    )
    actions = command.add_subparsers(dest="action", metavar="list|import|score", required=True)
    list_parser = add_command(
        actions, "list", "count the lines of each list", "fingerprints list --json"
    )
    import_parser = add_command(
        actions,
        "import",
        "add a list, or replace the list of that name",
        "fingerprints import fingerprints_dns.csv",
        description="Reads OONI's CSV and JSON as they are, and our YAML. A list with an error "
        "changes nothing. A running collector uses it from the next measurements on. To take a "
        "list back, delete its file in DATA/fingerprints.",
    )
    import_parser.add_argument("path", metavar="PATH", type=Path, help=".csv, .json, .jsonl, .yml")
    import_parser.add_argument("--name", default="", metavar="NAME", help="instead of the file's")
    score_parser = add_command(
        actions,
        "score",
        "measure the lists on a corpus of labeled pages",
        "fingerprints score corpus.jsonl",
        description="One JSON object a line: label (block or innocent), body, title, text, "
        "location, server, status, url, dns. Exit code 1 if an innocent answer is called a block.",
    )
    score_parser.add_argument("corpus", metavar="CORPUS", type=Path)
    for each in (list_parser, import_parser, score_parser):
        each.add_argument("--json", action="store_true", help="JSON")
        add_common_options(each)


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.judge.fingerprints.imported_lists import (
        DIRECTORY,
        import_list,
        summarize_lists,
    )
    from heliograph_collector.judge.fingerprints.list_reader import FingerprintError

    directory = load_cli_config(args).data / DIRECTORY
    try:
        if args.action == "score":
            return _score(args, directory)
        is_import = args.action == "import"
        summaries = (
            [import_list(args.path, directory, args.name)]
            if is_import
            else summarize_lists(directory)
        )
    except FingerprintError as error:
        raise CommandError(f"{error}.") from error
    _print_json(summaries) if args.json else _print_summaries(summaries)
    return 0


def _score(args: argparse.Namespace, directory: Path) -> int:
    from heliograph_collector.judge.fingerprints.library import FingerprintLibrary
    from heliograph_collector.judge.fingerprints.scorecard import read_corpus, score_corpus

    library = FingerprintLibrary()
    library.watch(directory)
    score = score_corpus(read_corpus(args.corpus), library.index)
    _print_json(score) if args.json else _print_score(score)
    return 1 if score.mistaken else 0


def _print_json(document: object) -> None:
    import msgspec

    print(msgspec.json.encode(document).decode())


def _print_summaries(summaries: "list[ListSummary]") -> None:
    for summary in summaries:
        version = f", version {summary.version}" if summary.version else ""
        print(f"{summary.name}: {summary.fingerprints} fingerprints{version}")
        for name in ("kinds", "scopes", "sources", "countries", "years"):
            print(f"  {name}: {_describe_counts(getattr(summary, name))}")
        if summary.unusable:
            print(f"  {summary.unusable} look at headers whose values no measurement holds")


def _describe_counts(counts: Mapping[str, int]) -> str:
    largest = sorted(counts.items(), key=_get_count, reverse=True)
    shown = ", ".join(f"{name} {count}" for name, count in largest[:MOST_SHOWN])
    rest = len(largest) - MOST_SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown


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
