"""`pause` and `resume`: a switch that works offline and survives a restart."""

import argparse
import re
from datetime import UTC, datetime, timedelta

from heliograph.clock import Clock, SystemClock
from heliograph.timestamps import format_minute
from heliograph.translation import translate as _
from heliograph_agent import cli
from heliograph_agent.runtime.pause import FOREVER_US, write_pause
from heliograph_agent.state import COLLECTOR, PAUSED, State, StateError

UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def add_parser(commands: "cli.Subparsers") -> None:
    p = commands.add_parser(
        "pause",
        help="stop measuring and sending, until `resume`",
        description="Stop measuring and sending. A running agent obeys within two seconds.",
        epilog="Example: heliograph-agent pause --until 2h",
    )
    p.add_argument(
        "--until",
        metavar="T",
        type=parse_until,
        default=FOREVER_US,
        help="resume automatically: after 30m, 2h, 7d, or at a UTC time like 2026-01-31T18:00",
    )
    commands.add_parser(
        "resume",
        help="continue after `pause`",
        description="Continue measuring and sending after `pause`.",
        epilog="Example: heliograph-agent resume",
    )


def run(args: argparse.Namespace) -> int:
    state = cli.get_state(args)
    _check_joined(state)
    if args.command == "resume":
        state.remove(PAUSED)
        print(_("Going on."))
        return 0
    print(_describe_pause(_pause(state, args.until)))
    return 0


def _pause(state: State, until_us: int) -> int:
    """Pause, and return the end; where no file can be written, stop the running agent.

    Raises StateError.
    """
    try:
        return write_pause(state, until_us)
    except StateError:
        if state.stop_running():
            cli.print_note(
                _("The running agent is stopped instead; do not start it before `pause` works.")
            )
        raise


def _check_joined(state: State) -> None:
    """Refuse a directory of no agent, lest one that runs elsewhere seems paused.

    Raises StateError.
    """
    if state.read(COLLECTOR) is None:
        raise StateError(
            _(
                "No agent has joined in {root}, so nothing was changed: name the directory of "
                "the agent that you mean with --state."
            ).format(root=state.root)
        )


def parse_until(value: str, clock: Clock | None = None) -> int:
    """Parse a time to microseconds since the epoch. Raises ArgumentTypeError."""
    now = datetime.fromtimestamp((clock or SystemClock()).wall_us() / 1e6, UTC)
    match = re.fullmatch(r"([0-9]{1,5})([mhd])", value)
    try:
        if match:
            end = now + timedelta(**{UNITS[match[2]]: int(match[1])})
        else:
            end = datetime.fromisoformat(value)
            end = end if end.tzinfo else end.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            _("{value} is no time; use 30m, 2h, 7d or 2026-01-31T18:00").format(value=repr(value))
        ) from None
    if end <= now:
        raise argparse.ArgumentTypeError(_("{value} is in the past").format(value=repr(value)))
    return int(end.timestamp() * 1e6)


def _describe_pause(until_us: int) -> str:
    if until_us == FOREVER_US:
        return _("Paused until `heliograph-agent resume`.")
    return _("Paused until {time}.").format(time=format_minute(until_us))
