"""Command `heliograph-collector rejudge`: judge stored data by the present rules."""

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, astuple
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph.clock import SystemClock
from heliograph_collector.cli import (
    CommandError,
    add_command,
    add_common_options,
    check_store_exists,
    load_cli_config,
    parse_country,
    print_progress,
)
from heliograph_collector.cli.backup import report_as_command_error
from heliograph_collector.config.settings import Config

if TYPE_CHECKING:
    from heliograph_collector.judge.fingerprints.library import FingerprintList
    from heliograph_collector.judge.rejudge import (
        ChangedMeasurement,
        RejudgeReport,
        RejudgeScope,
        VerdictChange,
    )

DEFAULT_PERIOD = timedelta(days=7)
MAX_SHOWN = 30  # rows of services in the table for people


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "rejudge",
        "judge stored measurements again by the current rules",
        "rejudge --since 2022-01-05 --country KZ --dry-run",
        description="Judges stored measurements again after a rule changed, writes the verdicts "
        "that changed, counts them by experiment and service, and names ten of them. Stop serve "
        "first: the embedded store has one owner "
        "at a time; agents keep their results meanwhile. The console's page Rules tries a list "
        "while serve runs.",
    )
    command.add_argument(
        "--since",
        metavar="TIME",
        type=parse_time,
        help="from this time, UTC (a week before --until)",
    )
    command.add_argument(
        "--until",
        metavar="TIME",
        type=parse_end,
        help="up to this time, UTC; a day is included (now)",
    )
    command.add_argument("--country", metavar="CC", type=parse_country, help="only this country")
    command.add_argument(
        "--service", metavar="NAME", default="", help="only this service or target"
    )
    command.add_argument("--dry-run", action="store_true", help="only list what would change")
    command.add_argument(
        "--list",
        metavar="FILE",
        help="with --dry-run: try a list of fingerprints that is not in use",
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")
    add_common_options(command)


def parse_time(argument: str) -> datetime:
    """Parse an RFC 3339 day or time for argparse; without a zone it is UTC."""
    try:
        timestamp = datetime.fromisoformat(argument)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{argument!r} is no time; allowed: 2022-01-05 or 2022-01-05T03:00:00Z"
        ) from None
    return timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)


def parse_end(argument: str) -> datetime:
    """Parse the end of a window for argparse: a day is included, as by other commands."""
    end = parse_time(argument)
    with suppress(ValueError):
        date.fromisoformat(argument)  # fails for a time of day
        return end + timedelta(days=1)
    return end


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.judge.rejudge import RejudgeScope

    config = load_cli_config(args)
    check_store_exists(config)
    until = args.until or datetime.fromtimestamp(SystemClock().wall_us() / 1_000_000, UTC)
    since = args.since or until - DEFAULT_PERIOD
    if since >= until:
        raise CommandError("--since lies after --until: nothing is between them.")
    scope = RejudgeScope(
        since_us=_to_us(since),
        until_us=_to_us(until),
        country=args.country or "",
        service=args.service,
    )
    tried = _read_tried_list(args.list, is_dry_run=args.dry_run) if args.list else None
    with report_as_command_error():
        report = asyncio.run(_run_rejudge(config, scope, tried, write=not args.dry_run))
    _print_report(report, as_json=args.json, is_dry_run=args.dry_run)
    return 0


def _read_tried_list(path: str, *, is_dry_run: bool) -> "FingerprintList":
    from heliograph_collector.judge.fingerprints.list_reader import MAX_BYTES, FingerprintError
    from heliograph_collector.judge.fingerprints.list_summary import read_named_list

    if not is_dry_run:
        raise CommandError(
            "--list only tries a list: add --dry-run, or take it into use first with "
            f"`heliograph-collector fingerprints import {path}`."
        )
    file = Path(path).expanduser()
    try:
        with file.open("rb") as stream:
            return read_named_list(file.name, stream.read(MAX_BYTES + 1))
    except FingerprintError as error:
        raise CommandError(f"{error}.") from error
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error


