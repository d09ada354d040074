"""Command `heliograph-collector incidents`: read incidents, and say something of one."""

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import (
    CommandError,
    add_command,
    add_common_options,
    is_confirmed,
    load_cli_config,
    parse_country,
    sanitize_text,
)
from heliograph_collector.cli.audit_trail import ACTOR

if TYPE_CHECKING:
    from heliograph_collector.config.settings import Config
    from heliograph_collector.incidents.published.incident import IncidentDocument

# Action: (the act, what it does, example without the id)
ACTIONS = {
    "confirm": ("confirmed", "confirm one as the operator", ""),
    "withdraw": ("withdrawn", "take one back; readers see the reason", ' --note "A test of ours."'),
    "annotate": ("annotated", "add a public note to one", ' --note "Power is out in Almaty."'),
    "acknowledge": ("acknowledged", "say that an operator has seen one", ""),
}
_MIN_ID = 4  # characters, as of an agent's id


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "incidents",
        "list incidents; confirm, withdraw or annotate one",
        "incidents list",
        description="Lists incidents, shows one, or adds an operator's entry to the signed log by "
        "the collector that runs on the data directory.",
    )
    actions = command.add_subparsers(
        dest="action", metavar="|".join(["list", "show", *ACTIONS]), required=True
    )
    listing = add_command(actions, "list", "print the open incidents", "incidents list --all")
    listing.add_argument("--all", action="store_true", help="also those that are over")
    listing.add_argument("--country", type=parse_country, metavar="CC", help="of one country alone")
    showing = add_command(actions, "show", "print one with its entries", "incidents show 3f9a")
    for action in (listing, showing):
        action.add_argument("--json", action="store_true", help="print JSON, as the API does")
    entries = [_add_entry_parser(actions, name) for name in ACTIONS]
    for action in (showing, *entries):
        action.add_argument("id", metavar="ID", help="its id, or the first characters")
    for action in (listing, showing, *entries):
        add_common_options(action, acts_on_collector=True)


def _add_entry_parser(
    actions: "argparse._SubParsersAction[Any]", name: str
) -> argparse.ArgumentParser:
    _, summary, example = ACTIONS[name]
    action = add_command(
        actions,
        name,
        summary,
        f"incidents {name} 3f9a{example}",
        description=f"{summary[0].upper()}{summary[1:]}. Shows what readers would see, and asks; "
        "what is published is signed, and stays in the log for ever.",
    )
    action.add_argument("--note", default="", metavar="TEXT", help="public; it says why")
    action.add_argument(
        "--by", default="", metavar="NAME", help="who does it, for the audit trail (your login)"
    )
    action.add_argument("--named", action="store_true", help="publish the name with the entry")
    action.add_argument("--yes", action="store_true", help="publish without asking")
    return action


def run(args: argparse.Namespace) -> int:
    from heliograph.yaml_document import YamlError

    config = load_cli_config(args)
    try:
        if args.action in ACTIONS:
            return _add_entry(args, config)
        if args.action == "show":
            return _show_incident(_find_incident(config, args.id), as_json=args.json)
        return _list_incidents(args, config)
    except YamlError as error:  # in the list of services
        raise CommandError(str(error)) from error


def _load_incidents(config: "Config", *, only_open: bool = False) -> "list[IncidentDocument]":
    """Load the incidents that may be published, newest start first. Raises YamlError."""
    from heliograph.services import load_services
    from heliograph_collector.app.incident_commands import read_incidents

    titles = load_services(config.services_file).titles
    return read_incidents(config.data, titles, config.k_anonymity, only_open=only_open)


def _find_incident(config: "Config", prefix: str) -> "IncidentDocument":
    """Find the incident by the beginning of its id. Raises CommandError."""
    matches = [
        i for i in _load_incidents(config) if len(prefix) >= _MIN_ID and i.id.startswith(prefix)
    ]
    if len(matches) != 1:
        count = "no incident's id begins" if not matches else f"{len(matches)} incidents' ids begin"
        raise CommandError(f"{count} with {prefix[:64]!r}: give what `incidents list --all` shows.")
    return matches[0]


def _list_incidents(args: argparse.Namespace, config: "Config") -> int:
    incidents = [
        i
        for i in _load_incidents(config, only_open=not args.all)
        if args.country in (None, i.scope.country)
    ]
    if args.json:
        _print_json(incidents)
    elif incidents:
        for incident in incidents:
            line = f"{incident.id:<17} {incident.state:<10} {incident.sentence}"
            print(sanitize_text(line))
    else:
        print("No incident." if args.all else "No open incident; --all prints those that are over.")
    return 0


def _show_incident(incident: "IncidentDocument", *, as_json: bool) -> int:
    from heliograph_collector.app.incident_commands import describe_incident

    if as_json:
        _print_json(incident)
    else:
        print("\n".join(sanitize_text(line) for line in describe_incident(incident)))
    return 0


def _print_json(document: object) -> None:
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def _add_entry(args: argparse.Namespace, config: "Config") -> int:
    """Show what readers would see, ask, and publish. Raises CommandError."""
    from heliograph_collector.app.incident_commands import (
        build_request,
        describe_publication,
        publish,
        request_preview,
    )
    from heliograph_collector.config.errors import CannotServeError

    if args.named and not args.by:
        raise CommandError("--named publishes the name of --by: give that too.")
    login = args.by or os.environ.get("SUDO_USER") or os.environ.get("USER") or ""
    request = build_request(
        _find_incident(config, args.id),
        ACTIONS[args.action][0],
        note=args.note,
        name=args.by if args.named else "",
        actor=f"{ACTOR}: {login}" if login else ACTOR,
    )
    try:
        publication = request_preview(config.data, request)
        print("\n".join(sanitize_text(line) for line in describe_publication(publication)))
        if not args.yes:
            _ask()
        publish(config.data, request, publication)
    except CannotServeError as error:
        raise CommandError(str(error)) from error
    print("Published.")
    return 0


def _ask() -> None:
    """Ask whether to publish. Raises CommandError."""
    if not sys.stdin.isatty():
        raise CommandError("nothing was published: add --yes to publish this.")
    if not is_confirmed("Publish for ever?"):
        raise CommandError("nothing was published.")
