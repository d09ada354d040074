"""Describe the last time without the collector: its length, reason and results."""

from heliograph.translation import mark
from heliograph.translation import translate as _
from heliograph_agent.cli.results import format_minute
from heliograph_agent.runtime.absence import Absence
from heliograph_agent.runtime.status_file import AgentStatus

REASONS = {
    "not_running": mark("the agent did not run, or this machine was off"),
    "asleep": mark("this machine slept or stood still"),
    "paused": mark("the agent was paused"),
    "no_network": mark("this machine had no network"),
    "no_resolver": mark("names could not be looked up"),
    "domestic_only": mark("only hosts in this country answered"),
    "unreachable": mark(
        "other hosts answered and the collector did not: it was down, or its address is blocked "
        "here"
    ),
    "unknown": mark("the reason is not known"),
}


def describe_absence(status: AgentStatus) -> str:
    """Return the notice of the last long absence in this run, "" without one."""
    absence = status.get("absence")
    if not absence:
        return ""
    return f"{_describe_time(absence)} {_describe_results(absence)}"


def _describe_time(absence: Absence) -> str:
    reason = _(REASONS.get(absence["reason"], REASONS["unknown"]))
    since = format_minute(absence["since_us"])
    if not absence["until_us"]:
        return _("No contact with the collector since {since}: {reason}.").format(
            since=since, reason=reason
        )
    return _("No contact with the collector from {since} to {until}: {reason}.").format(
        since=since, until=format_minute(absence["until_us"]), reason=reason
    )


def _describe_results(absence: Absence) -> str:
    if absence["lost"]:
        return _("Some results found no room: see `heliograph-agent status`.")
    if not absence["results"]:
        return _("Nothing was measured meanwhile.")
    if not absence["until_us"]:
        return _("{n} results are stored and will be sent; none is lost.").format(
            n=absence["results"]
        )
    return _("{n} results were stored meanwhile; none was lost.").format(n=absence["results"])
