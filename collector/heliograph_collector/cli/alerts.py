"""Command `heliograph-collector alerts`: list and test receivers of alerts."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import CommandError, add_command, add_common_options, load_cli_config

if TYPE_CHECKING:
    from heliograph_collector.config.receivers import Receiver


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "alerts",
        "list the receivers of alerts, or send a test message",
        "alerts test newsroom --config collector.yml",
        description="Lists and tests the receivers that the configuration has under `alerts`.",
    )
    actions = command.add_subparsers(dest="action", metavar="list|test|secret", required=True)
    listing = add_command(
        actions, "list", "print the receivers", "alerts list --config collector.yml"
    )
    listing.add_argument("--json", action="store_true", help="print a JSON array")
    testing = add_command(
        actions,
        "test",
        "send a test message and print the result",
        "alerts test newsroom --config collector.yml",
        description="Sends one message, marked as a test, in the configured way.",
    )
    testing.add_argument("name", metavar="NAME", help="the receiver's name")
    making = add_command(
        actions, "secret", "print a new secret for a webhook", "alerts secret > newsroom.secret"
    )
    for action in (listing, testing, making):
        add_common_options(action)


def run(args: argparse.Namespace) -> int:
    if args.action == "secret":
        return _print_secret()
    receivers = load_cli_config(args).alerts
    if args.action == "test":
        return _send_test(args, _find_receiver(receivers, args.name))
    if args.json:
        print(_format_json(receivers))
    elif receivers:
        print("\n".join(f"{r.name:<20}{r.kind:<10}{_format_destination(r)}" for r in receivers))
    else:
        print("No receivers: the configuration lists no alerts.")
    return 0


def _print_secret() -> int:
    from heliograph_collector.config.named_files import generate_secret

    print(generate_secret())
    return 0


def _find_receiver(receivers: "tuple[Receiver, ...]", name: str) -> "Receiver":
    for receiver in receivers:
        if receiver.name == name:
            return receiver
    names = ", ".join(receiver.name for receiver in receivers) or "none"
    raise CommandError(f"no receiver is called {name!r}; the configuration has: {names}.")


def _send_test(args: argparse.Namespace, receiver: "Receiver") -> int:
    import asyncio

    from heliograph.clock import SystemClock
    from heliograph_collector.app.commands import send_sample
    from heliograph_collector.config.errors import CannotServeError

    base_url = load_cli_config(args).public_url
    try:
        reply = asyncio.run(send_sample(receiver, base_url, SystemClock().wall_us()))
    except CannotServeError as error:
        raise CommandError(str(error)) from error
    print(f"{receiver.name} was told: {reply}.")
    return 0


def _format_json(receivers: "tuple[Receiver, ...]") -> str:
    rows = [
        {
            "name": receiver.name,
            "kind": receiver.kind.value,
            "place": _format_destination(receiver),
            "countries": list(receiver.countries),
            "kinds": list(receiver.kinds),
            "services": list(receiver.services),
            "states": list(receiver.states),
            "suspected": receiver.suspected.value,
            "health": receiver.health.value,
            "language": receiver.language,
        }
        for receiver in receivers
    ]
    return json.dumps(rows, indent=2)


def _format_destination(receiver: "Receiver") -> str:
    """Format a destination with only the host of a URL, whose rest may be secret."""
    recipients = ", ".join(receiver.to) or receiver.room
    host = receiver.host or "an address in its file"
    return f"{recipients} by {host}" if recipients else host
