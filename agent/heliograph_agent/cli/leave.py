"""`leave`: stop, notify the collector, and remove its files; --erase removes all."""

import argparse
import asyncio
import random
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from heliograph.clock import Clock, SystemClock
from heliograph.translation import mark
from heliograph.translation import translate as _
from heliograph_agent import cli
from heliograph_agent.runtime.volatile_file import VolatileFile
from heliograph_agent.state import (
    COLLECTOR,
    CONSENT,
    OWN_FILES,
    PAUSED,
    PLAN,
    SPOOL,
    STATUS,
    State,
    StateError,
)
from heliograph_agent.uplink.transports import SESSIONS

FORGOTTEN = mark(
    "The collector was asked to forget this agent: to refuse its key from now on, and to delete "
    "its network, version, last contact and invite. What stays there: the key's number, the days "
    "of joining and leaving, and the results, which have no address. Nothing on this machine shows "
    "which they are."
)
KEPT = mark(
    "The collector could not be asked to forget this agent, and keeps what it knew: ask its "
    "operator, and say when you left."
)
STOP_S = 10.0
GOODBYE_S = 10.0
POLL_S = 0.1


def add_parser(commands: "cli.Subparsers") -> None:
    p = commands.add_parser(
        "leave",
        help="stop measuring for this collector and notify it",
        description="Stop a running agent, deliver what waits if possible, say goodbye, "
        "and withdraw your consent. Key and spool stay, so that you can join again.",
        epilog="Example: heliograph-agent leave --erase",
    )
    p.add_argument(
        "--erase",
        action="store_true",
        help="also remove key, spool and configuration; undelivered results are lost",
    )


def run(args: argparse.Namespace) -> int:
    state = cli.get_state(args)
    _stop_running(state)
    may_have_files = args.erase and state.root.exists()
    if not may_have_files and state.read(COLLECTOR) is None:
        print(
            _(
                "No agent has joined in {root}: there is nothing to leave. One that has joined in "
                "another directory still runs: name that one with --state."
            ).format(root=state.root)
        )
        return 0
    goodbye = _Goodbye()
    if state.root.exists():
        with state.hold_lock():
            reason = "erase" if args.erase else "leave"
            goodbye = asyncio.run(
                _say_goodbye(state, cli.get_config_path(args), SystemClock(), reason)
            )
            with suppress(StateError):
                collector = state.collector()
                VolatileFile(collector.agent if collector else b"").remove()
            for name in (CONSENT, COLLECTOR, PLAN, STATUS, PAUSED):
                state.remove(name)
    if args.erase:
        erase_files(state)
    print(
        _("Left.")
        if goodbye.is_notified or not goodbye.had_collector
        else _("Left; the collector could not be notified and will notice by itself.")
    )
    if args.erase and goodbye.had_collector:
        print(_(FORGOTTEN if goodbye.is_in_session else KEPT))
    return 0


@dataclass(frozen=True, slots=True)
class _Goodbye:
    had_collector: bool = False
    is_notified: bool = False  # its last results have gone
    is_in_session: bool = False  # where a goodbye was said, and not only single envelopes


def erase_files(state: State) -> None:
    """Remove the agent's files only, then the directory if it is empty."""
    for name in OWN_FILES:
        state.remove(name)
    for path in (*state.root.glob(f"{SPOOL}*"), *state.root.glob(".*.new")):
        state.remove(path.name)
    with suppress(OSError):
        state.root.rmdir()
    if state.root.exists():
        text = _("Files that are not the agent's were left in {root}.").format(root=state.root)
        print(text, file=sys.stderr)


def _stop_running(state: State) -> None:
    process = state.stop_running()
    if not process:
        return
    for _attempt in range(int(STOP_S / POLL_S)):
        if state.running_pid() is None:
            return
        time.sleep(POLL_S)
    raise cli.AgentCommandError(
        _(
            "The agent that runs as process {process} does not stop: end it, then leave again."
        ).format(process=process)
    )


async def _say_goodbye(state: State, config: Path, clock: Clock, reason: str) -> _Goodbye:
    """Send the goodbye; return how far it went.

    Damaged files do not prevent leaving. Without the configuration nothing is sent, because it
    may name a proxy that no traffic may bypass.
    """
    from heliograph_agent.config import AgentConfigError, load_config
    from heliograph_agent.runtime.agent import Agent, read_settings

    try:
        agent = Agent(read_settings(state, load_config(config)), clock, random.SystemRandom())
    except (StateError, AgentConfigError):  # also where nothing was agreed to
        return _Goodbye(had_collector=state.path(COLLECTOR).exists())
    try:
        async with asyncio.TaskGroup() as group:
            session = group.create_task(agent.uplink.run())
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await agent.batcher.close_batches()
                    await agent.uplink.wait_delivered()
            status = agent.uplink.status
            agent.uplink.leave(reason)
            await asyncio.wait([session], timeout=GOODBYE_S)
            session.cancel()
        is_in_session = status.connected and status.transport.startswith(SESSIONS)
        return _Goodbye(True, status.connected, is_in_session)
    finally:
        await agent.spool.close()
