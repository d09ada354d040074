"""`status`: show a running agent's last status, or a stopped agent's spool."""

import argparse
import asyncio
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TypedDict, cast

from heliograph.clock import SystemClock
from heliograph_agent import cli
from heliograph_agent.consent import make_printable
from heliograph_agent.runtime.status_file import (
    AgentStatus,
    QueueStatus,
    describe_queue,
    read_status,
)
from heliograph_agent.state import CONSENT, PAUSED, SPOOL, Collector, State, StateLockedError

# Results that were summarized because the spool was full; number and outcomes arrive.
SUMMED = {
    "p3": "{} routine results are kept as sums of an hour or a day",
    "p2": "{} failures that went on are kept as sums of an hour or a day",
}
MISSING = {
    "thinned_p3": "{} routine results gave way, there was no room",
    "thinned_p2": "{} failures that went on gave way, there was no room",
    "refused": "{} results found no room at all",
    "rejected": "{} refused results were thrown away after the last 64 batches",
    "unreadable": "{} results cannot be read back from this disk",
    "damaged": "the spool was mended {} times",
}

# What the own side does, which is no censorship.
OWN_SIGNS = {
    "decrypts": "A program on this machine or in this house decrypts TLS: {}",
    "filters": "Your resolver, or a list on this machine, filters adverts or other names",
    "denies": "Your resolver denies names that nobody minds, as a list of allowed names does",
    "tunnels": "A tunnel on this machine invents the addresses of names",
    "changes_web": "Something on the way changes cleartext web traffic",
}

CLONED = (
    "another machine uses this agent's key, so its results are kept and not counted: stop this "
    "one, ask the operator for an invite, and run `heliograph-agent join INVITE --new-key`; what "
    "waits is handed in"
)


class Pause(TypedDict, total=False):
    """Describe paused.json."""

    until_us: int  # wall clock, 0 without an end


class CommandStatus(AgentStatus):
    """Describe the output of `status --json`."""

    running: bool
    joined: str
    role: str
    consent: bool
    paused: Pause | None


def add_parser(commands: "cli.Subparsers") -> None:
    p = commands.add_parser(
        "status",
        help="show what the agent holds and when it last reached the collector",
        description="Show whether the agent runs, what waits, and which transport works.",
        epilog="Example: heliograph-agent status --json",
    )
    p.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    state = cli.get_state(args)
    collector = state.joined_collector()
    queue = _count_spool(state, collector)
    last_status = read_status(state)
    is_running = queue is None
    status: CommandStatus = {
        **last_status,
        **(queue or {}),
        "connected": is_running and last_status.get("connected", False),
        "running": is_running,
        "joined": collector.endpoint,
        "role": collector.role,
        "consent": state.read(CONSENT) is not None,
        "paused": cast("Pause | None", state.read_json(PAUSED)),
    }
    if args.json:
        print(json.dumps(status))
    else:
        _print_status(status)
    return 0


def _count_spool(state: State, collector: Collector) -> QueueStatus | None:
    """Count the spool; None while an agent has it open."""
    if state.running_pid() is not None:
        return None
    if not state.path(SPOOL).exists():
        return {"queued_measurements": 0, "queued_envelopes": 0}

    try:
        with state.hold_lock():
            return asyncio.run(_describe_queue(state, collector))
    except StateLockedError:  # an agent has just started
        return None


async def _describe_queue(state: State, collector: Collector) -> QueueStatus:
    from heliograph_agent.runtime.batcher import CollectorSealer
    from heliograph_agent.spool import Spool

    clock = SystemClock()
    spool = Spool(state.path(SPOOL), CollectorSealer(state, collector, clock), clock=clock)
    try:
        return describe_queue(await spool.read_counts())
    finally:
        await spool.close()


def _print_status(status: CommandStatus) -> None:
    transport = _describe_transport(status.get("way") or "", is_connected=status["connected"])
    lines = {
        "agent": _describe_activity(status),
        "collector": f"{status['joined']}, {transport}, last answer "
        f"{_format_time(status.get('last_success_us'))}",
        "last failure": ", ".join(
            f"{path}: {failure['reason']} {_format_time(failure['at_us'])}"
            for path, failure in (status.get("last_failure") or {}).items()
        ),
        "key": CLONED if status.get("cloned") else "",
        "network": f"{status.get('link', 'unknown')}, epoch {status.get('epoch') or '-'}",
        "own side": "; ".join(_describe_own_signs(status)),
        "plan": f"version {status.get('plan_version', 0)}",
        "waiting": f"{status.get('queued_measurements', 0)} results in "
        f"{status.get('queued_envelopes', 0)} batches, oldest "
        f"{_format_time(status.get('oldest_us'))}",
        "delivered": f"{status.get('acked_measurements', 0)} results",
        "summed up": _describe_counts(status.get("summed"), SUMMED),
        "missing": _describe_counts(status.get("dropped"), MISSING),
        "refused": f"{status['quarantined']} batches" if status.get("quarantined") else "",
        "problem": status.get("problem", ""),
    }
    for name, value in lines.items():
        if value:
            print(f"{name + ':':<14} {value}")
    for experiment, at_us in sorted(status.get("last_results", {}).items()):
        print(f"  {experiment:<20} last result {_format_time(at_us)}")


def _describe_own_signs(status: CommandStatus) -> Iterator[str]:
    for sign, detail in (status.get("own_signs") or {}).items():
        if sign in OWN_SIGNS:
            yield OWN_SIGNS[sign].format(make_printable(detail))


def _describe_activity(status: CommandStatus) -> str:
    if status["paused"] is not None:
        until_us = status["paused"].get("until_us")
        return f"paused until {_format_time(until_us) if until_us else '`heliograph-agent resume`'}"
    if not status["consent"]:
        return "not agreed to anything: run `heliograph-agent join INVITE` again"
    return "running" if status["running"] else "not running: start it with `heliograph-agent run`"


def _format_time(at_us: int | None) -> str:
    if not at_us:
        return "never"
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _describe_counts(counts: Mapping[str, int] | None, templates: Mapping[str, str]) -> str:
    described = {templates.get(name, name): n for name, n in (counts or {}).items()}
    return "; ".join(
        template.format(n) if "{" in template else f"{n} {template}"
        for template, n in described.items()
    )


def _describe_transport(name: str, *, is_connected: bool) -> str:
    kinds = {"post": "one batch at a time", "relay": "by another volunteer's agent"}
    kind = kinds.get(name.partition(":")[0], "")
    proxy = "by your proxy" if name.endswith(" by proxy") else ""
    description = ", ".join(filter(None, (kind, proxy)))
    if is_connected:
        return f"connected, {description}" if description else "connected"
    return f"no session (last tried: {description or 'a session'})" if name else "no session"
