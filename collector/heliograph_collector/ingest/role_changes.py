"""Journal rows about agents that stop or start to count while the collector knows them.

A vantage counts from its last arrival on. Without a further row one that was revoked, or found on
two machines, would stay present for ever: it would speak against each outage, and after a restart
of the collector it would be the one that does not return.
"""

from collections.abc import Iterable, Iterator

from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.ingest.presence import AgentConnection
from heliograph_collector.model.records import AgentRole, JournalRow, RowKind

_COMMIT_US = MINUTE_US  # assumed; longest time from a revocation's date to its commit


def change_agent(
    connection: AgentConnection, agent: EnrolledAgent, now_us: int
) -> JournalRow | None:
    """Give a session the newest record of its agent; return a new arrival if its role changed."""
    previous_role = connection.agent.result_role
    connection.agent = agent
    return (
        connection.build_row(RowKind.ARRIVAL, now_us)
        if agent.result_role != previous_role
        else None
    )


class RevocationRecorder:
    """Builds one goodbye for each revoked volunteer, also for one revoked during downtime."""

    def __init__(self, agents: Iterable[EnrolledAgent], alive_before_us: int) -> None:
        """Take revocations of an earlier run as recorded; `alive_before_us` is when it ended."""
        self._recorded = {
            agent.id
            for agent in agents
            if agent.revoked_s is not None
            and agent.revoked_s * SECOND_US < alive_before_us - _COMMIT_US
        }

    def build_rows(self, agents: Iterable[EnrolledAgent], now_us: int) -> Iterator[JournalRow]:
        for agent in agents:
            if agent.revoked_s is None or agent.id in self._recorded:
                continue
            self._recorded.add(agent.id)
            if agent.role == AgentRole.VOLUNTEER:
                yield JournalRow(
                    kind=RowKind.GOODBYE,
                    agent=agent.id,
                    received_us=now_us,
                    country=agent.country,
                    asn=agent.asn,
                    role=AgentRole.VOLUNTEER,
                    since_s=agent.created_s,
                )
