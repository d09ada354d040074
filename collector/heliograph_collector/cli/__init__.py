"""Command line of the collector: one module per command, loaded when needed.

Exit codes: 0 done, 1 failed, 2 wrong usage. An error is one sentence on stderr, with its remedy.

Example:
    exit_code = main(["agents", "list", "--json"])
"""

import argparse
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from heliograph.directory_owner import act_as_owner
from heliograph.standard_output import STDOUT, discard_output, name_output
from heliograph.units import DAY_US
from heliograph_collector.fleet import KeysError
from heliograph_collector.store.disk_errors import describe_database_error, describe_os_error

if TYPE_CHECKING:
    from heliograph_collector.config.settings import Config

COMMANDS = (
    "serve",
    "sources",
    "doctor",
    "simulate",
    "invite",
    "invites",
    "incidents",
    "operator",
    "enrol",
    "agents",
    "plan",
    "keys",
    "geo",
    "fingerprints",
    "backup",
    "restore",
    "migrate",
    "import",
    "export",
    "rejudge",
    "log",
    "alerts",
    "top",
    "replay",
    "evaluate",
)
# Commands in other modules: "import" is a keyword, and only this table names the lab's modules, so
# that no code of the collector imports them.
MODULE_BY_COMMAND = {
    "import": "heliograph_collector.cli.import_",
    "simulate": "heliograph_lab.cli.simulate",
    "evaluate": "heliograph_lab.cli.evaluate",
}
# Root may save to, and take from, places that the collector's user does not reach.
KEEPS_ROOT = frozenset({"backup", "restore"})
# gRPC's event engine hands what it reads to another thread. By the poller that it had before, a
# heartbeat takes 1.2 calls of futex instead of 3.5, and a fifth to a quarter less CPU. A gRPC that
# has no such switch ignores it, with a line in its log.
GRPC_EXPERIMENTS = "-event_engine_listener"
REQUIRED_LIBRARIES = (
    "aiohttp",
    "argon2",
    "chdb",
    "clickhouse_connect",
    "grpc_health",
    "maxminddb",
    "msgspec",
    "prometheus_client",
    "pyotp",
)


class CommandError(Exception):
    """Failure of a command; the message is a sentence for the user."""


def main(argv: Sequence[str], *, is_program: bool = False) -> int:
    """Run one command and return its exit code. Raises SystemExit(2) for wrong usage.

    Started by root, it continues as the owner of the data directory.
    """
    _prepare_process(is_program=is_program)
    args = build_parser(argv).parse_args(argv)
    try:
        if not getattr(args, "is_offline", False):  # the agent's libraries are enough there
            _check_libraries(args.command)
        _enter_data_directory(args, is_program=is_program)
        code: int = _import_command(args.command).run(args)
        sys.stdout.flush()
    except (CommandError, KeysError) as error:
        return _print_failure(str(error))
    except BrokenPipeError:  # `heliograph-collector agents list | head`
        discard_output()
        return 1
    except OSError as error:
        return _print_os_failure(error)
    except sqlite3.Error as error:
        return _print_failure(describe_database_error(_find_database(args), error))
    except KeyboardInterrupt:
        return _print_failure("stopped.")
    return code


def _prepare_process(*, is_program: bool) -> None:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's own log contains peers' addresses
    os.environ.setdefault("GRPC_EXPERIMENTS", GRPC_EXPERIMENTS)
    if is_program:
        name_output()


def _enter_data_directory(args: argparse.Namespace, *, is_program: bool) -> None:
    """Act as the directory's owner; refuse a directory of no collector.

    Raises CommandError.
    """
    opens_data = getattr(args, "opens_data", False)
    if is_program and opens_data and args.command not in KEEPS_ROOT:
        act_as_owner(load_cli_config(args).data)
    if getattr(args, "acts_on_collector", False):
        check_directory(load_cli_config(args).data)


def _find_database(args: argparse.Namespace) -> Path:
    """Return the database that commands open, only its name if the path is unknown."""
    with suppress(CommandError):
        return load_cli_config(args).data / "fleet.db"
    return Path("fleet.db")


def _print_failure(sentence: str) -> int:
    print(f"heliograph-collector: {sentence}", file=sys.stderr)
    return 1


def _print_os_failure(error: OSError) -> int:
    if error.filename == STDOUT:
        discard_output()
    return _print_failure(describe_os_error(error.filename or "a file", error))


