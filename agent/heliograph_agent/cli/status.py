"""`status`: what a running agent last wrote down, or what a stopped one holds."""

import argparse
import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from heliograph.clock import SystemClock
from heliograph_agent import cli
from heliograph_agent.state import (
    CONSENT,
    PAUSED,
    SPOOL,
    STATUS,
    HeldError,
    State,
    StateError,
    not_joined,
)

# Of results that there was no room to keep one by one; their number and outcomes arrive.
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


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    p = commands.add_parser(
        "status",
        help="show what the agent holds and when it last reached the collector",
        description="Show whether the agent runs, what waits, and how the way to the collector is.",
        epilog="Example: heliograph-agent status --json",
    )
    p.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    state = cli.state_of(args)
    collector = state.collector()
    if collector is None:
        raise not_joined(state)
    held = _spooled(state)
    told: dict[str, Any] = {"connected": False, **_written(state)}
    if held is not None:
        told |= {"connected": False, **held}
    told |= {
        "running": held is None,
        "joined": collector.endpoint,
        "role": collector.role,
        "consent": state.read(CONSENT) is not None,
        "paused": state.read_json(PAUSED),
    }
    if args.json:
        print(json.dumps(told, ensure_ascii=False))
    else:
        _show(told)
    return 0


def _written(state: State) -> dict[str, Any]:
    """What the agent last told; it writes in haste, so a power cut may leave half a file."""
    try:
        return state.read_json(STATUS) or {}
    except StateError:
        return {}


def _spooled(state: State) -> dict[str, Any] | None:
    """Counts of the spool; None while an agent has it open."""
    from heliograph_agent.runtime.status_file import queue_of
    from heliograph_agent.spool import Spool

    if state.running() is not None:
        return None
    if not state.path(SPOOL).exists():
        return {"queued_measurements": 0, "queued_envelopes": 0}

    async def count() -> dict[str, Any]:
        spool = Spool(state.path(SPOOL), clock=SystemClock())
        try:
            return queue_of(await spool.counts())
        finally:
            await spool.close()

    try:
        with state.locked():
            return asyncio.run(count())
    except HeldError:  # it has only just started
        return None


def _show(told: Mapping[str, Any]) -> None:
    way = _way(str(told.get("way") or ""), connected=bool(told["connected"]))
    failure = told.get("last_failure") or {}
    lines = {
        "agent": _activity(told),
        "collector": f"{told['joined']}, {way}, last answer {_when(told.get('last_success_us'))}",
        "last failure": ", ".join(
            f"{path}: {f['reason']} {_when(f['at_us'])}" for path, f in failure.items()
        ),
        "network": f"{told.get('link', 'unknown')}, epoch {told.get('epoch') or '-'}",
        "plan": f"version {told.get('plan_version', 0)}",
        "waiting": f"{told.get('queued_measurements', 0)} results in "
        f"{told.get('queued_envelopes', 0)} batches, oldest {_when(told.get('oldest_us'))}",
        "delivered": f"{told.get('acked_measurements', 0)} results",
        "summed up": _many(told.get("summed"), SUMMED),
        "missing": _many(told.get("dropped"), MISSING),
        "refused": f"{told['quarantined']} batches" if told.get("quarantined") else "",
        "problem": told.get("problem", ""),
    }
    for name, text in lines.items():
        if text:
            print(f"{name + ':':<14} {text}")
    for experiment, at_us in sorted(told.get("last_results", {}).items()):
        print(f"  {experiment:<14} last result {_when(at_us)}")


def _activity(told: Mapping[str, Any]) -> str:
    if told["paused"] is not None:
        until = told["paused"].get("until_us")
        return f"paused until {_when(until)}" if until else "paused until `heliograph-agent resume`"
    if not told["consent"]:
        return "not agreed to anything: run `heliograph-agent join INVITE` again"
    return "running" if told["running"] else "not running: start it with `heliograph-agent run`"


def _when(at_us: int | None) -> str:
    if not at_us:
        return "never"
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _many(counts: Mapping[str, int] | None, words: Mapping[str, str]) -> str:
    """What is not there as it was measured, and why; nothing when all is."""
    known = {words.get(name, name): n for name, n in (counts or {}).items()}
    return "; ".join(text.format(n) if "{" in text else f"{n} {text}" for text, n in known.items())


def _way(name: str, *, connected: bool) -> str:
    """Which of the ways, without saying where it leads; the last one when none is open."""
    kinds = {"post": "one batch at a time", "relay": "by another volunteer's agent"}
    said = [kinds.get(name.partition(":")[0], "")]
    said += ["by your proxy"] if name.endswith(" by proxy") else []
    how = ", ".join(filter(None, said))
    if connected:
        return ", ".join(filter(None, ["connected", how]))
    return f"no session (last tried: {how or 'a session'})" if name else "no session"
