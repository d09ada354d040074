"""Command `heliograph-collector import`: measurements, series, bundles, codes."""

import argparse
import asyncio
import json
import sys
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import (
    CommandError,
    add_command,
    add_common_options,
    bundle,
    load_cli_config,
    ooni,
    sanitize_text,
)

if TYPE_CHECKING:
    from heliograph.voice_code import StatusReport
    from heliograph_collector.config.settings import Config
    from heliograph_collector.fleet import EnrolledAgent, Fleet, VoiceCodeStore

MAX_WAIT_S = 15.0  # for a running `serve`, which polls every second
POLL_S = 0.25


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "import",
        "import results that came by file or by telephone, and public data",
        "import ooni --json measurements/",
        description="Imports what our agents exported to a file or read out over the telephone, "
        "and reads public data: OONI's measurements and series of others.",
    )
    kinds = command.add_subparsers(dest="kind", metavar="ooni|series|bundle|code", required=True)
    bundle.add_parser(kinds)
    _add_code_parser(kinds)
    ooni.add_parser(kinds)
    _add_series_parser(kinds)


def run(args: argparse.Namespace) -> int:
    run_by_kind = {
        "bundle": bundle.run,
        "code": _import_code,
        "ooni": ooni.run,
        "series": _import_series,
    }
    return run_by_kind[args.kind](args)


def _add_series_parser(kinds: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        kinds,
        "series",
        "series of IODA, RIPE Atlas, OONI, or a table of time and value",
        "import series ioda-IR.csv --signals iran.jsonl",
        description="Writes public series as signals, which `replay` runs the detectors over. "
        "The format is known by its content: IODA's signals (JSON) or table (CSV), RIPE Atlas's "
        "connection events, OONI's measurements, any table of time and value. "
        "Exit code: 0 all read, 1 something was left out, 2 wrong usage.",
    )
    command.add_argument("path", metavar="PATH", type=Path, help="a file or a folder")
    command.add_argument("--signals", metavar="FILE", type=Path, required=True, help="to write")
    command.add_argument(
        "--entity",
        metavar="WHO",
        default="",
        help="the place or network, where the file names none: IR, Iran, IR/Tehran, AS44244",
    )


def _import_series(args: argparse.Namespace) -> int:
    """Convert one file or folder; return 1 if part of it was left out, else 0."""
    from heliograph_collector.app.commands import load_event
    from heliograph_collector.sources.complaints import ImportRefusedError
    from heliograph_collector.sources.signal_writer import write_signals

    try:
        imported = load_event(args.path.expanduser(), args.entity)
    except ImportRefusedError as error:
        raise CommandError(str(error)) from error
    for sentence in (*imported.complaints, *imported.notes):
        print(sanitize_text(f"heliograph-collector: {sentence}"), file=sys.stderr)
    try:
        with args.signals.expanduser().open("wb") as file:
            count = write_signals(imported.replay, file)
    except OSError as error:
        raise CommandError(f"{args.signals} cannot be written ({error.strerror}).") from error
    print(f"{count} signals written; run: heliograph-collector replay {args.signals}")
    return 1 if imported.complaints else 0


def _add_code_parser(kinds: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        kinds,
        "code",
        "a code that `heliograph-agent code` printed",
        "import code 72359 00003 47829 91468 50158 97012",
        description="Takes in a code that was read out over the telephone, in digits or words, "
        "once, whether `serve` runs or not, and says what it said. It is kept as a report: it has "
        "no vote on what is blocked. "
        "Exit code: 0 taken in, 1 refused, 2 wrong usage.",
    )
    command.add_argument("code", metavar="CODE", nargs="+", help="its groups, with or without gaps")
    command.add_argument(
        "--caller",
        metavar="WORD",
        default="",
        help="a word for who says it, so that wrong codes of others close nothing for them; kept "
        "for an hour, as a hash",
    )
    command.add_argument(
        "--force", action="store_true", help="check it in spite of the hour's wrong codes"
    )
    command.add_argument("--json", action="store_true", help="one JSON object")
    add_common_options(command, acts_on_collector=True)


def _import_code(args: argparse.Namespace) -> int:
    from heliograph.clock import SystemClock
    from heliograph_collector.fleet import Fleet
    from heliograph_collector.ingest.voice_codes import UnprovenError, store_code, verify_code

    config = load_cli_config(args)
    clock = SystemClock()
    with closing(Fleet(config.data)) as fleet:
        try:
            agent, report = verify_code(
                " ".join(args.code),
                config.data,
                fleet,
                clock,
                f"caller {args.caller}",
                is_forced=args.force,
            )
            store_code(agent, report, fleet, clock)
        except UnprovenError as error:
            raise CommandError(f"{error}.") from error
        is_delivered = asyncio.run(_deliver_code(config, fleet))
    _print_report(args, agent, report, is_delivered=is_delivered)
    return 0


async def _deliver_code(config: "Config", fleet: "Fleet") -> bool:
    """Deliver the code to the journal, directly or by a running `serve`.

    Returns whether the journal has it. Raises CommandError.
    """
    from heliograph_collector.fleet import VoiceCodeStore
    from heliograph_collector.ingest.voice_reports import deliver_codes
    from heliograph_collector.store.journal.journal import DirectoryInUseError, JournalError
    from heliograph_collector.store.journal.opening import open_journal

    code_store = VoiceCodeStore(fleet)
    async with AsyncExitStack() as stack:
        try:
            journal = await stack.enter_async_context(open_journal(config.data, config.journal))
        except DirectoryInUseError:
            return await _wait_for_delivery(code_store)
        except JournalError as error:
            raise CommandError(str(error)) from error
        agents = {agent.id: agent for agent in fleet.list_agents()}
        try:
            await deliver_codes(code_store, agents, journal)
        except JournalError as error:
            raise CommandError(f"{error} The code is kept until then.") from error
    return True


async def _wait_for_delivery(code_store: "VoiceCodeStore") -> bool:
    for _ in range(int(MAX_WAIT_S / POLL_S)):
        if not code_store.list_pending():
            return True
        await asyncio.sleep(POLL_S)
    return False


def _print_report(
    args: argparse.Namespace, agent: "EnrolledAgent", report: "StatusReport", *, is_delivered: bool
) -> None:
    from heliograph.voice_code import summarize_report

    if args.json:
        fields = {
            "agent": agent.id.hex(),
            "made": report.made_at,
            "delivered": is_delivered,
        }
        print(json.dumps({**fields, "lives": dict(report.states)}))
        return
    print(f"Agent {agent.id.hex()}, {report.made_at}, by voice:")
    for line in summarize_report(report):
        print(f"  {line}")
    if not is_delivered:
        print("Kept; the running collector has not taken it over yet, and will.")
