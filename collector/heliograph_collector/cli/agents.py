"""Command `heliograph-collector agents`: list, revoke or clear agents."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from heliograph.clock import SystemClock
from heliograph.timestamps import format_second
from heliograph.units import SECOND_US
from heliograph_collector.cli import CommandError, add_command, add_common_options, load_cli_config
from heliograph_collector.cli.audit_trail import record_audit
from heliograph_collector.fleet import EnrolledAgent, Fleet
from heliograph_collector.fleet.absence import (
    AgentRecord,
    is_farewell,
    is_seen_now,
    list_reasons,
)
from heliograph_collector.fleet.quarantine import clear_quarantine, vouch_for
from heliograph_collector.fleet.session_records import (
    read_ends,
    read_plan_issue,
    read_refusals,
)


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "agents",
        "list agents, revoke one, clear its quarantine, or vouch for it",
        "agents list",
        description="Lists enrolled agents, revokes one, clears its quarantine, or vouches for it.",
    )
    actions = command.add_subparsers(
        dest="action", metavar="list|revoke|clear|vouch", required=True
    )
    listing = add_command(actions, "list", "print the agents", "agents list --json")
    listing.add_argument("--json", action="store_true", help="print a JSON array")
    revoking = add_command(actions, "revoke", "revoke an agent for good", "agents revoke 3f9a")
    revoking.add_argument("id", metavar="ID", help="the agent's id, or its first characters")
    clearing = add_command(
        actions,
        "clear",
        "give a vote to an agent that is in quarantine or was seen on two machines",
        "agents clear 3f9a",
    )
    clearing.add_argument("id", metavar="ID", help="the agent's id, or its first characters")
    vouching = add_command(
        actions,
        "vouch",
        "give a full vote to an agent whose volunteer you know, without two weeks of waiting",
        "agents vouch 3f9a",
    )
    vouching.add_argument("id", metavar="ID", help="the agent's id, or its first characters")
    for action in (listing, revoking, clearing, vouching):
        add_common_options(action, acts_on_collector=True)


def run(args: argparse.Namespace) -> int:
    config = load_cli_config(args)
    fleet = Fleet(config.data)
    try:
        if args.action != "list":
            agent = _find_agent(fleet, args.id)
            record_audit(config, f"agent.{args.action}", agent.id.hex())
            return _CHANGES[args.action](fleet, agent)
        agents = fleet.list_agents()
        reasons = _list_reasons(fleet, agents, config.data)
    finally:
        fleet.close()
    if args.json:
        print(_format_json(agents, reasons))
    elif agents:
        print("\n".join(_format_table(agents, reasons)))
    else:
        print("No agent is enrolled; `heliograph-collector invite` prints a line that lets one in.")
    return 0


def _list_reasons(
    fleet: Fleet, agents: Sequence[EnrolledAgent], data: Path
) -> Mapping[bytes, Sequence[str]]:
    """List by agent the recorded reasons why it, or its results, are silent."""
    now_s = SystemClock().wall_us() // SECOND_US
    ends = read_ends(fleet)
    refusals = read_refusals(fleet)
    plan = read_plan_issue(fleet)
    lost = [
        a
        for a in agents
        if a.last_seen_s
        and not is_seen_now(a, ends.get(a.id), now_s)
        and not is_farewell(ends.get(a.id))
    ]
    incidents = _find_incidents(lost, data) if lost else {}
    return {
        agent.id: list_reasons(
            agent,
            AgentRecord(
                end=ends.get(agent.id),
                refusal=refusals.get(agent.id),
                incident=incidents.get(agent.id, ""),
                plan=plan,
            ),
            now_s,
        )
        for agent in agents
    }


def _find_incidents(agents: Sequence[EnrolledAgent], data: Path) -> Mapping[bytes, str]:
    """Find in the log the silence in which each agent was lost."""
    from heliograph_collector.incidents.log_file import LOG_FILE_NAME, read_book
    from heliograph_collector.incidents.silence_search import find_silence

    incidents = read_book(data / LOG_FILE_NAME).incidents()
    return {
        agent.id: find_silence(
            incidents,
            agent.country,
            agent.asn,
            agent.access,
            (agent.last_seen_s or 0) * SECOND_US,
        )
        for agent in agents
    }


def _clear_agent(fleet: Fleet, agent: EnrolledAgent) -> int:
    if not clear_quarantine(fleet, agent.id):
        raise CommandError(f"{agent.id.hex()} counts already.")
    print(f"{agent.id.hex()} counts from now on.")
    return 0


def _vouch_for_agent(fleet: Fleet, agent: EnrolledAgent) -> int:
    vouch_for(fleet, agent.id, SystemClock().wall_us() // SECOND_US)
    print(f"{agent.id.hex()} counts as established from its next session on.")
    return 0


def _find_agent(fleet: Fleet, id_prefix: str) -> EnrolledAgent:
    """Find the agent by the beginning of its id. Raises CommandError."""
    matches = [
        a for a in fleet.list_agents() if len(id_prefix) >= 4 and a.id.hex().startswith(id_prefix)
    ]
    if len(matches) != 1:
        count = "no agent's id begins" if not matches else f"{len(matches)} agents' ids begin"
        raise CommandError(
            f"{count} with {id_prefix!r}: give more of it, as `agents list` shows it."
        )
    return matches[0]


def _revoke_agent(fleet: Fleet, agent: EnrolledAgent) -> int:
    if not fleet.revoke_agent(agent.id, SystemClock().wall_us() // 1_000_000):
        raise CommandError(f"{agent.id.hex()} is revoked already.")
    print(f"Revoked {agent.id.hex()}.")
    return 0


_CHANGES = {"revoke": _revoke_agent, "clear": _clear_agent, "vouch": _vouch_for_agent}


def _describe_state(agent: EnrolledAgent) -> str:
    if agent.revoked_s is not None:
        return "revoked"
    if agent.cloned_s is not None:
        return "on two machines"
    if agent.trial_s is None:
        return ""
    place = "" if agent.has_place else ", its place is free"
    return f"in quarantine, {agent.agreements} agreements{place}"


def _format_table(
    agents: Sequence[EnrolledAgent], reasons: Mapping[bytes, Sequence[str]]
) -> Iterator[str]:
    """Format a line for each agent, and one below for each reason why it is silent."""
    format_line = "{:<34}{:<11}{:<9}{:<9}{:<9}{:<22}{}".format
    yield format_line("ID", "ROLE", "COUNTRY", "NETWORK", "ACCESS", "LAST SEEN", "STATE")
    for a in agents:
        yield format_line(
            a.id.hex(),
            a.role,
            a.country,
            f"AS{a.asn}" if a.asn else "-",
            a.access,
            _format_time(a.last_seen_s) or "never",
            _describe_state(a),
        ).rstrip()
        if a.revoked_s is None:
            yield from (f"    {reason}" for reason in reasons[a.id])


def _format_json(agents: Sequence[EnrolledAgent], reasons: Mapping[bytes, Sequence[str]]) -> str:
    rows = [
        {
            "id": agent.id.hex(),
            "name": agent.name,
            "note": agent.note,
            "role": agent.role,
            "version": agent.version,
            "country": agent.country,
            "asn": agent.asn,
            "access": agent.access,
            "created": _format_time(agent.created_s),
            "last_seen": _format_time(agent.last_seen_s),
            "revoked": _format_time(agent.revoked_s),
            "cloned": _format_time(agent.cloned_s),
            "quarantined": _format_time(agent.trial_s),
            "agreements": agent.agreements,
            "has_place": bool(agent.has_place),
            "charter": agent.charter,
            "silent_because": list(reasons[agent.id]),
        }
        for agent in agents
    ]
    return json.dumps(rows, indent=2)


def _format_time(at_s: int | None) -> str | None:
    return None if at_s is None else format_second(at_s * SECOND_US)
