"""Record each agent's last end of a session and last refusal, in DATA/fleet.db.

A connected agent has an end that is older than its last sighting. An agent that erased itself or
was revoked has neither. On a cluster the leader records the ends, and refusals are not kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import NamedTuple

from heliograph.v1 import plan_pb2 as pb
from heliograph_collector.fleet.registry import Fleet

_INSERT_END = """
INSERT OR REPLACE INTO session_ends
SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (
  SELECT 1 FROM agents WHERE id = ?1 AND revoked_s IS NULL
)
"""
_INSERT_REFUSAL = """
INSERT OR REPLACE INTO refusals
SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM agents WHERE id = ?1 AND revoked_s IS NULL)
"""


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """The end of an agent's last session; the fields are the columns."""

    agent: bytes
    at_s: int
    reason: str  # `ingest.presence.DisconnectReason`
    goodbye_reason: str  # a word of the agent's
    plan: int  # the version that it had when the session began
    clock_ahead_s: int  # its clock before ours at its last heartbeat; behind: negative


@dataclass(frozen=True, slots=True)
class Refusal:
    """Last refusal to an agent; the fields are the columns."""

    agent: bytes
    at_s: int
    what: str  # "session" or "results"
    reason: str  # of the hello or of the receipt


class PlanIssue(NamedTuple):
    version: int
    issued_s: int


def record_sessions(fleet: Fleet, ends: Iterable[SessionEnd], refusals: Iterable[Refusal]) -> None:
    """Replace the records of these agents. Raises sqlite3.Error."""
    with fleet.transaction() as db:
        db.executemany(_INSERT_END, map(astuple, ends))
        db.executemany(_INSERT_REFUSAL, map(astuple, refusals))


def read_ends(fleet: Fleet) -> Mapping[bytes, SessionEnd]:
    """Read the end of each agent's last session."""
    return {row[0]: SessionEnd(*row) for row in fleet.read_rows("SELECT * FROM session_ends")}


def read_end(fleet: Fleet, agent: bytes) -> SessionEnd | None:
    rows = fleet.read_rows("SELECT * FROM session_ends WHERE agent = ?", agent)
    return SessionEnd(*rows[0]) if rows else None


def read_refusal(fleet: Fleet, agent: bytes) -> Refusal | None:
    rows = fleet.read_rows("SELECT * FROM refusals WHERE agent = ?", agent)
    return Refusal(*rows[0]) if rows else None


def read_plan_issue(fleet: Fleet) -> PlanIssue | None:
    """Read the present plan's version and time of issue, None before the first."""
    row = fleet.read_plan()
    plan = None if row is None else pb.Plan.FromString(row[0])
    return None if plan is None else PlanIssue(plan.version, plan.issued_s)


def read_refusals(fleet: Fleet) -> Mapping[bytes, Refusal]:
    """Read the last refusal of each agent."""
    return {row[0]: Refusal(*row) for row in fleet.read_rows("SELECT * FROM refusals")}
