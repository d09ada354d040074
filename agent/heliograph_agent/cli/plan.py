"""`plan`: what this agent runs, and what a newer plan would add."""

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from heliograph_agent import cli
from heliograph_agent.state import CONSENT, PLAN, State, not_joined

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heliograph.plan import Plan, PlannedTask, Service
    from heliograph_agent.config import Config
    from heliograph_agent.consent.consent import Consent

PRESENT = -1  # whatever it is


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    p = commands.add_parser(
        "plan",
        help="show what this agent runs",
        description="Show the plan that the collector signed, and which part of it you agreed to.",
        epilog="Example: heliograph-agent plan --json",
    )
    p.add_argument("--json", action="store_true", help="the whole plan as one JSON object")
    p.add_argument(
        "--agree",
        metavar="VERSION",
        type=int,
        nargs="?",
        const=PRESENT,
        help="agree to everything in the plan of that version, or in the present one",
    )


def run(args: argparse.Namespace) -> int:
    from heliograph_agent.config import load
    from heliograph_agent.consent import consent as c
    from heliograph_agent.consent import cost
    from heliograph_agent.consent.opt_out import left_out, without

    state = cli.state_of(args)
    plan = stored_plan(state)
    consent = c.read_consent(state.read_json(CONSENT))
    if args.agree is not None:
        if args.agree not in (PRESENT, plan.version):
            raise cli.CommandError(
                f"Nothing was agreed to: plan {plan.version} has come since plan {args.agree}; "
                "look at it with `heliograph-agent plan`."
            )
        consent = _agree(state, plan, consent)
    config = load(cli.config_of(args))
    wanted = without(plan, config.without)
    waiting = c.narrow(wanted, consent)[1] if consent else tuple(sorted(c.scope_of(wanted)))
    if args.json:
        more = {
            "not_agreed": waiting,
            "opted_out": sorted({_about(t, {}) for t in left_out(plan, config.without)}),
            "bytes_a_day": cost.of_plan(wanted),
        }
        print(json.dumps(asdict(plan) | more, ensure_ascii=False))
        return 0
    _show(plan, waiting, config)
    return 0


def stored_plan(state: State) -> "Plan":
    """What the collector asks of an agent of this role. Raises StateError or CommandError."""
    from heliograph.plan import ROLES
    from heliograph_agent.uplink.signed_documents import PlanError, read_plan

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
    from heliograph_agent.consent import consent as c
    from heliograph_agent.uplink.signed_documents import Age, age_of

    if before is None:
        raise cli.CommandError(
            "Nothing was agreed to yet: run `heliograph-agent join INVITE` again."
        )
    now_us = SystemClock().wall_us()
    if age_of(plan, now_us // 1_000_000) is not Age.FRESH:
        raise cli.CommandError(
            "This plan has expired: it goes on as it is, and nothing is added to it. Agree when "
            "the collector was reached and has renewed it."
        )
    agreed = replace(
        before,
        given_us=now_us,
        plan_version=plan.version,
        scope=before.scope | c.scope_of(plan),
        bytes_per_month=max(before.bytes_per_month, plan.limits.bytes_per_month),
    )
    state.write_json(CONSENT, agreed.to_json())
    return agreed


def _show(plan: "Plan", waiting: tuple[str, ...], config: "Config") -> None:
    from heliograph.clock import SystemClock
    from heliograph_agent.consent import cost
    from heliograph_agent.consent.consent import plain
    from heliograph_agent.consent.opt_out import left_out, without
    from heliograph_agent.uplink.signed_documents import STALE_S, Age, age_of

    services = {service.name: service for service in plan.services}
    wanted = without(plan, config.without)
    print(plain(f"Plan {plan.version}, services of {plan.services_version}"))
    for task in wanted.tasks:
        daily = cost.of_task(task, services.get(task.service)) / 1e6
        what = f"{task.experiment:<14} {_about(task, services)}, {daily:.1f} MB a day"
        print(plain(f"  every {task.interval_s:>6} s  {what}"))
    print(
        f"Some {cost.of_plan(wanted) / 1e6:.1f} MB a day, at most "
        f"{plan.limits.bytes_per_month / 1e6:.0f} MB a month."
    )
    unwanted = left_out(plan, config.without)
    if unwanted:
        named = ", ".join(_about(task, services) for task in unwanted)
        print(plain(f"Never run, by your opt_out: {named}"))
    if config.quiet_hours:
        hours = ", ".join(f"{hour}:00" for hour in sorted(config.quiet_hours))
        print(f"Nothing is run in the hours from {hours}, by your opt_out.")
    if waiting:
        print(plain("Not run, because you did not agree to it: " + ", ".join(waiting)))
        print(f"To agree: heliograph-agent plan --agree {plan.version}")
    age = age_of(plan, SystemClock().wall_us() // 1_000_000)
    if age is not Age.FRESH:
        print(
            f"It expired on {_day(plan.expires_s)} and goes on as it is until "
            f"{_day(plan.expires_s + STALE_S)}."
            if age is Age.STALE
            else f"It expired on {_day(plan.expires_s)}, too long ago: nothing is run by it."
        )


def _about(task: "PlannedTask", services: "Mapping[str, Service]") -> str:
    service = services.get(task.service)
    if service is not None:
        return f"{service.title} at {task.target}" if task.target else service.title
    return task.target or task.service or "this machine's own connection"


def _day(at_s: int) -> str:
    return f"{datetime.fromtimestamp(min(at_s, 2**37), UTC):%Y-%m-%d}"
