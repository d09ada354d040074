"""Describe why an agent is silent, as far as it is recorded. Pure.

It states only what is known: how its last session ended, what was refused to it, the incident in
which it was lost, its clock and its plan where they were wrong. Where none of that is known the
reason is undetermined.

Example:
    record = AgentRecord(end=ends.get(agent.id), refusal=refusals.get(agent.id))
    reasons = list_reasons(agent, record, now_s)  # [] while it is here
"""

from dataclasses import dataclass

from heliograph.timestamps import format_minute
from heliograph.units import HOUR_S, MINUTE_S, SECOND_US
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.fleet.session_records import PlanIssue, Refusal, SessionEnd

# A connected agent sends at least once a minute (a poll), which is written down every 30 s.
HERE_S = 3 * MINUTE_S
_REFUSED_S = HOUR_S  # before the last sighting: what was refused earlier is past; assumed
_SESSION_S = 30 * MINUTE_S  # no session is longer (`rate_limits.MAX_SESSION_S`)
_CLOCK_S = 10 * MINUTE_S  # what a clock may be wrong by without a word of it; assumed

# How a session ended (`ingest.presence.DisconnectReason`), and its meaning for the agent.
_ENDS = {
    "goodbye": "it said goodbye",
    "closed": "its connection broke off: its machine, its line or something on the way",
    "silent": "it fell silent on an open connection, as when a line is cut or a machine hangs",
    "renewed": "we ended its session because of its age, and it has not come back",
    "replaced": "a newer session took the place of its last one",
    "slow": "it did not read what we sent, so we ended its session",
    "misbehaved": "it broke the protocol, so we ended its session; look for a newer version",
    "revoked": "it was revoked",
    "stopped": "its session ended when the collector's intake stopped; no more is known",
}
_GOODBYES = {
    "shutdown": "its program or its machine was stopped",
    "pause": "its volunteer paused it",
    "leave": "its volunteer left",
    "sleep": "its machine went to sleep",
    "update": "it was being updated",
    "network_change": "it changed its network",
}  # words of the protocol; another word of an agent's is not shown
_REFUSALS = {
    "key_expired": "its key is too old; a new invite and `join INVITE` let it in again",
    "key_replaced": "it used its earlier key, as a copy of its state does",
    "bad_signature": "the signature is not by its key; anybody who knows its id can cause this",
    "unknown_version": "its results are in a format that this collector does not know: update the "
    "older of the two",
    "unknown_key": "its results are sealed to a key that this collector does not have",
    "too_large": "its results are larger than is allowed",
}
_NEVER = (
    "it joined and has never connected: `heliograph-agent run` may not run there, or its line may "
    "not reach us; `heliograph-agent status` on its machine says which"
)
_UNDETERMINED = "undetermined: no end of its last session is on record"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRecord:
    """Records of an agent beside its row in the registry."""

    end: SessionEnd | None = None
    refusal: Refusal | None = None
    incident: str = ""  # the id of one that was open in its network when it was lost
    plan: PlanIssue | None = None  # the present one


def list_reasons(
    agent: EnrolledAgent, record: AgentRecord, now_s: int, *, is_here: bool | None = None
) -> list[str]:
    """List the known reasons why an agent or its results are silent, [] if none.

    Args:
        agent: Its row in the registry.
        record: Its other records.
        now_s: The present time.
        is_here: Whether it has a session; None if only its last sighting is known.
    """
    if agent.revoked_s is not None:
        return [f"revoked {format_minute(agent.revoked_s * SECOND_US)}"]
    reasons = []
    if is_here is None:
        is_here = is_seen_now(agent, record.end, now_s)
    if not is_here:
        reasons.append(_describe_end(agent, record.end))
        if record.incident and not is_farewell(record.end):
            reasons.append(f"it was lost in incident {record.incident} of its network")
    refusal = record.refusal
    if refusal is not None and refusal.at_s >= (agent.last_seen_s or 0) - _REFUSED_S:
        reasons.append(_describe_refusal(refusal))
    if not is_here and record.end is not None and _is_last(record.end, agent):
        reasons += _list_defects(record.end, record.plan)
    return reasons


def is_seen_now(agent: EnrolledAgent, end: SessionEnd | None, now_s: int) -> bool:
    """Return whether an agent was seen within HERE_S, and no session ended since."""
    seen_s = agent.last_seen_s
    if seen_s is None or now_s - seen_s > HERE_S:
        return False
    return end is None or end.at_s < seen_s


def is_farewell(end: SessionEnd | None) -> bool:
    """Return whether the last session ended by a goodbye or by us, not by the network."""
    return end is not None and end.reason not in ("closed", "silent")


def _is_last(end: SessionEnd | None, agent: EnrolledAgent) -> bool:
    """Return whether an end is that of the last session: its agent was not seen since."""
    return end is not None and end.at_s >= (agent.last_seen_s or 0)


def _describe_end(agent: EnrolledAgent, end: SessionEnd | None) -> str:
    if agent.last_seen_s is None and end is None:
        return _NEVER
    if end is None or not _is_last(end, agent):
        return _UNDETERMINED
    sentence = _ENDS.get(end.reason, end.reason)
    more = _GOODBYES.get(end.goodbye_reason) if end.reason == "goodbye" else None
    return f"{sentence}: {more}" if more else sentence


def _describe_refusal(refusal: Refusal) -> str:
    cause = _REFUSALS.get(refusal.reason, f"`{refusal.reason}`")
    subject = "a session" if refusal.what == "session" else "results"
    return f"{subject} of its name refused {format_minute(refusal.at_s * SECOND_US)}: {cause}"


def _list_defects(end: SessionEnd, plan: PlanIssue | None) -> list[str]:
    """List the defects of an agent in its last session.

    A plan that was issued in the session, or after it, is none that the agent did not take.
    """
    defects = []
    if abs(end.clock_ahead_s) >= _CLOCK_S:
        way = "ahead" if end.clock_ahead_s > 0 else "behind"
        hours = abs(end.clock_ahead_s) / HOUR_S
        defects.append(f"its clock was {hours:,.1f} h {way} in its last session")
    if plan is not None and end.plan < plan.version and plan.issued_s < end.at_s - _SESSION_S:
        defects.append(
            f"its last session began with plan {end.plan}; {plan.version} is the present one"
        )
    return defects
