"""The command line: one small module per command, loaded when it is needed.

Exit codes: 0 done, 1 failed, 2 wrong usage. An error is one sentence on stderr, with its cure.
"""

import argparse
import os
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from heliograph_collector.fleet import KeysError

if TYPE_CHECKING:
    from heliograph_collector.config.settings import Config

MODULES = (
    "serve",
    "simulate",
    "invite",
    "operator",
    "enrol",
    "agents",
    "plan",
    "keys",
    "geo",
    "backup",
    "restore",
    "import",
    "export",
    "rejudge",
    "log",
    "alerts",
    "top",
    "evaluate",
)
# Commands that stand elsewhere: "import" is no name for a module, and the lab is never imported
# by the collector, only started by it.
MODULE_OF = {
    "import": "heliograph_collector.cli.import_",
    "simulate": "heliograph_lab.cli.simulate",
    "evaluate": "heliograph_lab.cli.evaluate",
}
EXTRA = (
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
    """A command could not do its work; str() is the sentence for the user."""


def main(argv: Sequence[str]) -> int:
    """Run one command; returns its exit code, raises SystemExit(2) on wrong usage."""
    args = parser().parse_args(argv)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its own log lines hold peers' addresses
    try:
        _need_extra(args.command)
        code: int = _module(args.command).run(args)
        sys.stdout.flush()
    except (CommandError, KeysError) as error:
        return _failed(str(error))
    except BrokenPipeError:  # `heliograph-collector agents list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _failed(f"{error.filename or 'a file'} cannot be used ({error.strerror}).")
    except sqlite3.Error as error:
        return _failed(f"fleet.db cannot be used ({error}): restore it from a backup.")
    except KeyboardInterrupt:
        return _failed("stopped.")
    return code


def _failed(sentence: str) -> int:
    print(f"heliograph-collector: {sentence}", file=sys.stderr)
    return 1


def parser() -> argparse.ArgumentParser:
    """Cheap: no command's libraries are loaded for it."""
    top = argparse.ArgumentParser(
        prog="heliograph-collector",
        description="Takes in what agents saw, judges it, publishes what is cut, where and when.",
        epilog="Example: heliograph-collector serve",
        allow_abbrev=False,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in MODULES:
        _module(name).add_parser(commands)
    return top


def _module(command: str) -> ModuleType:
    return import_module(MODULE_OF.get(command, f"heliograph_collector.cli.{command}"))


def add_places(command: argparse.ArgumentParser) -> None:
    """The options that every command has."""
    command.add_argument(
        "--data", metavar="DIR", help="where the collector keeps its files (./heliograph-data)"
    )
    command.add_argument("--config", metavar="FILE", help="configuration file, YAML")


def config_of(args: argparse.Namespace, **typed: object) -> "Config":
    """The configuration by file, then by what was typed. Raises CommandError."""
    from heliograph_collector.config.settings import ConfigError, load_config

    if args.data:
        typed["data"] = Path(args.data).expanduser()
    file = Path(args.config).expanduser() if args.config else None
    try:
        return load_config(file, {key: value for key, value in typed.items() if value is not None})
    except ConfigError as error:
        raise CommandError(str(error)) from error


def endpoint(text: str) -> str:
    """For argparse: HOST:PORT."""
    from heliograph_collector.config.settings import split_endpoint

    try:
        split_endpoint(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _need_extra(command: str) -> None:
    if any(find_spec(name) is None for name in EXTRA):
        extra = "lab" if MODULE_OF.get(command, "").startswith("heliograph_lab") else "collector"
        raise CommandError(
            f"this installation has only the agent's libraries: install heliograph[{extra}]."
        )


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        from heliograph import __version__

        with suppress(BrokenPipeError):
            print(f"heliograph-collector {__version__}")
        parser.exit()
