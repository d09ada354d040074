"""`run`: measure and send until stopped, or once."""

import argparse
import asyncio
import logging
import random
import sys
from typing import TYPE_CHECKING

from heliograph.clock import SystemClock
from heliograph.translation import translate as _
from heliograph_agent import cli
from heliograph_agent.runtime.event_loop import run_until_stopped

if TYPE_CHECKING:
    from heliograph_agent.runtime.agent import Agent


def add_parser(commands: "cli.Subparsers") -> None:
    p = commands.add_parser(
        "run",
        help="measure, store and send, until Ctrl-C or SIGTERM",
        description="Measure what the plan says, store every result, and send it when a transport "
        "works. Runs without any network for as long as necessary.",
        epilog="Example: heliograph-agent run --once",
    )
    p.add_argument(
        "--once", action="store_true", help="run the whole plan one time, deliver, and exit"
    )
    p.add_argument(
        "--yes",
        action="store_true",
        help="for an operator's own agent: agree to all of its plan, whatever was agreed before",
    )


class NoteFormatter(logging.Formatter):
    """Format log messages as notes, in the reader's language if they are translated."""

    def format(self, record: logging.LogRecord) -> str:
        record.msg = _(str(record.msg))
        sentence = super().format(record)
        return cli.begin_note(sentence) + sentence


def run(args: argparse.Namespace) -> int:
    from heliograph_agent.runtime.agent import Agent, read_settings

    handler = logging.StreamHandler()
    handler.setFormatter(NoteFormatter())
    logging.basicConfig(handlers=[handler])
    logging.getLogger("heliograph").setLevel(logging.INFO)
    state = cli.get_state(args)
    settings = read_settings(state, cli.read_config(args), is_agreed=args.yes)
    with state.hold_lock():
        agent = Agent(settings, SystemClock(), random.SystemRandom())
        return run_until_stopped(lambda stop: _run_agent(agent, stop, is_once=args.once))


async def _run_agent(agent: "Agent", stop: asyncio.Event, *, is_once: bool) -> int:
    try:
        await agent.open()
        cli.print_note(_("running"))
        settings = agent.plan_updater.settings
        cli.warn_of_unmatched_opt_outs(settings.plan, settings.config)
        if agent.plan_updater.waiting:
            cli.print_note(
                _(
                    "the plan holds more than you agreed to; only that runs. See "
                    "`heliograph-agent plan`, then `plan --agree`."
                )
            )
        if is_once:
            return await _run_once(agent, stop)
        await agent.run(stop)
        return 0
    finally:
        await agent.close()


async def _run_once(agent: "Agent", stop: asyncio.Event) -> int:
    stored = await agent.run_once(stop, _print_progress)
    counts = await agent.spool.read_counts()
    waiting = counts.open + counts.waiting_measurements
    text = _("{stored} results stored; {waiting} of all results wait for the collector.")
    print(text.format(stored=stored, waiting=waiting))
    if waiting and not stop.is_set():
        cli.print_note(_("the rest is kept and goes out with the next `heliograph-agent run`."))
    return 0


def _print_progress(done: int, total: int) -> None:
    """Print a bar on a terminal, without names, because others may see the screen."""
    if not sys.stderr.isatty():
        return
    filled = 30 * done // max(1, total)
    end = "\n" if done == total else ""
    bar = "#" * filled + "." * (30 - filled)
    print(f"\r[{bar}] {done}/{total}", end=end, file=sys.stderr, flush=True)
