"""Command `heliograph-collector plan`: show or set the plan as YAML."""

import argparse
import json
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from heliograph.clock import SystemClock
from heliograph.codec import plan_to_pb
from heliograph.plan import Plan
from heliograph.services import Services, load_services, load_shipped_services
from heliograph.traffic_estimate import describe_traffic, estimate_plan_bytes
from heliograph.yaml_document import YamlError, read_yaml
from heliograph_collector.cli import CommandError, add_command, add_common_options, load_cli_config
from heliograph_collector.cli.audit_trail import record_audit
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet import Fleet, open_keyring
from heliograph_collector.fleet.plan_file import parse_plan, render_plan
from heliograph_collector.fleet.plans import build_default_plan, issue_plan, load_current_plan


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "plan",
        "show or set what agents run",
        "plan show > plan.yml",
        description="Shows the plan, or sets it: signed, its version raised, pushed at once.",
    )
    actions = command.add_subparsers(dest="action", metavar="show|set", required=True)
    showing = add_command(actions, "show", "print the plan", "plan show")
    showing.add_argument("--json", action="store_true", help="print it whole, as JSON")
    setting = add_command(actions, "set", "sign a new plan", "plan set plan.yml")
    setting.add_argument("file", metavar="FILE", help="YAML, as `plan show` prints it")
    for action in (showing, setting):
        add_common_options(action, acts_on_collector=action is showing)


def run(args: argparse.Namespace) -> int:
    config = load_cli_config(args)
    try:
        with closing(Fleet(config.data)) as fleet:
            _run_action(args, config, fleet)
    except YamlError as error:
        raise CommandError(str(error)) from error
    return 0


def _run_action(args: argparse.Namespace, config: Config, fleet: Fleet) -> None:
    signing = open_keyring(config.data, []).signing
    now_s = SystemClock().wall_us() // 1_000_000
    current = load_current_plan(fleet)
    services = _load_services(config, None if current is None else current[0])
    if args.action == "show":
        plan = (
            current[0]
            if current
            else issue_plan(fleet, signing, build_default_plan(services), now_s)
        )
        _print_plan(plan, args.json)
    else:
        new_plan = parse_plan(read_yaml(Path(args.file)), services)
        if current is not None:  # from the collector's configuration, not from this file
            entrances = current[0].entrances
            zone = current[0].beacon_zone
            new_plan = replace(new_plan, entrances=entrances, beacon_zone=zone)
            new_plan = replace(new_plan, hello_profiles=current[0].hello_profiles)
        version = current[0].version if current else 0
        record_audit(config, "plan.send", f"after version {version}")
        plan = issue_plan(fleet, signing, new_plan, now_s)
        print(f"Plan {plan.version} is set: {len(plan.tasks)} tasks.")
        _warn_of_cost(plan.for_role("volunteer"))


def _warn_of_cost(plan: Plan) -> None:
    """Say on stderr when a plan would move more than its limit."""
    if estimate_plan_bytes(plan) > plan.limits.bytes_per_month // 30:
        text = "so tests come later than planned: raise limits.bytes_per_month or the intervals."
        print(f"A volunteer would move {describe_traffic(plan)}, {text}", file=sys.stderr)


def _load_services(config: Config, plan: Plan | None) -> Services:
    """Load the configured services, else those of the plan. Raises CommandError."""
    try:
        if config.services_file is not None:
            return load_services(config.services_file)
        if plan is not None:
            return Services(version=plan.services_version, services=plan.services)
        return load_shipped_services()
    except YamlError as error:
        raise CommandError(str(error)) from error


def _print_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        document = MessageToDict(plan_to_pb(plan), preserving_proto_field_name=True)
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print(render_plan(plan), end="")
