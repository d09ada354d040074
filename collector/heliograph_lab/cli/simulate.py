"""`heliograph-collector simulate`: connect virtual agents to a collector."""

import argparse
import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import CommandError, make_integer_parser, parse_endpoint

if TYPE_CHECKING:
    from heliograph_lab.simulate import Progress, Script, SimulationReport

MOST_AGENTS = 100_000
MOST_SPEED = 1_000
MOST_PROCESSES = 64


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = commands.add_parser(
        "simulate",
        help="play a scenario with virtual agents against a real collector",
        description="Plays a scenario in real time with virtual agents: real keys, TLS, sessions, "
        "heartbeats, sealed envelopes. Unless an invite is given, it starts its own collector "
        "in a temporary directory and reports its costs. Prints what was found, and when. "
        "Exit code: 0 all agents came in, each cut was confirmed and nothing else; 1 not so; "
        "2 wrong usage.",
        epilog="Example: heliograph-collector simulate cut-in-five.yml --agents 10000",
        allow_abbrev=False,
    )
    command.add_argument(
        "scenario", type=Path, metavar="SCENARIO.yml", help="as for `evaluate`, or a shipped name"
    )
    command.add_argument(
        "--agents", type=make_integer_parser(MOST_AGENTS), default=0, metavar="N",
        help="number of agents, spread as in the scenario (as many as it names)",
    )  # fmt: skip
    command.add_argument(
        "--speed",
        type=_parse_speed,
        default=1.0,
        metavar="X",
        help="run the scenario X times as fast (1)",
    )
    command.add_argument(
        "--processes", type=make_integer_parser(MOST_PROCESSES), default=0, metavar="N",
        help="processes of agents (one for every 5000)",
    )  # fmt: skip
    command.add_argument(
        "--shared-connections", action="store_true", help="eight agents on one connection"
    )
    command.add_argument(
        "--until-confirmed", action="store_true", help="end once every cut is confirmed"
    )
    command.add_argument(
        "--load", choices=("plan", "scenario", "none"), default="plan", help="what agents measure: "
        "the default plan, a page of each of the scenario's services, or nothing (plan)",
    )  # fmt: skip
    command.add_argument(
        "--seed",
        type=make_integer_parser(10**9),
        default=0,
        metavar="N",
        help="of random numbers (0)",
    )
    _add_collector_options(command)
    command.add_argument("--json", action="store_true", help="print the report as JSON")


def _add_collector_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--invite", default="", metavar="INVITE", help="an invite of the collector to test"
    )
    command.add_argument(
        "--to", type=parse_endpoint, metavar="HOST:PORT", help="its address, if not as invited"
    )
    command.add_argument(
        "--http",
        type=parse_endpoint,
        metavar="HOST:PORT",
        help="address of its pages and API, or where our own shall have them",
    )
    command.add_argument(
        "--log", type=Path, metavar="FILE", help="where to write our own collector's log"
    )


def run(args: argparse.Namespace) -> int:
    from heliograph_lab.simulate import SimulationConfig, SimulationError, run_simulation

    if args.to and not args.invite:
        sentence = "--to is of a collector that --invite names: give its INVITE too."
        print(f"heliograph-collector simulate: {sentence}", file=sys.stderr)
        raise SystemExit(2)
    config = SimulationConfig(
        script=_load_script(args),
        speed=args.speed,
        processes=args.processes,
        is_shared=args.shared_connections,
        invite=args.invite,
        address=args.to or "",
        http=args.http or "",
        log=args.log,
        seed=args.seed,
        load=args.load,
        until_confirmed=args.until_confirmed,
    )
    # SIGTERM ends it as Ctrl-C does; otherwise the collector that it started would keep running. A
    # shell lets what it starts in the background ignore Ctrl-C (POSIX, "Asynchronous Lists").
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        report = asyncio.run(
            run_simulation(config, _TerminalDisplay() if sys.stderr.isatty() else None)
        )
    except SimulationError as error:
        raise CommandError(str(error)) from error
    finally:
        if sys.stderr.isatty():
            print(file=sys.stderr)
    _print_report(report, args.json)
    return 0 if report.is_sound else 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Have asyncio cancel the main task; an exception from here might end in any other task."""
    signal.raise_signal(signal.SIGINT)


def _load_script(args: argparse.Namespace) -> "Script":
    from heliograph.yaml_document import YamlError
    from heliograph_lab.evaluate.scenario_file import load_scenario
    from heliograph_lab.simulate import SHIPPED
    from heliograph_lab.simulate.from_scenario import build_script

    shipped = (SHIPPED / args.scenario.name).with_suffix(".yml")  # with or without it
    path = args.scenario if args.scenario.exists() or not shipped.exists() else shipped
    try:
        return build_script(load_scenario(path), args.seed, args.agents)
    except YamlError as error:
        raise CommandError(str(error)) from error


def _parse_speed(argument: str) -> float:
    try:
        value = float(argument)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= MOST_SPEED:
        raise argparse.ArgumentTypeError(f"{argument!r} must be a number from 0.1 to {MOST_SPEED}")
    return value


class _TerminalDisplay:
    def show_progress(self, progress: "Progress") -> None:
        counters = progress.counters
        is_playing = progress.seconds and progress.second > 0
        clock = f" {progress.second:.0f}/{progress.seconds:.0f} s" if is_playing else ""
        line = (
            f"{progress.phase}{clock}: {counters.enrolled} enrolled, "
            f"{counters.sessions} of {progress.agents} connected, {counters.hushed} silent, "
            f"{counters.answers} heartbeats answered, {progress.incidents} incidents"
        )
        print(f"\r{line:<110}", end="", file=sys.stderr, flush=True)


def _print_report(report: "SimulationReport", as_json: bool) -> None:
    if as_json:
        print(report.to_json())
        return
    for line in _report_lines(report):
        print(line)


def _report_lines(report: "SimulationReport") -> list[str]:
    counters = report.tally
    connection_text = "8 agents a connection" if report.shared else "a connection each"
    lines = [
        f"{report.name}: {report.agents} agents, {connection_text}, {report.processes} processes",
        f"  connected {report.connected}, heartbeats answered {counters.answers}",
        f"  envelopes {counters.sent} {counters.receipts}",
    ]
    lines += [
        f"  {name.replace('_', ' '):<34}{value:>12.2f}" for name, value in report.costs.items()
    ]
    lines += [
        f"  trouble: {reason}, {count} times"
        for reason, count in Counter(counters.troubles).most_common(5)
    ]
    for recovery in report.restarts:
        recovery_text = (
            "not within 3 min" if recovery.back_s is None else f"after {recovery.back_s:.1f} s"
        )
        lines.append(
            f"  restart at {recovery.at_s:.0f} s: answers after {recovery.up_s:.1f} s, "
            f"99 % are connected {recovery_text}"
        )
    lines += [
        f"  cut of {d.country} ({d.label}) at {d.onset_s:.0f} s: "
        f"first row {_delay_text(d.first_row_s)}, confirmed {_delay_text(d.confirmed_s)}"
        for d in report.delays
    ]
    if not report.published:
        lines.append("  this collector publishes no incidents, or they were not looked at")
    lines += [f"  FALSE ALARM: {dict(false_alarm.scope)}" for false_alarm in report.false]
    return lines


def _delay_text(seconds: float | None) -> str:
    return "never" if seconds is None else f"after {seconds:.1f} s"
