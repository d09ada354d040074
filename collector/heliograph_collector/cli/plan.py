"""`heliograph-collector plan`: what agents are asked to run, shown and set as YAML."""

import argparse
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from heliograph.clock import SystemClock
from heliograph.codec import plan_to_pb
from heliograph.plan import Plan
from heliograph.services import Services, ServicesError, load, shipped
from heliograph_collector.cli import CommandError, add_places, config_of
from heliograph_collector.config.settings import Config, ConfigError, read_yaml
from heliograph_collector.fleet import Fleet, open_keyring
from heliograph_collector.fleet.plan_file import draft, render
from heliograph_collector.fleet.plans import default_plan, issue, standing


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = commands.add_parser(
        "plan",
        help="show or set what agents run",
        description="Shows the plan, or sets it: signed, its version raised, pushed at once.",
        epilog="Example: heliograph-collector plan show > plan.yml",
        allow_abbrev=False,
    )
    actions = command.add_subparsers(dest="action", metavar="show|set", required=True)
    showing = actions.add_parser(
        "show",
        help="print the plan",
        epilog="Example: heliograph-collector plan show",
        allow_abbrev=False,
    )
    showing.add_argument("--json", action="store_true", help="print it whole, as JSON")
    setting = actions.add_parser(
        "set",
        help="sign a new plan",
        epilog="Example: heliograph-collector plan set plan.yml",
        allow_abbrev=False,
    )
    setting.add_argument("file", metavar="FILE", help="YAML, as `plan show` prints it")
    for action in (showing, setting):
        add_places(action)


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    try:
        with closing(Fleet(config.data)) as fleet:
            _act(args, config, fleet)
    except ConfigError as error:
        raise CommandError(str(error)) from error
    return 0


def _act(args: argparse.Namespace, config: Config, fleet: Fleet) -> None:
    signing, now_s = open_keyring(config.data, []).signing, SystemClock().wall_us() // 1_000_000
    found = standing(fleet)
    services = _services(config, None if found is None else found[0])
    if args.action == "show":
        plan = found[0] if found else issue(fleet, signing, default_plan(services), now_s)
        _show(plan, args.json)
    else:
        wanted = draft(read_yaml(Path(args.file)), services)
        if found is not None:  # they come from the collector's configuration, not from this file
            told, zone = found[0].entrances, found[0].beacon_zone
            wanted = replace(wanted, entrances=told, beacon_zone=zone)
        plan = issue(fleet, signing, wanted, now_s)
        print(f"Plan {plan.version} is set: {len(plan.tasks)} tasks.")


def _services(config: Config, plan: Plan | None) -> Services:
    """The configured edition, else that of the plan as it stands. Raises CommandError."""
    try:
        if config.services_file is not None:
            return load(config.services_file)
        if plan is not None:
            return Services(version=plan.services_version, services=plan.services)
        return shipped()
    except ServicesError as error:
        raise CommandError(f"{error}.") from error


def _show(plan: Plan, as_json: bool) -> None:
    if as_json:
        whole = MessageToDict(plan_to_pb(plan), preserving_proto_field_name=True)
        print(json.dumps(whole, indent=2, ensure_ascii=False))
    else:
        print(render(plan), end="")
