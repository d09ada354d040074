"""Command `heliograph-collector operator`: manage console users."""

import argparse
import json
import sys
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import (
    CommandError,
    add_command,
    add_common_options,
    load_cli_config,
    print_qr_code,
)

if TYPE_CHECKING:
    from heliograph_collector.fleet.operators import Operators

ACTIONS = {
    "add": ("add a user", "operator add vera --role viewer"),
    "list": ("list the users", "operator list"),
    "remove": ("remove a user, at once", "operator remove vera"),
    "passwd": ("set a user's password", "operator passwd vera"),
    "totp": ("set up or remove a user's second factor", "operator totp vera"),
}


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "operator",
        "manage console users",
        "operator add vera --role viewer",
        description="Lists, adds and removes users of the console. The user `operator` always "
        "exists, with the password of the password file. Changes take effect at once.",
    )
    actions = command.add_subparsers(dest="action", metavar="|".join(ACTIONS), required=True)
    for name, (help_text, example) in ACTIONS.items():
        action = add_command(actions, name, help_text, f"{example}")
        if name == "list":
            action.add_argument("--json", action="store_true", help="print a JSON array")
        else:
            action.add_argument("name", metavar="NAME", help="a-z, 0-9, dot, dash, underscore")
        if name == "add":
            action.add_argument(
                "--role",
                choices=("viewer", "operator"),
                default="operator",
                help="a viewer reads, an operator also acts (operator)",
            )
        if name == "totp":
            action.add_argument("--off", action="store_true", help="remove it")
        add_common_options(action)


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.fleet.operators import Operators, OperatorsError

    config = load_cli_config(args)
    if not config.data.is_dir():
        raise CommandError(f"{config.data} holds no collector: name its --data directory.")
    try:
        operators = Operators(config.data)
        if args.action == "list":
            return _print_people(operators, as_json=args.json)
        _run_action(args, operators)
        _write_audit_entry(args)
    except OperatorsError as error:
        raise CommandError(f"{error}.") from error
    return 0


def _run_action(args: argparse.Namespace, operators: "Operators") -> None:
    """Run the action. Raises OperatorsError."""
    from heliograph.clock import SystemClock

    if args.action == "add":
        operators.check_can_add(args.name)
        operators.add(
            args.name, args.role, _read_password_hash(), SystemClock().wall_us() // 1_000_000
        )
        print(f"{args.name} may come in as {args.role}.")
    elif args.action == "remove":
        operators.remove(args.name)
        print(f"{args.name} is turned away.")
    elif args.action == "passwd":
        operators.check_can_set(args.name)
        operators.set_hash(args.name, _read_password_hash())
        print(f"{args.name} has another password and was logged out.")
    elif args.off:
        operators.set_totp(args.name, "")
        print(f"{args.name} logs in without a second factor.")
    else:
        _set_up_totp(args.name, operators)


def _read_password_hash() -> str:
    """Read a password and return its hash.

    A terminal asks for it twice; otherwise it is the first line of stdin.
    """
    from getpass import getpass

    from heliograph_collector.fleet.passwords import MAX_LENGTH, MIN_LENGTH, hash_password

    if sys.stdin.isatty():
        password = getpass("Password: ")
        if getpass("Again: ") != password:
            raise CommandError("the two are not the same: nothing was changed.")
    else:
        password = sys.stdin.readline(MAX_LENGTH + 2).rstrip("\r\n")
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise CommandError(
            f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters: nothing was changed."
        )
    return hash_password(password)


def _set_up_totp(name: str, operators: "Operators") -> None:
    import pyotp

    secret = pyotp.random_base32()
    operators.set_totp(name, secret)
    uri = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name="Heliograph")
    print(uri)
    print_qr_code(uri)


def _print_people(operators: "Operators", *, as_json: bool) -> int:
    persons = sorted(operators.read_people().values(), key=attrgetter("name"))
    if as_json:
        documents = [
            {"name": p.name, "role": p.role, "second_factor": bool(p.totp)} for p in persons
        ]
        print(json.dumps(documents, indent=2))
        return 0
    format_line = "{:<34}{:<10}{}".format
    print(format_line("NAME", "ROLE", "SECOND FACTOR"))
    for person in persons:
        print(format_line(person.name, person.role, "yes" if person.totp else "no"))
    return 0


def _write_audit_entry(args: argparse.Namespace) -> None:
    from heliograph.clock import SystemClock
    from heliograph_collector.fleet.audit_log import AuditLog

    subject = f"{args.name} as {args.role}" if args.action == "add" else args.name
    now_us = SystemClock().wall_us()
    AuditLog(load_cli_config(args).data).add(
        now_us, "command line", f"operator.{args.action}", subject
    )
