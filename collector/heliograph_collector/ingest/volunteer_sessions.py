"""Sessions of the connected volunteers, through which they are asked for tests of their plan."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from heliograph.observation import Link
from heliograph.units import DAY_US
from heliograph.v1 import intake_pb2, plan_pb2
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.presence import AgentConnection, ConnectionTable
from heliograph_collector.model.control_look import ConnectedVantage
from heliograph_collector.model.records import AgentRole


@dataclass(frozen=True, slots=True)
class VolunteerSessions:
    """The newest session of each volunteer."""

    connections: ConnectionTable
    directory: AgentDirectory

    @property
    def is_schedule_fixed(self) -> bool:
        return plan_pb2.Plan.FromString(self.directory.plan.plan).fixed_schedule

    def list_vantages(self, country: str, now_us: int) -> Sequence[ConnectedVantage]:
        """List the volunteers of a country whose link is online; prefixes are named for today."""
        return [
            ConnectedVantage(c.agent.id, c.location.name_days([now_us // DAY_US]), c.vantage.asn)
            for c in self._iterate_volunteers()
            if c.vantage.country == country and c.link is Link.ONLINE
        ]

    def ask_early_run(self, agent: bytes, run: intake_pb2.EarlyRun) -> bool:
        """Queue a wish; an agent that does not read, or has left, gets none."""
        for connection in self.connections.list_of_agents([agent]):
            if not connection.outbox.full():
                message = intake_pb2.CollectorMessage(early_runs=intake_pb2.EarlyRuns(runs=[run]))
                connection.outbox.put_nowait(message)
                return True
        return False

    def _iterate_volunteers(self) -> Iterator[AgentConnection]:
        for connection in self.connections.list_newest():
            if connection.agent.result_role == AgentRole.VOLUNTEER:
                yield connection
