"""`heliograph-collector import code`: what an agent's owner read out over the telephone."""

import argparse
import asyncio
import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import CommandError, add_places, config_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from heliograph.voice_code import Report
    from heliograph_collector.config.settings import Config
    from heliograph_collector.fleet import Agent, Codes, Fleet

EXAMPLE = "Example: heliograph-collector import code 72359 00003 47829 91468 50158 97012"
PATIENCE_S = 15.0  # for a running `serve` to take it over; it looks every second
LOOK_S = 0.25


def add_parser(kinds: "argparse._SubParsersAction[Any]") -> None:
    command = kinds.add_parser(
        "code",
        help="a code that `heliograph-agent code` printed",
        description="Takes in a code that was read out over the telephone, in digits or words, "
        "once, whether `serve` runs or not, and says what it said. It is kept as a report: it has "
        "no vote on what is blocked.",
        epilog=EXAMPLE + " | Exit code: 0 taken in, 1 refused, 2 wrong usage.",
        allow_abbrev=False,
    )
    command.add_argument("code", metavar="CODE", nargs="+", help="its groups, with or without gaps")
    command.add_argument("--json", action="store_true", help="one JSON object")
    add_places(command)


def run(args: argparse.Namespace) -> int:
    from heliograph.clock import SystemClock
    from heliograph_collector.fleet import Fleet
    from heliograph_collector.ingest.voice_codes import UnprovenError, keep, prove

    config, clock = config_of(args), SystemClock()
    with closing(Fleet(config.data)) as fleet:
        try:
            agent, report = prove(" ".join(args.code), config.data, fleet, clock)
            keep(agent, report, fleet, clock)
        except UnprovenError as error:
            raise CommandError(f"{error}.") from error
        delivered = asyncio.run(_deliver(config, fleet))
    _tell(args, agent, report, delivered=delivered)
    return 0


async def _deliver(config: "Config", fleet: "Fleet") -> bool:
    """Into the journal, or by whoever holds it; whether it is there. Raises CommandError."""
    from heliograph_collector.fleet import Codes
    from heliograph_collector.ingest.voice_reports import hand_over
    from heliograph_collector.store.journal.journal import (
        DirectoryInUseError,
        Journal,
        JournalError,
    )

    codes = Codes(fleet)
    try:
        journal = Journal(config.data / "journal.db")
    except DirectoryInUseError:
        return await _taken_over(codes)
    except JournalError as error:
        raise CommandError(str(error)) from error
    try:
        await hand_over(codes, _finder(fleet), journal)
    except JournalError as error:
        raise CommandError(f"{error} The code is kept until then.") from error
    finally:
        await journal.close()
    return True


def _finder(fleet: "Fleet") -> "Callable[[bytes], Agent | None]":
    return {agent.id: agent for agent in fleet.agents()}.get


async def _taken_over(codes: "Codes") -> bool:
    for _ in range(int(PATIENCE_S / LOOK_S)):
        if not codes.pending():
            return True
        await asyncio.sleep(LOOK_S)
    return False


def _tell(args: argparse.Namespace, agent: "Agent", report: "Report", *, delivered: bool) -> None:
    from heliograph.voice_code import summary
    from heliograph_collector.ingest.voice_codes import made

    if args.json:
        told = {"agent": agent.id.hex(), "made": made(report), "delivered": delivered}
        print(json.dumps({**told, "lives": dict(report.lives)}))
        return
    print(f"Agent {agent.id.hex()}, {made(report)}, by voice:")
    for line in summary(report):
        print(f"  {line}")
    if not delivered:
        print("Kept; the running collector has not taken it over yet, and will.")
