"""`leave`: stop, tell the collector, forget it; with --erase, forget everything."""

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from heliograph.clock import Clock, SystemClock
from heliograph_agent import cli
from heliograph_agent.state import COLLECTOR, CONSENT, OURS, PAUSED, PLAN, SPOOL, STATUS, State

STOP_S = 10.0
TELL_S = 10.0
POLL_S = 0.1


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    p = commands.add_parser(
        "leave",
        help="stop measuring for this collector and tell it so",
        description="Stop a running agent, deliver what waits if that is possible, say goodbye, "
        "and withdraw your consent. Key and spool stay, so that you can join again.",
        epilog="Example: heliograph-agent leave --erase",
    )
    p.add_argument(
        "--erase",
        action="store_true",
        help="also remove key, spool and configuration: what was not delivered is lost",
    )


def run(args: argparse.Namespace) -> int:
    state = cli.state_of(args)
    _stop_running(state)
    if not (args.erase or state.path(COLLECTOR).exists()):
        print("This agent serves no collector; nothing to leave.")
        return 0
    told = False
    if state.root.exists():
        with state.locked():
            told = asyncio.run(_tell(state, cli.config_of(args), SystemClock()))
            for name in (CONSENT, COLLECTOR, PLAN, STATUS, PAUSED):
                state.remove(name)
    if args.erase:
        erase(state)
    print("Left." if told else "Left; the collector could not be told and will notice by itself.")
    return 0


def erase(state: State) -> None:
    """Our files and no others, then the directory if nothing else is in it."""
    for name in OURS:
        state.remove(name)
    for beside in (*state.root.glob(f"{SPOOL}*"), *state.root.glob(".*.new")):
        state.remove(beside.name)
    with suppress(OSError):
        state.root.rmdir()
    if state.root.exists():
        print(f"Files that are not the agent's were left in {state.root}.", file=sys.stderr)


def _stop_running(state: State) -> None:
    process = state.running()
    if not process:
        return
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
    for _ in range(int(STOP_S / POLL_S)):
        if state.running() is None:
            return
        time.sleep(POLL_S)
    raise cli.CommandError(
        f"The agent that runs as process {process} does not stop: end it, then leave again."
    )


async def _tell(state: State, config: Path, clock: Clock) -> bool:
    """Whether the collector heard the goodbye. Damaged files keep nobody from leaving; without the
    configuration nothing is said, for it may name a proxy that nothing is to go past."""
    from heliograph_agent.config import ConfigError, load
    from heliograph_agent.runtime.agent import Agent, read_setting
    from heliograph_agent.state import StateError

    try:
        agent = Agent(read_setting(state, load(config)), clock, random.SystemRandom())
    except (StateError, ConfigError):
        return False
    try:
        async with asyncio.TaskGroup() as group:
            session = group.create_task(agent.uplink.run())
            with suppress(TimeoutError):
                async with asyncio.timeout(TELL_S):
                    await agent.sealing.close_all()
                    await agent.uplink.delivered()
            heard = agent.uplink.reached.connected
            agent.uplink.leave("leave")
            await asyncio.wait([session], timeout=TELL_S)
            session.cancel()
        return heard
    finally:
        await agent.spool.close()
