"""`heliograph-collector rejudge`: what is stored, judged by the rules of today."""

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, astuple
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from heliograph.clock import SystemClock
from heliograph_collector.cli import CommandError, add_places, config_of
from heliograph_collector.cli.backup import store_of, told
from heliograph_collector.config.settings import Config

if TYPE_CHECKING:
    from heliograph_collector.app.rejudge import Move, Report, Wanted

DEFAULT = timedelta(days=7)
EVERY = 500  # measurements between two lines of progress
EXAMPLE = "Example: heliograph-collector rejudge --since 2022-01-05 --country KZ --dry-run"


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = commands.add_parser(
        "rejudge",
        help="judge stored measurements by the rules of today",
        description="Judges what is stored again, after a rule changed, writes the verdicts that "
        "are others now and says what moved. Stop serve first: the embedded store has one owner "
        "at a time; agents keep their results meanwhile.",
        epilog=EXAMPLE,
        allow_abbrev=False,
    )
    command.add_argument(
        "--since", metavar="TIME", type=moment, help="from then on, UTC (a week before --until)"
    )
    command.add_argument("--until", metavar="TIME", type=moment, help="up to then, UTC (now)")
    command.add_argument("--country", metavar="CC", type=country, help="only there")
    command.add_argument("--service", metavar="NAME", default="", help="only this one, or target")
    command.add_argument("--dry-run", action="store_true", help="only say what would move")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    add_places(command)


def moment(text: str) -> datetime:
    """For argparse: a day or a time as RFC 3339 writes it; UTC where no zone is said."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time; allowed: 2022-01-05 or 2022-01-05T03:00:00Z"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def country(text: str) -> str:
    """For argparse: two letters."""
    if len(text) == 2 and text.isascii() and text.isalpha():
        return text.upper()
    raise argparse.ArgumentTypeError(f"{text!r} is no country; allowed: two letters, such as KZ")


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.app.rejudge import Wanted

    config = config_of(args)
    if config.store.startswith("chdb:") and not (config.data / "store").exists():
        raise CommandError(f"{config.data} holds no collector: name its --data directory.")
    until = args.until or datetime.fromtimestamp(SystemClock().wall_us() / 1_000_000, UTC)
    since = args.since or until - DEFAULT
    if since >= until:
        raise CommandError("--since lies after --until: nothing is between them.")
    wanted = Wanted(
        since_us=_us(since), until_us=_us(until), country=args.country or "", service=args.service
    )
    with told():
        report = asyncio.run(_rejudge(config, wanted, write=not args.dry_run))
    _print(report, as_json=args.json, dry=args.dry_run)
    return 0


async def _rejudge(config: Config, wanted: "Wanted", *, write: bool) -> "Report":
    from heliograph.services import ServicesError, load, shipped
    from heliograph_collector.app.rejudge import rejudge

    try:
        services = load(config.services_file) if config.services_file else shipped()
    except ServicesError as error:
        raise CommandError(str(error)) from error
    store = store_of(config)
    await _open(store.open)
    try:
        return await rejudge(store, services.services, wanted, write=write, said=_progress)
    finally:
        await store.close()
        if sys.stderr.isatty():
            print(file=sys.stderr)


async def _open(opening: Callable[[], Awaitable[None]]) -> None:
    from heliograph_collector.store.store import DirectoryInUseError

    try:
        await opening()
    except DirectoryInUseError as error:
        raise CommandError(
            f"{error} If that is serve: stop it, rejudge, and start it again; "
            "agents keep their results meanwhile."
        ) from error


def _progress(looked_at: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{looked_at} measurements", end="", file=sys.stderr, flush=True)


def _print(report: "Report", *, as_json: bool, dry: bool) -> None:
    moves = sorted(report.moves.items(), key=lambda pair: (-pair[1], astuple(pair[0])))
    if as_json:
        print(json.dumps(_json(report, moves, dry)))
        return
    for move, count in moves:
        print(f"{count:>7}  {move.country} {move.service}: {_side(move)}")
    verb = "would change" if dry else "changed"
    print(f"{report.looked_at} measurements judged again, {report.changed} {verb}.")
    if report.bins:
        print(f"{report.bins} five-minute bins of cells were rolled up again.")


def _side(move: "Move") -> str:
    states = f"{move.state_before or 'nothing'} → {move.state_after or 'nothing'}"
    if move.before == move.after:
        return f"{move.after}, {states}, with other confidence or evidence"
    return f"{move.before or 'no verdict'} → {move.after or 'no verdict'}, {states}"


def _json(report: "Report", moves: list[tuple["Move", int]], dry: bool) -> dict[str, Any]:
    states: Counter[str] = Counter()
    for move, count in moves:
        states[f"{move.state_before} → {move.state_after}"] += count
    return {
        "measurements": report.looked_at,
        "changed": report.changed,
        "dry_run": dry,
        "bins": report.bins,
        "states": dict(sorted(states.items())),
        "moves": [asdict(move) | {"count": count} for move, count in moves],
    }


def _us(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)
