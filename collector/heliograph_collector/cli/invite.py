"""`heliograph-collector invite`: one line that lets agents in, on a terminal also as a QR code."""

import argparse
import json
import re
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from heliograph_collector.cli import CommandError, add_places, config_of, endpoint
from heliograph_collector.config.settings import Config, split_endpoint

_UNITS = {"m": 60, "h": 3_600, "d": 86_400}
_LONGEST_S = 366 * 86_400
_ANYWHERE = {"0.0.0.0", "::", "*"}  # noqa: S104 - recognised here so as not to be handed out


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = commands.add_parser(
        "invite",
        help="print an invite for agents",
        description="Prints a line for `heliograph-agent join`, and on a terminal its QR code.",
        epilog="Example: heliograph-collector invite --uses 20 --expires 7d",
        allow_abbrev=False,
    )
    add_places(command)
    command.add_argument(
        "--uses", type=uses, default=1, metavar="N", help="how many agents it lets in (1)"
    )
    command.add_argument(
        "--expires", type=seconds, default="7d", metavar="TIME", help="as 30m, 12h or 7d (7d)"
    )
    command.add_argument(
        "--open",
        action="store_true",
        help="a line for everybody, without a token: who joins by it is in quarantine at first "
        "(needs intake.without_invite: quarantine)",
    )
    command.add_argument(
        "--control", action="store_true", help="for an agent of your own on a clean network"
    )
    command.add_argument(
        "--endpoint", type=endpoint, metavar="HOST:PORT", help="where agents find this collector"
    )


def run(args: argparse.Namespace) -> int:
    from heliograph.clock import SystemClock
    from heliograph_collector.fleet import Fleet, invite_line, open_keyring
    from heliograph_collector.fleet.plans import standing
    from heliograph_collector.fleet.trust_chain import keep_charter, pin_of

    config = config_of(args)
    where = public_endpoint(config, args.endpoint)
    keyring = open_keyring(config.data, [split_endpoint(where)[0]])
    now_s = SystemClock().wall_us() // 1_000_000
    role = "control" if args.control else "volunteer"
    if args.open and not config.strangers:
        raise CommandError(
            "nobody is let in without a token: set intake.without_invite to quarantine first."
        )
    with closing(Fleet(config.data)) as fleet:
        token = b""
        if not args.open:
            end_s = now_s + args.expires
            token = fleet.invite(role=role, uses=args.uses, now_s=now_s, expires_s=end_s)
        keep_charter(fleet, config.data, keyring, now_s)
        charter, plan = pin_of(fleet), standing(fleet)
    entrances = () if plan is None else plan[0].entrances
    line = invite_line(where, keyring.pin, token, entrances, charter=charter)
    print(line)
    if sys.stderr.isatty():
        _draw(line)
    return 0


def public_endpoint(config: Config, typed: str | None) -> str:
    """As typed, else configured, else where a running `serve` listens. Raises CommandError."""
    found = typed or config.endpoint or serving(config.data).get("grpc") or config.grpc
    if split_endpoint(found)[0] in _ANYWHERE:
        raise CommandError(
            f"agents cannot dial {found}: say --endpoint HOST:PORT, or set the key endpoint."
        )
    return str(found)


def serving(data: Path) -> dict[str, Any]:
    """What a running `serve` says of itself, else nothing."""
    try:
        with (data / "serving.json").open("rb") as file:
            found = json.loads(file.read(4_096))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def uses(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 100_000):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1 to 100000")
    return int(text)


def seconds(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,6})([mhd])", text)
    value = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 60 <= value <= _LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text!r} must be a time like 30m, 12h or 7d, to 366d")
    return value


def _draw(line: str) -> None:
    import segno

    segno.make(line, error="l").terminal(out=sys.stderr, compact=True)