def build_parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Build the parser without loading any command's libraries.

    Where `argv` begins with a command, it knows that one alone: to import all of them would cost
    each start a tenth of a second.
    """
    top = argparse.ArgumentParser(
        prog="heliograph-collector",
        description="Judges what agents observe and publishes what is cut, where and when.",
        epilog="Example: heliograph-collector serve",
        allow_abbrev=False,
    )
    top.add_argument("--version", action=_PrintVersion, nargs=0, help="print the version and exit")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in argv[:1] if argv and argv[0] in COMMANDS else COMMANDS:
        _import_command(name).add_parser(commands)
    return top


def _import_command(command: str) -> ModuleType:
    return import_module(MODULE_BY_COMMAND.get(command, f"heliograph_collector.cli.{command}"))


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    example: str,
    description: str | None = None,
) -> argparse.ArgumentParser:
    """Add a command's parser; `example` is a command line without the program's name."""
    return commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"Example: heliograph-collector {example}",
        allow_abbrev=False,
    )


def add_common_options(
    command: argparse.ArgumentParser, *, acts_on_collector: bool = False
) -> None:
    """Add the options that most commands share.

    Args:
        acts_on_collector: The command needs a collector's data (`check_directory`).
    """
    command.add_argument(
        "--data", metavar="DIR", help="the collector's data directory (./heliograph-data)"
    )
    command.add_argument("--config", metavar="FILE", help="configuration file, YAML")
    command.set_defaults(opens_data=True, acts_on_collector=acts_on_collector)


def load_cli_config(args: argparse.Namespace, **overrides: object) -> "Config":
    """Load the configuration file and apply command-line options. Raises CommandError."""
    from heliograph.yaml_document import YamlError
    from heliograph_collector.config.settings import load_config

    if args.data:
        overrides["data"] = Path(args.data).expanduser()
    file = Path(args.config).expanduser() if args.config else None
    try:
        return load_config(
            file, {key: value for key, value in overrides.items() if value is not None}
        )
    except YamlError as error:
        raise CommandError(str(error)) from error


def is_confirmed(question: str) -> bool:
    """Ask on the terminal; no answer at all (Ctrl-D) is a no."""
    try:
        return input(f"{question} Type yes: ").strip() == "yes"
    except EOFError:
        print()
        return False


def print_qr_code(line: str) -> None:
    """Print a QR code on stderr, if that is a terminal."""
    if sys.stderr.isatty():
        import segno

        segno.make(line, error="l").terminal(out=sys.stderr, compact=True)


def print_progress(state: str) -> None:
    """Overwrite the progress line on stderr, if that is a terminal."""
    if sys.stderr.isatty():
        print(f"\r{state}", end="", file=sys.stderr, flush=True)


def check_directory(data: Path) -> None:
    """Refuse a directory of no collector, and make nothing there. Raises CommandError.

    Its agents would never come, and its lists are empty. An empty one may become a collector's.
    """
    try:
        is_empty = data.is_dir() and not any(data.iterdir())
        is_collector = is_empty or (data / "keys").is_dir() or (data / "fleet.db").exists()
    except OSError:  # opening the keys gives the reason
        return
    if not is_collector:
        raise CommandError(
            f"no collector has its data in {data}: name its directory by --data, or start "
            f"`heliograph-collector serve --data {data}` first."
        )


def check_store_exists(config: "Config") -> None:
    """Check that an embedded store is there. Raises CommandError."""
    if config.store.startswith("chdb:") and not (config.data / "store").exists():
        raise CommandError(f"{config.data} holds no collector: name its --data directory.")


def parse_endpoint(address: str) -> str:
    """Parse HOST:PORT for argparse."""
    from heliograph.address import split_endpoint

    try:
        split_endpoint(address)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return address


def make_integer_parser(maximum: int) -> Callable[[str], int]:
    """Make a parser for argparse of the whole numbers from 1 to a maximum."""

    def parse(argument: str) -> int:
        if not (argument.isascii() and argument.isdigit() and 1 <= int(argument[:20]) <= maximum):
            raise argparse.ArgumentTypeError(
                f"{argument!r} must be a whole number from 1 to {maximum}"
            )
        return int(argument)

    return parse


def find_public_endpoint(config: "Config", requested: str | None) -> str:
    """Find the endpoint by option, settings or running `serve`. Raises CommandError."""
    from heliograph.address import WILDCARD_HOSTS, split_endpoint
    from heliograph_collector.config.endpoint_file import read_endpoint

    address = requested or config.endpoint or read_endpoint(config.data, "grpc") or config.grpc
    host, port = split_endpoint(address)
    if host in WILDCARD_HOSTS or port == 0:
        raise CommandError(
            f"agents cannot dial {address}: say --endpoint HOST:PORT, or set the key endpoint."
        )
    return str(address)


def parse_day(argument: str) -> int:
    """Parse a day for argparse and return its UTC midnight in µs."""
    try:
        midnight = datetime.strptime(argument, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{argument!r} is no day; allowed: a day such as 2022-01-05"
        ) from None
    return round(midnight.timestamp()) * 1_000_000


def parse_last_day(argument: str) -> int:
    """Parse the last day of a window for argparse and return the µs at which it ends."""
    return parse_day(argument) + DAY_US


def parse_country(argument: str) -> str:
    """Parse a country's code for argparse; of an unknown one nothing would be found."""
    from heliograph_collector.app.commands import find_country

    code = find_country(argument)
    if not code:
        raise argparse.ArgumentTypeError(
            f"{argument[:64]!r} is no country; allowed: a code of ISO 3166-1, such as KZ"
        )
    return code


def sanitize_text(content: str) -> str:
    """Replace characters that could control the terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in content)


def _check_libraries(command: str) -> None:
    if any(find_spec(name) is None for name in REQUIRED_LIBRARIES):
        extra_name = (
            "lab"
            if MODULE_BY_COMMAND.get(command, "").startswith("heliograph_lab")
            else "collector"
        )
        raise CommandError(
            "this installation has only the agent's libraries: run "
            f"pip install '.[{extra_name}]' in a checkout of Heliograph."
        )


class _PrintVersion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        from heliograph import __version__

        with suppress(BrokenPipeError):
            print(f"heliograph-collector {__version__}")
        parser.exit()
