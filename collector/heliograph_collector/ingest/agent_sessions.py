"""Sessions of the connected controls and volunteers, which receive test orders."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from heliograph.codec import plan_from_pb
from heliograph.observation import Link
from heliograph.plan import Plan
from heliograph.units import DAY_US
from heliograph.v1 import intake_pb2, plan_pb2
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.presence import AgentConnection, ConnectionTable
from heliograph_collector.model.control_look import ConnectedVantage, ControlSite
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
            for c in _iterate_role(self.connections, AgentRole.CONTROL)
            if c.link is Link.ONLINE and c.plan_version >= self.directory.plan_version
        ]

    def send_visits(self, agent: bytes, order: intake_pb2.SignedVisitOrder) -> bool:
        """Queue an order; a control that does not read, or has left, gets none."""
        message = intake_pb2.CollectorMessage(visits=order)
        return any(
            connection.offer(message)
            for connection in _iterate_role(self.connections, AgentRole.CONTROL)
            if connection.agent.id == agent
        )


@dataclass(frozen=True, slots=True)
class VolunteerSessions:
    """The newest session of each volunteer."""

    connections: ConnectionTable
    directory: AgentDirectory

    @property
    def is_schedule_fixed(self) -> bool:
        return plan_pb2.Plan.FromString(self.directory.plan.plan).fixed_schedule

    def list_vantages(self, country: str, now_us: int) -> Sequence[ConnectedVantage]:
        """List the volunteers of a country whose link is online, with today's line names."""
        return [
            ConnectedVantage(c.agent.id, c.location.name_days([now_us // DAY_US]), c.vantage.asn)
            for c in _iterate_role(self.connections, AgentRole.VOLUNTEER)
            if c.vantage.country == country and c.link is Link.ONLINE
        ]

    def ask_early_run(self, agent: bytes, run: intake_pb2.EarlyRun) -> bool:
        """Queue a wish; an agent that does not read, or has left, gets none."""
        message = intake_pb2.CollectorMessage(early_runs=intake_pb2.EarlyRuns(runs=[run]))
        connections = self.connections.list_of_agents([agent])
        return any(connection.offer(message) for connection in connections)


def _iterate_role(connections: ConnectionTable, role: AgentRole) -> Iterator[AgentConnection]:
    for connection in connections.list_newest():
        if connection.agent.result_role == role:
            yield connection
