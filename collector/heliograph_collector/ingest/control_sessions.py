"""Sessions of the connected controls, through which they are asked for visits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from heliograph.codec import plan_from_pb
from heliograph.observation import Link
from heliograph.plan import Plan
from heliograph.v1 import intake_pb2, plan_pb2
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.presence import AgentConnection, ConnectionTable
from heliograph_collector.model.control_look import ControlSite
from heliograph_collector.model.records import AgentRole


@dataclass(frozen=True, slots=True)
class ControlSessions:
    """The newest session of each control whose results count."""

    connections: ConnectionTable
    directory: AgentDirectory

    @property
    def plan_version(self) -> int:
        return self.directory.plan_version

    def read_plan(self) -> Plan:
        return plan_from_pb(plan_pb2.Plan.FromString(self.directory.plan.plan))

    def list_sites(self) -> Sequence[ControlSite]:
        """List the controls on an online link that have the present plan."""
        return [
            ControlSite(c.agent.id, f"AS{c.vantage.asn}" if c.vantage.asn else c.location.prefix)
            for c in self._iterate_controls()
            if c.link is Link.ONLINE and c.plan_version >= self.directory.plan_version
        ]

    def send_visits(self, agent: bytes, order: intake_pb2.SignedVisitOrder) -> bool:
        """Queue an order; a control that does not read, or has left, gets none."""
        for connection in self._iterate_controls():
            if connection.agent.id == agent and not connection.outbox.full():
                connection.outbox.put_nowait(intake_pb2.CollectorMessage(visits=order))
                return True
        return False

    def _iterate_controls(self) -> Iterator[AgentConnection]:
        for connection in self.connections.list_newest():
            if connection.agent.result_role == AgentRole.CONTROL:
                yield connection
