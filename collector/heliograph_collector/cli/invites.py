"""Command `heliograph-collector invites`: list invites, and withdraw leaked ones."""

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from heliograph.clock import SystemClock
from heliograph.invite_line import PREFIX
from heliograph_collector.cli import CommandError, add_command, add_common_options, load_cli_config
from heliograph_collector.cli.audit_trail import record_audit
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet import Fleet
from heliograph_collector.fleet.invites import (
    InviteStatus,
    list_invites,
    read_invite_id,
    withdraw_invite,
)

_MIN_ID = 4  # characters, as of an agent's id


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "invites",
        "list invites, or withdraw one",
        "invites list",
        description="Lists invites, or withdraws one. Agents that joined with it stay.",
    )
    actions = command.add_subparsers(dest="action", metavar="list|withdraw", required=True)
    listing = add_command(actions, "list", "print the invites", "invites list --json")
    listing.add_argument("--json", action="store_true", help="print a JSON array")
    withdrawing = add_command(
        actions, "withdraw", "let nobody else join with an invite", "invites withdraw 3f9a"
    )
    withdrawing.add_argument(
        "invite", metavar="ID", help="its id or the first characters, or the line itself"
    )
    for action in (listing, withdrawing):
        add_common_options(action, acts_on_collector=True)


def run(args: argparse.Namespace) -> int:
    now_s = SystemClock().wall_us() // 1_000_000
    config = load_cli_config(args)
    with closing(Fleet(config.data)) as fleet:
        if args.action == "withdraw":
            return _withdraw(config, fleet, args.invite, now_s)
        invites = list_invites(fleet)
    if args.json:
        rows = [asdict(invite) | {"open": invite.is_open(now_s)} for invite in invites]
        print(json.dumps(rows, indent=2))
    elif invites:
        print("\n".join(_format_table(invites, now_s)))
    else:
        print("No invite was made; `heliograph-collector invite` prints one.")
    return 0


def _withdraw(config: Config, fleet: Fleet, named: str, now_s: int) -> int:
    """Withdraw by id or line. Raises CommandError."""
    prefix = _read_id(named)
    matches = list_invites(fleet, prefix)
    if len(matches) != 1:
        count = "no invite's id begins" if not matches else f"{len(matches)} invites' ids begin"
        raise CommandError(f"{count} with {prefix!r}: give one that `invites list` shows.")
    (invite,) = matches
    if now_s < invite.expires_s:
        record_audit(config, "invite.withdraw", invite.id)
    if not withdraw_invite(fleet, invite.id, now_s):
        raise CommandError(f"{invite.id} is over already: nobody can join with it.")
    print(f"Withdrew {invite.id}. {invite.used} of {invite.uses} had joined with it; they stay.")
    return 0


def _read_id(named: str) -> str:
    """Return the id, or its beginning, that an argument names. Raises CommandError."""
    if named.startswith(PREFIX):
        try:
            return read_invite_id(named)
        except ValueError as error:
            raise CommandError(f"this line is no whole invite: {error}.") from error
    if not re.fullmatch(f"[0-9a-f]{{{_MIN_ID},16}}", named):
        raise CommandError(f"{named[:64]!r} is no id: give one that `invites list` shows.")
    return named


def _format_table(invites: Sequence[InviteStatus], now_s: int) -> Iterator[str]:
    format_line = "{:<18}{:<11}{:<10}{:<22}{}".format
    yield format_line("ID", "ROLE", "JOINED", "EXPIRES", "STATE")
    for invite in invites:
        expiry = f"{datetime.fromtimestamp(invite.expires_s, UTC):%Y-%m-%d %H:%M} UTC"
        joined = f"{invite.used}/{invite.uses}"
        state = "open" if invite.is_open(now_s) else "over"
        yield format_line(invite.id, invite.role, joined, expiry, state)
