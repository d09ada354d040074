"""`heliograph-collector simulate`: virtual agents through the real door, in real time."""

import argparse
import asyncio
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import CommandError, endpoint

if TYPE_CHECKING:
    from heliograph_lab.simulate import Account, Progress, Story

MOST_AGENTS, MOST_SPEED, MOST_PROCESSES = 100_000, 1_000, 64


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = commands.add_parser(
        "simulate",
        help="play a scenario with virtual agents over the real door",
        description="Plays a scenario in real time with virtual agents: real keys, TLS, sessions, "
        "heartbeats, sealed envelopes. Unless an invite is given, it starts a collector of its "
        "own, in a temporary directory, and tells its costs. Prints what was found, and when.",
        epilog="Example: heliograph-collector simulate cut-in-five.yml --agents 10000 | "
        "Exit code: 0 all agents came in, each cut was confirmed and nothing else; 1 not so; "
        "2 wrong usage.",
        allow_abbrev=False,
    )
    command.add_argument(
        "scenario", type=Path, metavar="SCENARIO.yml", help="as for `evaluate`, or a shipped name"
    )
    command.add_argument(
        "--agents", type=_whole(MOST_AGENTS), default=0, metavar="N", help="so many in all, "
        "spread as in the scenario (as many as it names)",
    )  # fmt: skip
    command.add_argument(
        "--speed", type=_speed, default=1.0, metavar="X", help="the scenario's clock, times X (1)"
    )
    command.add_argument(
        "--processes", type=_whole(MOST_PROCESSES), default=0, metavar="N",
        help="processes of agents (one for every 5000)",
    )  # fmt: skip
    command.add_argument(
        "--shared-connections", action="store_true", help="eight agents on one connection"
    )
    command.add_argument(
        "--until-confirmed", action="store_true", help="end once every cut is confirmed"
    )
    command.add_argument("--seed", type=_whole(10**9), default=0, metavar="N", help="(0)")
    command.add_argument("--invite", default="", metavar="INVITE", help="of the collector to try")
    command.add_argument(
        "--to", type=endpoint, metavar="HOST:PORT", help="its door, if not as invited"
    )
    command.add_argument("--http", type=endpoint, metavar="HOST:PORT", help="where it publishes")
    command.add_argument("--log", type=Path, metavar="FILE", help="what our own collector says")
    command.add_argument("--json", action="store_true", help="the account as JSON")


def run(args: argparse.Namespace) -> int:
    from heliograph_lab.simulate import SimulationError, Wish, play

    if (args.to or args.http) and not args.invite:
        _usage("--to and --http are of a collector that --invite names: give its INVITE too.")
    wish = Wish(
        story=_story(args),
        speed=args.speed,
        processes=args.processes,
        shared=args.shared_connections,
        invite=args.invite,
        to=args.to or "",
        http=args.http or "",
        log=args.log,
        seed=args.seed,
        until_confirmed=args.until_confirmed,
    )
    # Terminated politely, it ends as by Ctrl-C: else the collector that it started would live on.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        account = asyncio.run(play(wish, _show if sys.stderr.isatty() else lambda _: None))
    except SimulationError as error:
        raise CommandError(str(error)) from error
    finally:
        if sys.stderr.isatty():
            print(file=sys.stderr)
    _print(account, args.json)
    return 0 if account.sound else 1


def _story(args: argparse.Namespace) -> "Story":
    from heliograph_lab.evaluate.scenario_file import ScenarioError, load
    from heliograph_lab.simulate import SHIPPED
    from heliograph_lab.simulate.from_scenario import story

    shipped = SHIPPED / args.scenario.name
    path = args.scenario if args.scenario.exists() or not shipped.exists() else shipped
    try:
        return story(load(path), args.seed, args.agents)
    except ScenarioError as error:
        raise CommandError(str(error)) from error


def _usage(sentence: str) -> None:
    print(f"heliograph-collector simulate: {sentence}", file=sys.stderr)
    raise SystemExit(2)


def _whole(most: int) -> Any:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:10]) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1 to {most}")
        return int(text)

    return read


def _speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= MOST_SPEED:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number from 0.1 to {MOST_SPEED}")
    return value


def _show(progress: "Progress") -> None:
    tally = progress.tally
    clock = f" {progress.second:.0f}/{progress.seconds:.0f} s" if progress.seconds else ""
    said = (
        f"{progress.doing}{clock if progress.second > 0 else ''}: {tally.enrolled} enrolled, "
        f"{tally.sessions} of {progress.agents} connected, {tally.hushed} silent, "
        f"{tally.answers} heartbeats answered, {progress.incidents} incidents"
    )
    print(f"\r{said:<110}", end="", file=sys.stderr, flush=True)


def _print(account: "Account", as_json: bool) -> None:
    if as_json:
        print(json.dumps(account.json(), ensure_ascii=False))
        return
    for line in _lines(account):
        print(line)


def _lines(account: "Account") -> list[str]:
    tally = account.tally
    way = "8 agents a connection" if account.shared else "a connection each"
    said = [
        f"{account.name}: {account.agents} agents, {way}, {account.processes} processes",
        f"  connected {account.connected}, heartbeats answered {tally.answers}",
        f"  envelopes {tally.sent} {tally.receipts}",
    ]
    said += [
        f"  {name.replace('_', ' '):<34}{value:>12.2f}" for name, value in account.costs.items()
    ]
    said += [
        f"  trouble: {word}, {count} times"
        for word, count in Counter(tally.troubles).most_common(5)
    ]
    for back in account.restarts:
        late = "not within 3 min" if back.back_s is None else f"after {back.back_s:.1f} s"
        said.append(
            f"  restart at {back.at_s:.0f} s: answers after {back.up_s:.1f} s, "
            f"99 % are connected {late}"
        )
    said += [
        f"  cut of {d.country} ({d.label}) at {d.onset_s:.0f} s: "
        f"first row {_after(d.first_row_s)}, confirmed {_after(d.confirmed_s)}"
        for d in account.delays
    ]
    if not account.published:
        said.append("  this collector publishes no incidents, or they were not looked at")
    said += [f"  FALSE ALARM: {dict(seen.scope)}" for seen in account.false]
    return said


def _after(seconds: float | None) -> str:
    return "never" if seconds is None else f"after {seconds:.1f} s"
