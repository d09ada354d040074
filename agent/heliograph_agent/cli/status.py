"""`status`: show a running agent's last status, or a stopped agent's spool."""

import argparse
import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from heliograph.clock import SystemClock
from heliograph.observation import Link
from heliograph.plan import Plan
from heliograph.translation import begin_line, keep_order, mark
from heliograph.translation import translate as _
from heliograph_agent import cli
from heliograph_agent.cli.absence import describe_absence
from heliograph_agent.cli.results import summarize_findings
from heliograph_agent.config import AgentConfigError, Config
from heliograph_agent.consent import make_printable, name_country, read_consent
from heliograph_agent.runtime.battery import is_sparing
from heliograph_agent.runtime.newer_version import describe_update
from heliograph_agent.runtime.pause import Pause, read_pause
from heliograph_agent.runtime.status_file import (
    AgentStatus,
    QueueStatus,
    describe_queue,
    read_status,
)
from heliograph_agent.runtime.vantage import declare_vantage
from heliograph_agent.state import (
    CONSENT,
    SPOOL,
    Collector,
    State,
    StateError,
    StateLockedError,
)

UNPLACED = "ZZ"  # of the collector, for no country
# Results that were summarized because the spool was full; number and outcomes arrive.
SUMMED = {
    "p3": mark("{} routine results are kept as sums of an hour or a day"),
    "p2": mark("{} failures that went on are kept as sums of an hour or a day"),
}
MISSING = {
    "thinned_p3": mark("{} routine results gave way, there was no room"),
    "thinned_p2": mark("{} failures that went on gave way, there was no room"),
    "refused": mark("{} results found no room at all"),
    "rejected": mark("{} refused results were thrown away after the last 64 batches"),
    "unreadable": mark("{} results cannot be read back from this disk"),
    "damaged": mark("the spool was mended {} times"),
}

# Effects of the own side, which are no censorship.
OWN_SIGNS = {
    "decrypts": mark("A program on this machine or in this house decrypts TLS: {}"),
    "filters": mark("Your resolver, or a list on this machine, filters adverts or other names"),
    "denies": mark("Your resolver denies names that nobody minds, as a list of allowed names does"),
    "tunnels": mark("A tunnel on this machine invents the addresses of names"),
    "changes_web": mark("Something on the way changes cleartext web traffic"),
}

CLONED = mark(
    "another machine uses this agent's key, so its results are kept and not counted: stop this "
    "one, ask the operator for an invite, and run `heliograph-agent join INVITE --new-key`; what "
    "waits is handed in"
)
LINKS = {
    Link.ONLINE: mark("online"),
    Link.DOMESTIC_ONLY: mark("only hosts at home answer"),
    Link.NO_RESOLVER: mark("names cannot be looked up"),
    Link.CAPTIVE: mark("a login page answers in place of other hosts"),
    Link.OFFLINE: mark("offline"),
    Link.UNKNOWN: mark("not known yet"),
}
TRANSPORTS = {"post": mark("one batch at a time"), "relay": mark("by another volunteer's agent")}


class CommandStatus(AgentStatus):
    """Describe the output of `status --json`."""

    declared_country: str
    newest_version: str  # of the agent's software, by the plan; "" if it names none
    insecure_before: str
    running: bool
    joined: str
    role: str
    consent: bool
    paused: Pause | None
    battery_low: bool  # so that only anchors are measured


def add_parser(commands: "cli.Subparsers") -> None:
    p = commands.add_parser(
        "status",
        help="show what the agent holds and when it last reached the collector",
        description="Show whether the agent runs, what waits, and which transport works.",
        epilog="Example: heliograph-agent status --json",
    )
    p.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    state = cli.get_state(args)
    collector = state.joined_collector()
    queue = _count_spool(state, collector)
    last_status = read_status(state)
    is_running = queue is None
    plan = _read_plan(state)
    status: CommandStatus = {
        **last_status,
        **(queue or {}),
        "connected": is_running and last_status.get("connected", False),
        "running": is_running,
        "declared_country": _read_declared_country(state, args),
        "plan_version": plan.version if plan else last_status.get("plan_version", 0),
        "newest_version": plan.newest_version if plan else "",
        "insecure_before": plan.insecure_before if plan else "",
        "joined": collector.endpoint,
        "role": collector.role,
        "consent": state.read(CONSENT) is not None,
        "paused": read_pause(state, SystemClock().wall_us()),
        "battery_low": is_sparing(_read_config(args)),
    }
    if args.json:
        print(json.dumps(status))
    else:
        _print_status(status)
    return 0


def _read_config(args: argparse.Namespace) -> Config:
    """Read the configuration; one that cannot be read hides no status."""
    try:
        return cli.read_config(args)
    except AgentConfigError:
        return Config()


def _read_declared_country(state: State, args: argparse.Namespace) -> str:
    """Return the country that the volunteer declared, "" for none."""
    with suppress(StateError):
        consent = read_consent(state.read_json(CONSENT))
        return declare_vantage(_read_config(args), consent).country
    return ""


def _read_plan(state: State) -> Plan | None:
    """Read the stored plan; one that cannot be read hides no status."""
    from heliograph_agent.uplink.signed_documents import read_stored_plan

    with suppress(StateError):
        return read_stored_plan(state)
    return None


