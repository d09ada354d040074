"""Command `heliograph-collector operator`: manage console users."""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from heliograph_collector.cli import (
    CommandError,
    add_command,
    add_common_options,
    load_cli_config,
    print_qr_code,
)

if TYPE_CHECKING:
    from heliograph_collector.config.journal_settings import JournalSettings
    from heliograph_collector.config.settings import Config
    from heliograph_collector.fleet.operators import Operators, Person

ACTIONS = {
    "add": ("add a user", "operator add vera --role viewer"),
    "list": ("list the users", "operator list"),
    "remove": ("remove a user, at once", "operator remove vera"),
    "passwd": ("set a user's password", "operator passwd vera"),
    "totp": ("set up or remove a user's second factor", "operator totp vera"),
}
_T = TypeVar("_T")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Effect of an action, and the sentence to print afterwards."""

    apply: "Callable[[Operators], None]"
    sentence: str
    qr_code: bool = False  # the sentence is a URI for a telephone


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.fleet.operators import OperatorsError
    from heliograph_collector.store.journal.journal import JournalError

    config = load_cli_config(args)
    if not config.data.is_dir():
        raise CommandError(f"{config.data} holds no collector: name its --data directory.")
    try:
        if args.action == "list":
            return _print_people(_run_with_operators(config, _list_people), as_json=args.json)
        _run_with_operators(config, partial(_check_action, args))
        change = _build_change(args)  # it may ask for a password, with no server connected
        _run_with_operators(config, partial(_run_change, args, change))
    except OperatorsError as error:
        raise CommandError(f"{error}.") from error
    except JournalError as error:
        raise CommandError(str(error)) from error
    print(change.sentence)
    if change.qr_code:
        print_qr_code(change.sentence)
    return 0


def _list_people(operators: "Operators", _: "_AuditLines") -> "list[Person]":
    return sorted(operators.read_people().values(), key=attrgetter("name"))


def _check_action(args: argparse.Namespace, operators: "Operators", _: "_AuditLines") -> None:
    """Check what can be checked before a password is asked for. Raises OperatorsError."""
    if args.action == "add":
        operators.check_can_add(args.name)
    elif args.action == "passwd":
        operators.check_can_set(args.name)


def _build_change(args: argparse.Namespace) -> Change:
    from heliograph.clock import SystemClock

    name = args.name
    if args.action == "add":
        new_hash = _read_password_hash()
        now_s = SystemClock().wall_us() // 1_000_000
        return Change(
            apply=lambda operators: operators.add(name, args.role, new_hash, now_s),
            sentence=f"{name} may come in as {args.role}.",
        )
    if args.action == "remove":
        return Change(
            apply=lambda operators: operators.remove(name), sentence=f"{name} is turned away."
        )
    if args.action == "passwd":
        new_hash = _read_password_hash()
        return Change(
            apply=lambda operators: operators.set_hash(name, new_hash),
            sentence=f"{name} has another password and was logged out.",
        )
    if args.off:
        return Change(
            apply=lambda operators: operators.set_totp(name, ""),
            sentence=f"{name} logs in without a second factor.",
        )
    return _build_totp(name)


def _build_totp(name: str) -> Change:
    import pyotp

    secret = pyotp.random_base32()
    uri = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name="Heliograph")
    return Change(
        apply=lambda operators: operators.set_totp(name, secret), sentence=uri, qr_code=True
    )


def _run_change(
    args: argparse.Namespace, change: Change, operators: "Operators", trail: "_AuditLines"
) -> None:
    """Change the users, and write the audit trail. Raises OperatorsError, OSError."""
    from heliograph.clock import SystemClock
    from heliograph_collector.cli.audit_trail import ACTOR
    from heliograph_collector.fleet.audit_log import format_line

    change.apply(operators)
    subject = f"{args.name} as {args.role}" if args.action == "add" else args.name
    now_us = SystemClock().wall_us()
    trail.append_line(format_line(now_us, ACTOR, f"operator.{args.action}", subject))


def _read_password_hash() -> str:
    """Read a password and return its hash.

    A terminal asks for it twice; otherwise it is the first line of stdin.
    """
    from getpass import getpass

    from heliograph_collector.fleet.passwords import MAX_LENGTH, MIN_LENGTH, hash_password

    if sys.stdin.isatty():
        try:
            password = getpass("Password: ")
            is_same = getpass("Again: ") == password
        except EOFError:  # Ctrl-D
            raise CommandError("no password was given: nothing was changed.") from None
        if not is_same:
            raise CommandError("the two are not the same: nothing was changed.")
    else:
        password = sys.stdin.readline(MAX_LENGTH + 2).rstrip("\r\n")
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise CommandError(
            f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters: nothing was changed."
        )
    return hash_password(password)


def _print_people(persons: "Sequence[Person]", *, as_json: bool) -> int:
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


class _AuditLines(Protocol):
    """Log of commands' actions. Implemented by AuditLog and SharedAudit."""

    def append_line(self, line: bytes) -> None:
        """Append a line of `audit_log.format_line`. Raises OSError."""
        ...


def _run_with_operators(config: "Config", action: "Callable[[Operators, _AuditLines], _T]") -> _T:
    """Run an action on the users, in files or on the servers of a cluster.

    Raises KeysError, JournalError, OperatorsError.
    """
    from heliograph_collector.fleet.audit_log import AuditLog
    from heliograph_collector.fleet.operator_file import OperatorFile
    from heliograph_collector.fleet.operators import Operators

    if config.journal is None:
        return action(Operators(OperatorFile(config.data)), AuditLog(config.data))
    from heliograph_collector.store.journal.journal import JournalError

    try:
        return asyncio.run(_run_shared(config.data, config.journal, action))
    except OSError as error:
        if isinstance(error.__cause__, JournalError):
            raise error.__cause__ from None
        raise


async def _run_shared(
    data: Path, servers: "JournalSettings", action: "Callable[[Operators, _AuditLines], _T]"
) -> _T:
    from heliograph_collector.app.shared_audit import SharedAudit
    from heliograph_collector.app.shared_operators import SharedOperators
    from heliograph_collector.fleet.keyring import read_secret
    from heliograph_collector.fleet.operators import Operators
    from heliograph_collector.store.journal.opening import open_console

    secret = read_secret(data)
    async with open_console(servers) as side:
        document = SharedOperators(side.operators, secret)
        await document.start()
        audit = SharedAudit(side.audit)
        await audit.start()
        return await asyncio.to_thread(lambda: action(Operators(document), audit))