async def _run_rejudge(
    config: Config, scope: "RejudgeScope", tried: "FingerprintList | None", *, write: bool
) -> "RejudgeReport":
    from heliograph.services import load_services
    from heliograph.yaml_document import YamlError
    from heliograph_collector.app.commands import build_store
    from heliograph_collector.app.rejudge import rejudge_store
    from heliograph_collector.fleet.plain_lists import open_lists
    from heliograph_collector.judge.fingerprints.list_summary import PlainFormat

    try:
        services = load_services(config.services_file)
    except YamlError as error:
        raise CommandError(str(error)) from error
    open_lists(config.data, SystemClock(), PlainFormat())
    store = build_store(config)
    await _open_store(store.open)
    try:
        return await rejudge_store(
            store,
            services.services,
            scope,
            data=config.data,
            is_written=write,
            on_progress=_print_progress,
            tried=tried,
        )
    finally:
        await store.close()
        if sys.stderr.isatty():
            print(file=sys.stderr)


async def _open_store(open_store: Callable[[], Awaitable[None]]) -> None:
    from heliograph_collector.store.store import DirectoryInUseError

    try:
        await open_store()
    except DirectoryInUseError as error:
        raise CommandError(
            f"{error} If that is serve: stop it, rejudge, and start it again; "
            "agents keep their results meanwhile."
        ) from error


def _print_progress(judged_count: int) -> None:
    print_progress(f"{judged_count} measurements")


def _print_report(report: "RejudgeReport", *, as_json: bool, is_dry_run: bool) -> None:
    if as_json:
        print(json.dumps(_build_document(report, is_dry_run=is_dry_run)))
        return
    _print_votes(report.count_votes())
    examples = report.list_examples()
    if examples:
        print("examples")
    for example in examples:
        print(_format_example(example))
    verb = "would change" if is_dry_run else "changed"
    print(f"{report.judged_count} measurements judged again, {report.changed_count} {verb}.")
    if kept := report.count_kept():
        print(f"{kept} verdicts keep state and rule, with another confidence or evidence.")
    if report.bin_count:
        print(f"{report.bin_count} five-minute bins of cells were rolled up again.")


def _print_votes(votes: Counter[tuple[str, str, str, str]]) -> None:
    """Print the changed votes by experiment, then those of the most changed services."""
    totals: Counter[tuple[str, str, str, str]] = Counter()
    for (experiment, _, before, after), count in votes.items():
        totals[experiment, "all", before, after] += count
    ranked = sorted(votes.items(), key=_rank_votes)
    if ranked:
        print("  votes  experiment            service                         before → after")
    for row, count in [*sorted(totals.items(), key=_rank_votes), *ranked[:MAX_SHOWN]]:
        experiment, service, before, after = row
        states = f"{before or 'nothing'} → {after or 'nothing'}"
        print(f"{count:>7}  {experiment:<20}  {service:<30}  {states}")
    if len(ranked) > MAX_SHOWN:
        print(f"and {len(ranked) - MAX_SHOWN} more rows, which --json has")


def _rank_votes(item: tuple[tuple[str, str, str, str], int]) -> tuple[int, tuple[str, ...]]:
    return -item[1], item[0]


def _rank_move(move: "tuple[VerdictChange, int]") -> tuple[int, tuple[object, ...]]:
    return -move[1], astuple(move[0])


def _format_example(example: "ChangedMeasurement") -> str:
    change = example.change
    started = datetime.fromtimestamp(example.started_us / 1_000_000, UTC)
    place = f"{change.country} {change.experiment} {change.service}"
    endpoint = f" [{example.endpoint}]" if example.endpoint else ""
    before = f"{change.state_before} by {change.before}" if change.before else "no verdict"
    after = f"{change.state_after} by {change.after}" if change.after else "no verdict"
    return f"  {started:%Y-%m-%dT%H:%MZ} {place}{endpoint}: {before} → {after}, {example.id}"


def _build_document(report: "RejudgeReport", *, is_dry_run: bool) -> dict[str, object]:
    moves = sorted(report.changes.items(), key=_rank_move)
    votes = sorted(report.count_votes().items(), key=_rank_votes)
    states: Counter[str] = Counter()
    for move, count in moves:
        states[f"{move.state_before} → {move.state_after}"] += count
    names = ("experiment", "service", "before", "after")
    return {
        "measurements": report.judged_count,
        "changed": report.changed_count,
        "dry_run": is_dry_run,
        "bins": report.bin_count,
        "states": dict(sorted(states.items())),
        "votes": [dict(zip(names, key, strict=True)) | {"count": n} for key, n in votes],
        "examples": [asdict(example) for example in report.list_examples()],
        "moves": [asdict(move) | {"count": count} for move, count in moves],
    }


def _to_us(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)