def _count_spool(state: State, collector: Collector) -> QueueStatus | None:
    """Count the spool; None while an agent has it open."""
    if state.running_pid() is not None:
        return None
    if not state.path(SPOOL).exists():
        return {"queued_measurements": 0, "queued_envelopes": 0}

    try:
        with state.hold_lock():
            return asyncio.run(_describe_queue(state, collector))
    except StateLockedError:  # an agent has just started
        return None


async def _describe_queue(state: State, collector: Collector) -> QueueStatus:
    from heliograph_agent.runtime.collector_sealer import CollectorSealer
    from heliograph_agent.spool import Spool

    clock = SystemClock()
    spool = Spool(state.path(SPOOL), CollectorSealer(state, collector, clock), clock=clock)
    try:
        return describe_queue(await spool.read_counts())
    finally:
        await spool.close()


def _print_status(status: CommandStatus) -> None:
    lines = {
        _("agent"): _describe_activity(status),
        _("collector"): _("{address}, {transport}, last answer {time}").format(
            address=keep_order(status["joined"]),
            transport=_describe_transport(
                status.get("way") or "", is_connected=status["connected"]
            ),
            time=_format_time(status.get("last_success_us")),
        ),
        _("last failure"): _("; ").join(
            f"{_describe_failure(failure['reason'])}{_(', ')}{_format_time(failure['at_us'])}"
            for failure in (status.get("last_failure") or {}).values()
        ),
        _("notice"): describe_absence(status),
        _("key"): _(CLONED) if status.get("cloned") else "",
        _("network"): _("{link}, epoch {epoch}").format(
            link=_describe_link(status.get("link", "")), epoch=status.get("epoch") or "-"
        ),
        _("place"): _describe_place(status),
        _("own side"): _("; ").join(_describe_own_signs(status)),
        _("results"): summarize_findings(status),
        _("update"): describe_update(status["newest_version"], status["insecure_before"]),
        _("plan"): _("version {n}").format(n=status.get("plan_version", 0)),
        _("waiting"): _describe_queue_counts(status),
        _("delivered"): _("{n} results").format(n=status.get("acked_measurements", 0)),
        _("summed up"): _describe_counts(status.get("summed"), SUMMED),
        _("missing"): _describe_counts(status.get("dropped"), MISSING),
        _("refused"): _("{n} batches").format(n=status["quarantined"])
        if status.get("quarantined")
        else "",
        _("problem"): status.get("problem", ""),
    }
    for name, value in lines.items():
        if value:
            print(f"{name + ':':<14} {value}")
    for experiment, at_us in sorted(status.get("last_results", {}).items()):
        last = _("last result {time}").format(time=_format_time(at_us))
        print(f"{begin_line()}  {experiment:<20} {last}")


def _describe_failure(reason: str) -> str:
    from heliograph_agent.uplink.transports import describe_reason

    return describe_reason(make_printable(reason))


def _describe_link(link: str) -> str:
    return _(LINKS[Link(link)]) if link in LINKS else link or _(LINKS[Link.UNKNOWN])


def _describe_place(status: CommandStatus) -> str:
    """Describe where the collector sees this machine, "" if as declared or unknown."""
    findings = status.get("findings")
    country = findings["country"] if findings else ""
    declared = status["declared_country"]
    if not declared or country in ("", UNPLACED, declared):
        return ""
    return _(
        "the collector sees this machine in {seen}, and you declared {declared}: a VPN may lead "
        "its tests out of {declared}, and then they tell nothing of it"
    ).format(
        seen=make_printable(name_country(country)), declared=make_printable(name_country(declared))
    )


def _describe_queue_counts(status: CommandStatus) -> str:
    if not status.get("queued_measurements") and not status.get("queued_envelopes"):
        return _("nothing")
    return _("{results} results in {batches} batches, oldest {time}").format(
        results=status.get("queued_measurements", 0),
        batches=status.get("queued_envelopes", 0),
        time=_format_time(status.get("oldest_us")),
    )


def _describe_own_signs(status: CommandStatus) -> Iterator[str]:
    for sign, detail in (status.get("own_signs") or {}).items():
        if sign in OWN_SIGNS:
            yield _(OWN_SIGNS[sign]).format(make_printable(detail))


def _describe_activity(status: CommandStatus) -> str:
    if status["paused"] is not None:
        until_us = status["paused"]["until_us"]
        until = _format_time(until_us) if until_us else "`heliograph-agent resume`"
        return _("paused until {time}").format(time=until)
    if not status["consent"]:
        return _("not agreed to anything: run `heliograph-agent join INVITE` again")
    if status["running"]:
        saving = _("running; the battery is low, so only anchors are measured until it charges")
        return saving if status["battery_low"] else _("running")
    return _("not running: start it with `heliograph-agent run`")


def _format_time(at_us: int | None) -> str:
    if not at_us:
        return _("never")
    return keep_order(f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC")


def _describe_counts(counts: Mapping[str, int] | None, templates: Mapping[str, str]) -> str:
    described = {_(templates.get(name, name)): n for name, n in (counts or {}).items()}
    return _("; ").join(
        template.format(n) if "{" in template else f"{n} {template}"
        for template, n in described.items()
    )


def _describe_transport(name: str, *, is_connected: bool) -> str:
    kind = TRANSPORTS.get(name.partition(":")[0], "")
    proxy = _("by your proxy") if name.endswith(" by proxy") else ""
    description = _(", ").join(filter(None, (kind and _(kind), proxy)))
    if is_connected:
        connected = _("connected")
        return _(", ").join(filter(None, (connected, description)))
    if not name:
        return _("no session")
    return _("no session (last tried: {transport})").format(transport=description or _("a session"))
