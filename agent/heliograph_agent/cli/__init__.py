"""The command line: one module for each command, imported on demand.

Exit codes: 0 done, 1 failed, 2 wrong usage. An error is one sentence on stderr, with its fix.

Example:
    exit_code = main(["status", "--json"])
"""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph.directory_owner import act_as_owner
from heliograph.standard_output import STDOUT, discard_output, name_output
from heliograph.translation import (
    begin_line,
    choose_language,
    find_languages,
    mark,
    use_language,
)
from heliograph.translation import translate as _
from heliograph_agent.state import CONFIG, DEFAULT, State, StateError

if TYPE_CHECKING:
    from heliograph.plan import Plan
    from heliograph_agent.config import Config

    # argparse gives no public name to what add_subparsers() returns.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 no public name

LOCALE = Path(__file__).parents[1] / "locale"  # one catalogue for each language
MODULES = (
    "join",
    "run",
    "probe",
    "plan",
    "status",
    "results",
    "page",
    "pause",
    "export",
    "code",
    "relay",
    "leave",
    "service",
    "experiments",
)
EXAMPLE = mark("Example:")
HELP = mark("show this help message and exit")  # argparse's
MODULE_OF = {"resume": "pause"}  # commands in the module of another command
ROOTS_OWN = frozenset({"service"})  # what root does as root, in the system's folders


class AgentCommandError(Exception):
    """Report that a command failed; str() is a sentence for the user."""


def main(argv: Sequence[str], *, is_program: bool = False) -> int:
    """Run one command; return its exit code, raise SystemExit(2) on wrong usage.

    Started by root, it continues as the owner of the state directory.
    """
    if is_program:
        name_output()
    os.umask(0o077)  # all files of an agent are private, whatever the directory's mode
    use_language(choose_language(os.environ, find_languages(LOCALE)), LOCALE)
    module_name = MODULE_OF.get(argv[0], argv[0]) if argv else ""
    args = make_parser((module_name,) if module_name in MODULES else MODULES).parse_args(argv)
    module = import_module(f"heliograph_agent.cli.{MODULE_OF.get(args.command, args.command)}")
    from heliograph_agent.config import AgentConfigError

    try:
        if is_program and module_name not in ROOTS_OWN:
            act_as_owner(get_state(args).root)
        code: int = module.run(args)
        sys.stdout.flush()
    except (AgentCommandError, StateError, AgentConfigError) as error:
        print_note(str(error))
        return 1
    except BrokenPipeError:  # `heliograph-agent plan | head`
        discard_output()
        return 1
    except OSError as error:  # that no command expected
        if error.filename == STDOUT:
            discard_output()
        path = error.filename or get_state(args).root
        sentence = _("{place} cannot be used ({reason}): make room, or let this user write.")
        print_note(sentence.format(place=path, reason=error.strerror))
        return 1
    except KeyboardInterrupt:
        print_note(_("stopped."))
        return 1
    return code


def make_parser(modules: Sequence[str] = MODULES) -> argparse.ArgumentParser:
    """Make the parser of all commands, or of the one in use, for a faster start."""
    top = argparse.ArgumentParser(
        prog="heliograph-agent",
        description="Measures what this machine's network can reach, stores it, and sends it.",
        epilog="Example: heliograph-agent join heliograph1:…",
        allow_abbrev=False,
    )
    top.add_argument("--version", action=_VersionAction, nargs=0, help="print the version and exit")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in modules:
        import_module(f"heliograph_agent.cli.{name}").add_parser(commands)
    for command in commands.choices.values():
        _add_common_options(command)
    for entry in commands._choices_actions:  # noqa: SLF001 argparse has no public name for it
        entry.help = _(entry.help or "")
    for parser in (top, *commands.choices.values()):
        _translate_parser(parser)
    return top


def _translate_parser(parser: argparse.ArgumentParser) -> None:
    """Translate the text of `--help`; argparse's own headings stay English."""
    parser.description = _(parser.description or "")
    parser.epilog = (parser.epilog or "").replace(EXAMPLE, _(EXAMPLE))
    for action in parser._actions:  # noqa: SLF001 argparse has no public name for it
        action.help = _(action.help) if action.help else action.help


def print_note(sentence: str) -> None:
    """Print a sentence that is no result."""
    print(begin_note(sentence) + sentence, file=sys.stderr, flush=True)


def begin_note(sentence: str) -> str:
    """Return what stands before a sentence; an English one runs from left to right."""
    return f"{'' if sentence.isascii() else begin_line()}heliograph-agent: "


def read_file(file: Path, most_bytes: int) -> bytes:
    """Read at most so many bytes of a file that the user names. Raises AgentCommandError."""
    try:
        with file.open("rb") as stream:
            return stream.read(most_bytes)
    except OSError as error:
        raise AgentCommandError(
            _("Cannot read {file} ({reason}): name a file that this user may read.").format(
                file=file, reason=error.strerror
            )
        ) from error


def write_file(file: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file durably, readable only by its owner. Raises AgentCommandError."""
    from heliograph.durable_file import replace_file

    try:
        replace_file(file, content)
    except OSError as error:
        raise AgentCommandError(
            _("Cannot write {file} ({reason}): make room, or name another place.").format(
                file=file, reason=error.strerror
            )
        ) from error


def get_state(args: argparse.Namespace) -> State:
    """Return the directory that --state names."""
    return State(Path(args.state).expanduser())


def get_config_path(args: argparse.Namespace) -> Path:
    """Return the file that --config names."""
    return Path(args.config).expanduser() if args.config else get_state(args).path(CONFIG)


def read_config(args: argparse.Namespace) -> "Config":
    """Read the file that --config names. Raises AgentConfigError."""
    from heliograph_agent.config import load_config

    return load_config(get_config_path(args))


def read_role_plan(state: State) -> "Plan":
    """Read the plan for this agent's role. Raises StateError."""
    from heliograph.plan import ROLES
    from heliograph_agent.uplink.signed_documents import read_stored_plan

    collector = state.collector()
    return read_stored_plan(state).for_role(collector.role if collector else ROLES[0])


def warn_of_unmatched_opt_outs(plan: "Plan", config: "Config") -> None:
    """Print a note about names in opt_out.tests that match nothing, as if misspelled."""
    from heliograph_agent import consent as c

    if config.services_file:  # which may have services of these names
        return
    if names := c.find_unmatched_names(plan, config.without):
        print_note(
            _(
                "opt_out.tests leaves out nothing by {names}: no category, experiment or service "
                "of the plan is called so. `heliograph-agent plan --json` has all names."
            ).format(names=c.make_printable(_(", ").join(names)))
        )


def _add_common_options(command: argparse.ArgumentParser) -> None:
    with suppress(argparse.ArgumentError):  # the command defines the option itself
        command.add_argument(
            "--state",
            default=DEFAULT,
            metavar="DIR",
            help=_("where the agent keeps its files ({folder})").format(folder=DEFAULT),
        )
    with suppress(argparse.ArgumentError):
        command.add_argument(
            "--config",
            default="",
            metavar="FILE",
            help=_("configuration (DIR/{name})").format(name=CONFIG),
        )


class _VersionAction(argparse.Action):
    def __call__(self, *_arguments: object) -> None:
        from heliograph import __version__

        print(__version__)
        raise SystemExit(0)
