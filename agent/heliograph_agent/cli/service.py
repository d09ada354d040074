"""`service`: let this system start the agent by itself."""

import argparse
import sys
from pathlib import Path

from heliograph.translation import translate as _
from heliograph_agent import cli


def add_parser(commands: "cli.Subparsers") -> None:
    p = commands.add_parser(
        "service",
        help="let this system start the agent by itself: systemd, launchd or Task Scheduler",
        description="Install the agent as a service of this user, or as root one of the system "
        "that runs as the owner of the state directory; remove it; or tell whether it runs. Who "
        "looks at this machine's services finds it.",
        epilog="Example: heliograph-agent service install",
    )
    p.add_argument("action", choices=("install", "uninstall", "status"), help="what to do")


def run(args: argparse.Namespace) -> int:
    from heliograph_agent.runtime.service import ServiceError, find_service, make_command

    state = cli.get_state(args)
    try:
        service = find_service(state)
        if args.action == "install":
            state.joined_collector()  # a service that can only fail helps nobody
            place = service.install(make_command(state, Path(sys.argv[0])))
            print(_("Installed and started: {place}").format(place=place))
            return 0
        if args.action == "uninstall":
            print(_("Removed.") if service.uninstall() else _("There is no such service."))
            return 0
        if not service.is_installed():
            print(_("not installed: run `heliograph-agent service install`"))
            return 1
        is_running = service.is_running()
    except ServiceError as error:
        raise cli.AgentCommandError(str(error)) from error
    print(_("installed, running") if is_running else _("installed, not running"))
    return 0 if is_running else 1
