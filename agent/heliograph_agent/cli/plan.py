"""`plan`: what this agent runs, and what a newer plan would add."""

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from heliograph_agent import cli
from heliograph_agent.state import CONSENT, PLAN, State, not_joined

if TYPE_CHECKING:
    from heliograph.plan import Plan
    from heliograph_agent.consent import Consent


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    p = commands.add_parser(
        "plan",
        help="show what this agent runs",
        description="Show the plan that the collector signed, and which part of it you agreed to.",
        epilog="Example: heliograph-agent plan --json",
    )
    p.add_argument("--json", action="store_true", help="the whole plan as one JSON object")
    p.add_argument("--agree", action="store_true", help="agree to everything in the present plan")


def run(args: argparse.Namespace) -> int:
    from heliograph_agent import consent as c

    state = cli.state_of(args)
    plan = stored_plan(state)
    consent = c.read_consent(state.read_json(CONSENT))
    if args.agree:
        consent = _agree(state, plan, consent)
    waiting = c.narrow(plan, consent)[1] if consent else tuple(sorted(c.scope_of(plan)))
    if args.json:
        print(json.dumps({**asdict(plan), "not_agreed": waiting}, ensure_ascii=False))
        return 0
    _show(plan, waiting)
    return 0


def stored_plan(state: State) -> "Plan":
    """What the collector asks of an agent of this role. Raises StateError or CommandError."""
    from heliograph.plan import ROLES
    from heliograph_agent.uplink.signed import PlanError, read_plan

    stored = state.read(PLAN)
    if stored is None:
        raise not_joined(state)
    try:
        collector = state.collector()
        return read_plan(stored).of_role(collector.role if collector else ROLES[0])
    except PlanError as error:
        raise cli.CommandError(
            f"{state.path(PLAN)} is damaged ({error}): run `heliograph-agent leave`, then join "
            "again."
        ) from error


def _agree(state: State, plan: "Plan", before: "Consent | None") -> "Consent":
    from dataclasses import replace

    from heliograph.clock import SystemClock
    from heliograph_agent import consent as c

    if before is None:
        raise cli.CommandError(
            "Nothing was agreed to yet: run `heliograph-agent join INVITE` again."
        )
    agreed = replace(
        before,
        given_us=SystemClock().wall_us(),
        plan_version=plan.version,
        scope=before.scope | c.scope_of(plan),
    )
    state.write_json(CONSENT, agreed.to_json())
    return agreed


def _show(plan: "Plan", waiting: tuple[str, ...]) -> None:
    services = {service.name: service for service in plan.services}
    print(f"Plan {plan.version}, services of {plan.services_version}")
    for task in plan.tasks:
        service = services.get(task.service)
        about = service.title if service else task.target or "this machine's own connection"
        print(f"  every {task.interval_s:>6} s  {task.experiment:<14} {about}")
    print(f"At most {plan.limits.bytes_per_month / 1e6:.0f} MB a month.")
    if waiting:
        print("Not run, because you did not agree to it: " + ", ".join(waiting))
        print("To agree: heliograph-agent plan --agree")
