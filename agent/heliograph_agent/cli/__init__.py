"""The command line: one small module per command, loaded when it is needed.

Exit codes: 0 done, 1 failed, 2 wrong usage. An error is one sentence on stderr, with its cure.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from heliograph_agent.state import CONFIG, DEFAULT, State, StateError

MODULES = (
    "join",
    "run",
    "probe",
    "plan",
    "status",
    "pause",
    "export",
    "code",
    "relay",
    "leave",
    "experiments",
)
MODULE_OF = {"resume": "pause"}  # commands that stand in another's module


class CommandError(Exception):
    """A command could not do its work; str() is the sentence for the user."""


def main(argv: Sequence[str]) -> int:
    """Run one command; returns its exit code, raises SystemExit(2) on wrong usage."""
    os.umask(0o077)  # nothing that an agent makes is for others, whoever made the directory
    named = MODULE_OF.get(argv[0], argv[0]) if argv else ""
    args = parser((named,) if named in MODULES else MODULES).parse_args(argv)
    module = import_module(f"heliograph_agent.cli.{MODULE_OF.get(args.command, args.command)}")
    from heliograph_agent.config import ConfigError

    try:
        code: int = module.run(args)
        sys.stdout.flush()
    except (CommandError, StateError, ConfigError) as error:
        print(f"heliograph-agent: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("heliograph-agent: stopped.", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `heliograph-agent plan | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def parser(modules: Sequence[str] = MODULES) -> argparse.ArgumentParser:
    """Of all commands, or of the one that is meant, so that it starts faster."""
    top = argparse.ArgumentParser(
        prog="heliograph-agent",
        description="Measures what this machine's network can reach, stores it, and sends it.",
        epilog="Example: heliograph-agent join heliograph1:…",
        allow_abbrev=False,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in modules:
        import_module(f"heliograph_agent.cli.{name}").add_parser(commands)
    for command in commands.choices.values():
        _add_everywhere(command)
    return top


def state_of(args: argparse.Namespace) -> State:
    """The directory that --state names."""
    return State(Path(args.state).expanduser())


def config_of(args: argparse.Namespace) -> Path:
    """The file that --config names."""
    return Path(args.config).expanduser() if args.config else state_of(args).path(CONFIG)


def _add_everywhere(command: argparse.ArgumentParser) -> None:
    with suppress(argparse.ArgumentError):  # the command has its own
        command.add_argument(
            "--state",
            default=DEFAULT,
            metavar="DIR",
            help=f"where the agent keeps its files ({DEFAULT})",
        )
    with suppress(argparse.ArgumentError):
        command.add_argument(
            "--config", default="", metavar="FILE", help=f"configuration (DIR/{CONFIG})"
        )


class _Version(argparse.Action):
    def __call__(self, *_: object) -> None:
        from heliograph import __version__

        print(__version__)
        raise SystemExit(0)
