"""`heliograph-collector operator`: who may come into the console, besides `operator` itself."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import CommandError, add_places, config_of

if TYPE_CHECKING:
    from heliograph_collector.fleet.operators import Operators

ACTIONS = {
    "add": ("let one more person in", "operator add vera --role viewer"),
    "list": ("print who there is", "operator list"),
    "remove": ("turn somebody away, at once", "operator remove vera"),
    "passwd": ("set somebody's password", "operator passwd vera"),
    "totp": ("give somebody a second factor, or take it away", "operator totp vera"),
}


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = commands.add_parser(
        "operator",
        help="who may come into the console",
        description="Lists, adds and removes people of the console. The person `operator` is "
        "always there, with the password of the password file. What is changed holds at once.",
        epilog="Example: heliograph-collector operator add vera --role viewer",
        allow_abbrev=False,
    )
    actions = command.add_subparsers(dest="action", metavar="|".join(ACTIONS), required=True)
    for name, (text, example) in ACTIONS.items():
        action = actions.add_parser(
            name, help=text, epilog=f"Example: heliograph-collector {example}", allow_abbrev=False
        )
        if name == "list":
            action.add_argument("--json", action="store_true", help="print a JSON array")
        else:
            action.add_argument("name", metavar="NAME", help="a-z, 0-9, dot, dash, underscore")
        if name == "add":
            action.add_argument(
                "--role",
                choices=("viewer", "operator"),
                default="operator",
                help="viewer looks, operator acts (operator)",
            )
        if name == "totp":
            action.add_argument("--off", action="store_true", help="take it away")
        add_places(action)


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.fleet.operators import Operators, OperatorsError

    config = config_of(args)
    if not config.data.is_dir():
        raise CommandError(f"{config.data} holds no collector: name its --data directory.")
    try:
        people = Operators(config.data)
        if args.action == "list":
            return _list(people, as_json=args.json)
        _act(args, people)
        _note(args)
    except OperatorsError as error:
        raise CommandError(f"{error}.") from error
    return 0


def _act(args: argparse.Namespace, people: "Operators") -> None:
    """Raises OperatorsError."""
    from heliograph.clock import SystemClock

    if args.action == "add":
        people.may_add(args.name)
        people.add(args.name, args.role, _password(), SystemClock().wall_us() // 1_000_000)
        print(f"{args.name} may come in as {args.role}.")
    elif args.action == "remove":
        people.remove(args.name)
        print(f"{args.name} is turned away.")
    elif args.action == "passwd":
        people.may_set(args.name)
        people.set_hash(args.name, _password())
        print(f"{args.name} has another password and was logged out.")
    elif args.off:
        people.set_totp(args.name, "")
        print(f"{args.name} logs in without a second factor.")
    else:
        _give_totp(args.name, people)


def _password() -> str:
    """Its hash. Asked for twice on a terminal, else the first line of what is piped in."""
    from getpass import getpass

    from heliograph_collector.fleet.passwords import LEAST, MOST, hash_password

    if sys.stdin.isatty():
        typed = getpass("Password: ")
        if getpass("Again: ") != typed:
            raise CommandError("the two are not the same: nothing was changed.")
    else:
        typed = sys.stdin.readline(MOST + 2).rstrip("\r\n")
    if not LEAST <= len(typed) <= MOST:
        raise CommandError(f"a password has {LEAST} to {MOST} characters: nothing was changed.")
    return hash_password(typed)


def _give_totp(name: str, people: "Operators") -> None:
    import pyotp

    secret = pyotp.random_base32()
    people.set_totp(name, secret)
    line = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name="Heliograph")
    print(line)
    if sys.stderr.isatty():
        import segno

        segno.make(line, error="l").terminal(out=sys.stderr, compact=True)


def _list(people: "Operators", *, as_json: bool) -> int:
    found = sorted(people.people().values(), key=lambda person: person.name)
    if as_json:
        whole = [{"name": p.name, "role": p.role, "second_factor": bool(p.totp)} for p in found]
        print(json.dumps(whole, indent=2))
        return 0
    line = "{:<34}{:<10}{}".format
    print(line("NAME", "ROLE", "SECOND FACTOR"))
    for person in found:
        print(line(person.name, person.role, "yes" if person.totp else "no"))
    return 0


def _note(args: argparse.Namespace) -> None:
    from heliograph.clock import SystemClock
    from heliograph_collector.fleet.audit_log import Trail

    about = f"{args.name} as {args.role}" if args.action == "add" else args.name
    now_us = SystemClock().wall_us()
    Trail(config_of(args).data).add(now_us, "command line", f"operator.{args.action}", about)
