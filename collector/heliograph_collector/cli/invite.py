"""Command `heliograph-collector invite`: print an invite and its QR code."""

import argparse
import re
import sys
from contextlib import closing
from typing import Any

from heliograph.address import split_endpoint
from heliograph_collector.cli import (
    CommandError,
    add_command,
    add_common_options,
    find_public_endpoint,
    load_cli_config,
    make_integer_parser,
    parse_endpoint,
    print_qr_code,
)
from heliograph_collector.cli.audit_trail import record_audit
from heliograph_collector.fleet.invites import is_loopback

_SECONDS_BY_UNIT = {"m": 60, "h": 3_600, "d": 86_400}
_MAX_EXPIRY_S = 366 * 86_400
MAX_USES = 100_000


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "invite",
        "print an invite for agents",
        "invite --uses 20 --expires 7d",
        description="Prints a line for `heliograph-agent join`, and on a terminal its QR code.",
    )
    add_common_options(command, acts_on_collector=True)
    command.add_argument(
        "--uses",
        type=make_integer_parser(MAX_USES),
        default=1,
        metavar="N",
        help="how many agents may join with it (1)",
    )
    command.add_argument(
        "--expires",
        type=parse_duration_s,
        default="7d",
        metavar="TIME",
        help="lifetime, such as 30m, 12h or 7d (7d)",
    )
    command.add_argument(
        "--open",
        action="store_true",
        help="a line for everybody, without a token; agents that join with it start in quarantine "
        "(needs intake.without_invite: quarantine)",
    )
    command.add_argument(
        "--control", action="store_true", help="for an agent of your own on a clean network"
    )
    command.add_argument(
        "--endpoint",
        type=parse_endpoint,
        metavar="HOST:PORT",
        help="where agents find this collector",
    )


def run(args: argparse.Namespace) -> int:
    from heliograph.clock import SystemClock
    from heliograph_collector.fleet import Fleet, format_invite, open_keyring
    from heliograph_collector.fleet.plans import load_current_plan
    from heliograph_collector.fleet.trust_chain import ensure_charter, load_charter_digest

    config = load_cli_config(args)
    endpoint_address = find_public_endpoint(config, args.endpoint)
    keyring = open_keyring(config.data, [split_endpoint(endpoint_address)[0]])
    now_s = SystemClock().wall_us() // 1_000_000
    role = "control" if args.control else "volunteer"
    if args.open and not config.strangers:
        raise CommandError(
            "nobody is let in without a token: set intake.without_invite to quarantine first."
        )
    with closing(Fleet(config.data)) as fleet:
        token = b""
        if not args.open:
            expires_s = now_s + args.expires
            record_audit(config, "invite.make", f"{role}, {args.uses} uses, {args.expires} s")
            token = fleet.create_invite(role=role, uses=args.uses, now_s=now_s, expires_s=expires_s)
        ensure_charter(fleet, config.data, keyring, now_s)
        charter = load_charter_digest(fleet)
        plan = load_current_plan(fleet)
    entrances = () if plan is None else plan[0].entrances
    line = format_invite(endpoint_address, keyring.pin, token, entrances, charter=charter)
    print(line)
    print_qr_code(line)
    _describe_reach(endpoint_address)
    return 0


def _describe_reach(address: str) -> None:
    """Print the address of an invite on a terminal; warn everywhere of a local one.

    An operator often asks by ssh, without a terminal.
    """
    is_local = is_loopback(split_endpoint(address)[0])
    if not (is_local or sys.stderr.isatty()):
        return
    note = f"Agents with this line connect to {address}."
    if is_local:
        note += " Only agents on this machine reach that: say --endpoint HOST:PORT for others."
    print(note, file=sys.stderr)


def parse_duration_s(argument: str) -> int:
    match = re.fullmatch(r"([0-9]{1,6})([mhd])", argument)
    value = int(match[1]) * _SECONDS_BY_UNIT[match[2]] if match else 0
    if not 60 <= value <= _MAX_EXPIRY_S:
        raise argparse.ArgumentTypeError(
            f"{argument!r} must be a time like 30m, 12h or 7d, to 366d"
        )
    return value
