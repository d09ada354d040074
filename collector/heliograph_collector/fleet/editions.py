"""The plans of before: each stays in fleet.db as it was signed."""

from dataclasses import dataclass

from heliograph.codec import plan_from_pb
from heliograph.plan import Plan
from heliograph.v1 import plan_pb2 as pb
from heliograph_collector.fleet.registry import Fleet

MOST = 50  # that are listed


@dataclass(frozen=True, slots=True)
class Edition:
    version: int
    issued_s: int
    tasks: int
    services_version: str


def editions(fleet: Fleet) -> list[Edition]:
    """The newest first."""
    with fleet.transaction() as db:
        rows = db.execute("SELECT plan FROM plans ORDER BY version DESC LIMIT ?", (MOST,))
        plans = [pb.Plan.FromString(body) for (body,) in rows]
    return [Edition(p.version, p.issued_s, len(p.tasks), p.services_version) for p in plans]


def edition(fleet: Fleet, version: int) -> Plan | None:
    with fleet.transaction() as db:
        found = db.execute("SELECT plan FROM plans WHERE version = ?", (version,)).fetchone()
    return None if found is None else plan_from_pb(pb.Plan.FromString(found[0]))
