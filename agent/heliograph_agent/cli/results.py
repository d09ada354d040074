"""`results`: what the collector publishes about this agent's network, beside the own machine."""

import argparse
import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from heliograph.translation import mark
from heliograph.translation import translate as _
from heliograph_agent import cli
from heliograph_agent.consent import make_printable
from heliograph_agent.runtime.status_file import AgentStatus, read_status

if TYPE_CHECKING:
    from heliograph_agent.runtime.findings import NetworkFindings, ServiceFinding

STATES = {
    "blocked": mark("blocked here"),
    "partial": mark("partly blocked here"),
    "down": mark("out of order everywhere, which is no block"),
    "unknown": mark("in doubt"),
    "reachable": mark("works here"),
}
OWN = {"answers": mark("this machine: it answered"), "fails": mark("this machine: it failed")}
OLD_US = 3_600_000_000  # a service's answer; assumed, the slowest plan tests each hour


def add_parser(commands: "cli.Subparsers") -> None:
    p = commands.add_parser(
        "results",
        help="show what is blocked in your network, by your own and the others' tests",
        description="Show what the collector publishes about your network. It is in memory only, "
        "and is gone after a restart of this machine.",
        epilog="Example: heliograph-agent results --json",
    )
    p.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    state = cli.get_state(args)
    state.joined_collector()
    status = read_status(state)
    findings = status.get("findings")
    if args.json:
        print(json.dumps({"findings": findings, "own": status.get("lives") or {}}))
        return 0
    for line in format_results(status):
        print(line)
    return 0


def format_results(status: AgentStatus) -> Iterator[str]:
    """Yield the lines, services that do not work first."""
    findings = status.get("findings")
    if not findings or not findings["services"]:
        yield _(
            "The collector has told nothing yet. It does so within minutes of a session, where "
            "enough others measure."
        )
        return
    yield describe_place(findings)
    order = list(STATES)
    services = findings["services"]
    for name in sorted(services, key=lambda name: _rank(order, services[name]["state"])):
        finding = services[name]
        line = f"  {make_printable(finding['title']):<24} {describe_finding(finding)}"
        own = _describe_own(status, name)
        yield f"{line}; {own}" if own else line
    yield _("What you see here others see too; nothing of it is on this disk.")


def describe_place(findings: "NetworkFindings") -> str:
    place = f"AS{findings['asn']}, {findings['country']}"
    if not findings["asn"]:
        place = _("networks of {country} with few agents").format(country=findings["country"])
    return _("{place}, as of {time}:").format(
        place=make_printable(place), time=_format_minute(findings["at_us"])
    )


def describe_finding(finding: "ServiceFinding") -> str:
    state = finding["state"]
    text = _(STATES[state]) if state in STATES else make_printable(state)
    if finding["since_us"]:
        text = _("{state} since about {time}").format(
            state=text, time=_format_minute(finding["since_us"])
        )
    agents = _("{n} agents").format(n=make_printable(finding["vantages"]))
    return f"{text}; {agents}"


def summarize_findings(status: AgentStatus) -> str:
    """Return what `status` says: the services that are blocked here, "" without findings."""
    findings = status.get("findings")
    if not findings or not findings["services"]:
        return ""
    blocked = [
        make_printable(each["title"])
        for each in findings["services"].values()
        if each["state"] in ("blocked", "partial")
    ]
    if not blocked:
        if any(each["state"] != "reachable" for each in findings["services"].values()):
            return _("no block is known, and some services are in doubt or out of order")
        return _("nothing is blocked, as far as the collector tells")
    return _("blocked or partly blocked: {names}; see `heliograph-agent results`").format(
        names=", ".join(blocked)
    )


def _describe_own(status: AgentStatus, service: str) -> str:
    state, at_us = (status.get("lives") or {}).get(service, ("", 0))
    is_old = at_us + OLD_US < status.get("written_us", 0)
    return "" if state not in OWN or is_old else f"{_(OWN[state])} {_format_minute(at_us)}"


def _rank(order: list[str], state: str) -> int:
    return order.index(state) if state in order else len(order)


def _format_minute(at_us: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at_us // 1_000_000))
