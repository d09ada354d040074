"""`plan`: show the tasks of this agent, and those that a newer plan would add."""

import argparse
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from heliograph.clock import SystemClock
from heliograph.translation import format_decimal, keep_order
from heliograph.translation import translate as _
from heliograph_agent import cli
from heliograph_agent.state import CONSENT, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from heliograph.plan import Plan, PlannedTask, Service
    from heliograph_agent.config import Config
    from heliograph_agent.consent import Consent

CURRENT = -1  # whatever its version


def add_parser(commands: "cli.Subparsers") -> None:
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
        const=CURRENT,
        help="agree to everything in the plan of that version, or in the present one",
    )


def run(args: argparse.Namespace) -> int:
    from heliograph.traffic_estimate import list_costs
    from heliograph_agent import consent as c

    state = cli.get_state(args)
    plan = cli.read_role_plan(state)
    consent = c.read_consent(state.read_json(CONSENT))
    if args.agree is not None:
        if args.agree not in (CURRENT, plan.version):
            sentence = _(
                "Nothing was agreed to: plan {now} has come since plan {then}; "
                "look at it with `heliograph-agent plan`."
            )
            raise cli.AgentCommandError(sentence.format(now=plan.version, then=args.agree))
        consent = _store_consent(state, plan, consent)
    config = cli.read_config(args)
    allowed_plan = _limit_bytes(c.exclude_tests(plan, config.without), config, consent)
    if consent is None:
        missing_units = sorted(c.consent_scope(allowed_plan))
    else:
        missing_units = [*c.narrow_plan(allowed_plan, consent)[1]]
    if args.json:
        excluded = c.list_excluded(plan, config.without)
        extra = {
            "hello_profiles": plan.hello_profiles.decode(errors="replace"),
            "not_agreed": missing_units,
            "opted_out": sorted({_describe_task(task, {}) for task in excluded}),
            "bytes_a_day": c.estimate_daily_bytes(allowed_plan),
            "bytes_a_day_by_experiment": list_costs(allowed_plan),
        }
        # In ASCII: no byte moves a terminal's cursor.
        print(json.dumps(asdict(plan) | extra, default=bytes.hex))
    else:
        _print_plan(plan, allowed_plan, missing_units, config)
        if consent is not None and c.is_risk_new(consent):
            print(c.describe_risk(consent.country))
    return 0


def _store_consent(state: State, plan: "Plan", previous: "Consent | None") -> "Consent":
    from heliograph_agent import consent as c
    from heliograph_agent.uplink.signed_documents import PlanAge, classify_age

    if previous is None:
        raise cli.AgentCommandError(
            _("Nothing was agreed to yet: run `heliograph-agent join INVITE` again.")
        )
    now_us = SystemClock().wall_us()
    if classify_age(plan, now_us // 1_000_000) is not PlanAge.FRESH:
        raise cli.AgentCommandError(
            _(
                "This plan has expired: it runs unchanged, and nothing is added to it. Agree when "
                "the collector was reached and has renewed it."
            )
        )
    consent = replace(
        previous,
        given_us=now_us,
        plan_version=plan.version,
        scope=previous.scope | c.consent_scope(plan),
        bytes_per_month=max(previous.bytes_per_month, plan.limits.bytes_per_month),
        tier=c.find_tier(previous.country),
    )
    state.write_json(CONSENT, consent.to_json())
    return consent


def _limit_bytes(plan: "Plan", config: "Config", consent: "Consent | None") -> "Plan":
    from heliograph_agent.runtime.settings import limit_bytes
    from heliograph_agent.runtime.vantage import declare_vantage

    return limit_bytes(plan, config, declare_vantage(config, consent).access)


def _print_plan(
    plan: "Plan", allowed_plan: "Plan", missing_units: "Sequence[str]", config: "Config"
) -> None:
    from heliograph.traffic_estimate import describe_rarity
    from heliograph_agent import consent as c

    header = _("Plan {version}, services of {services}")
    sentence = header.format(version=plan.version, services=plan.services_version)
    print(c.make_printable(sentence))
    _print_tasks(allowed_plan, {service.name: service for service in plan.services})
    print(_("Some {cost}.").format(cost=c.describe_cost(allowed_plan)))
    if rarity := describe_rarity(allowed_plan):
        print(rarity)
    _print_excluded(plan, config)
    cli.warn_of_unmatched_opt_outs(plan, config)
    if missing_units:
        sentence = _("Not run, because you did not agree to it: {units}")
        units = sorted(missing_units, key=_is_host)  # a messenger has dozens of hosts
        print(c.make_printable(sentence.format(units=_(", ").join(units))))
        command = f"heliograph-agent plan --agree {plan.version}"
        print(_("To agree: {command}").format(command=command))
    _print_age(plan)


def _is_host(unit: str) -> bool:
    """Return whether a unit of consent is a host, and no test with its target."""
    return " " not in unit


def _print_tasks(plan: "Plan", services: "Mapping[str, Service]") -> None:
    """Print each task with its interval and bytes, then the sum."""
    from heliograph.traffic_estimate import estimate_task_bytes, format_traffic
    from heliograph_agent import consent as c

    for task in plan.tasks:
        cost = estimate_task_bytes(task, services.get(task.service)) / 1e6
        interval = _("every {n} s").format(n=f"{task.interval_s:>6}")
        daily = _("{n} MB a day").format(n=format_decimal(cost))
        subject = c.make_printable(_describe_task(task, services))
        print(f"  {interval}  {task.experiment:<14} {subject}{_(', ')}{daily}")
    sentence = _("All of it would move {total} MB a day of {limit} ({parts}).")
    print(c.make_printable(sentence.format(**format_traffic(plan))))


def _print_excluded(plan: "Plan", config: "Config") -> None:
    """Print what the volunteer opted out of."""
    from heliograph_agent import consent as c

    services = {service.name: service for service in plan.services}
    if unwanted := c.list_excluded(plan, config.without):
        names = _(", ").join(_describe_task(task, services) for task in unwanted)
        print(c.make_printable(_("Never run, by your opt_out: {names}").format(names=names)))
    if config.quiet_hours:
        hours = _(", ").join(f"{hour}:00" for hour in sorted(config.quiet_hours))
        sentence = _("Nothing is run in the hours from {hours}, by your opt_out.")
        print(sentence.format(hours=hours))


def _print_age(plan: "Plan") -> None:
    from heliograph_agent.uplink.signed_documents import (
        STALE_S,
        PlanAge,
        classify_age,
        format_expiry,
    )

    age = classify_age(plan, SystemClock().wall_us() // 1_000_000)
    day = keep_order(format_expiry(plan.expires_s))
    if age is PlanAge.STALE:
        sentence = _("It expired on {day} and runs unchanged until {end}.")
        end = keep_order(format_expiry(plan.expires_s + STALE_S))
        print(sentence.format(day=day, end=end))
    elif age is not PlanAge.FRESH:
        sentence = _("It expired on {day}, too long ago: nothing is run by it.")
        print(sentence.format(day=day))


def _describe_task(task: "PlannedTask", services: "Mapping[str, Service]") -> str:
    service = services.get(task.service)
    if service is not None:
        sentence = _("{service} at {target}").format(service=service.title, target=task.target)
        return sentence if task.target else service.title
    return task.target or task.service or _("this machine's own connection")
