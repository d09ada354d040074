"""`results`: the collector's findings on this agent's network, and our own."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliograph import timestamps
from heliograph.clock import SystemClock
from heliograph.translation import begin_line, direct_line, keep_order, mark
from heliograph.translation import translate as _
from heliograph_agent import cli
from heliograph_agent.cli.circumvention import describe_tools
from heliograph_agent.consent import make_printable, name_country
from heliograph_agent.runtime.status_file import AgentStatus, find_own_state, read_status

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
NOTHING_YET = mark(
    "The collector has told nothing yet. It does so within minutes of a session, where "
    "enough others measure."
)
_COMPARABLE = 2  # networks
NOT_ON_DISK = mark("What you see here others see too; nothing of it is on this disk.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """Describe one service in the reader's language."""

    title: str
    finding: str  # the published state
    own: str  # what this machine saw, "" without a recent test


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
    now_us = SystemClock().wall_us()
    for line in (*format_results(status), *describe_tools(status, now_us)):
        print(direct_line(line))
    return 0


def format_results(status: AgentStatus) -> Iterator[str]:
    """Yield the lines, services that do not work first."""
    findings = status.get("findings")
    rows = list_rows(status)
    if not findings or not rows:
        yield _(NOTHING_YET)
        return
    yield begin_line() + describe_place(findings)
    yield from map(_format_row, rows)
    yield _(NOT_ON_DISK)


def list_rows(status: AgentStatus) -> list[ResultRow]:
    """List the services whose state is published, those that do not work first."""
    findings = status.get("findings")
    if not findings:
        return []
    order = list(STATES)
    services = findings["services"]
    names = sorted(services, key=lambda name: _rank(order, services[name]["state"]))
    return [_make_row(status, findings, name) for name in names]


def describe_service(status: AgentStatus, name: str) -> Iterator[str]:
    """Yield the finding on one service in this network; nothing without one."""
    findings = status.get("findings")
    if findings and name in findings["services"]:
        yield _("What the collector publishes, by the tests of all agents:")
        yield begin_line() + describe_place(findings)
        yield _format_row(_make_row(status, findings, name))


def _make_row(status: AgentStatus, findings: "NetworkFindings", name: str) -> ResultRow:
    finding = findings["services"][name]
    return ResultRow(
        title=make_printable(finding["title"]),
        finding=describe_finding(finding, make_printable(name_country(findings["country"]))),
        own=_describe_own(status, name),
    )


def _format_row(row: ResultRow) -> str:
    line = f"{begin_line()}  {row.title:<24} {row.finding}"
    return f"{line}{_('; ')}{row.own}" if row.own else line


def describe_place(findings: "NetworkFindings") -> str:
    country = name_country(findings["country"])
    network_name = f"AS{findings['asn']}{_(', ')}{country}"
    if not findings["asn"]:
        network_name = _("networks of {country} with few agents").format(country=country)
    return _("{place}, as of {time}:").format(
        place=make_printable(network_name), time=format_minute(findings["at_us"])
    )


def describe_finding(finding: "ServiceFinding", country: str) -> str:
    state = finding["state"]
    finding_text = _(STATES[state]) if state in STATES else make_printable(state)
    if finding["since_us"]:
        finding_text = _("{state} since about {time}").format(
            state=finding_text, time=format_minute(finding["since_us"])
        )
    agents = _("{n} agents").format(n=make_printable(finding["vantages"]))
    others = _describe_country(finding, country)
    return _("; ").join(filter(None, (finding_text, agents, others)))


def _describe_country(finding: "ServiceFinding", country: str) -> str:
    """Describe the country's networks, "" where none but this one is shown."""
    total = finding.get("networks", 0)  # status.json may be of an older version
    if total < _COMPARABLE:
        return ""
    return _("the same in {n} of {total} networks of {country}").format(
        n=finding.get("networks_alike", 0), total=total, country=country
    )


def summarize_findings(status: AgentStatus) -> str:
    """Return a summary for `status` of services blocked here, "" without findings."""
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
        names=_(", ").join(blocked)
    )


def _describe_own(status: AgentStatus, service: str) -> str:
    state, at_us = find_own_state(status, service)
    return f"{_(OWN[state])} {format_minute(at_us)}" if state in OWN else ""


def _rank(order: list[str], state: str) -> int:
    return order.index(state) if state in order else len(order)


def format_minute(at_us: int) -> str:
    return keep_order(timestamps.format_minute(at_us))
