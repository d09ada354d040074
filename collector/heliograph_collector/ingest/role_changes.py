"""Build journal rows for agents whose role changes while the collector knows them.

A vantage counts from its last arrival on. Without a further row one that was revoked, or found on
two machines, would stay present for ever: it would contradict each outage, and after a restart of
the collector it would be the one that does not return.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.ingest.presence import AgentConnection
from heliograph_collector.model.records import AgentRole, JournalRow, RowKind


class AgentFinder(Protocol):
    """Finds agents by id, with their newest records: a directory or a dictionary."""

    def get(self, agent: bytes, /) -> EnrolledAgent | None: ...


def change_agent(
    connection: AgentConnection, agent: EnrolledAgent, now_us: int
) -> JournalRow | None:
    """Set the newest record of a session's agent.

    Returns a new arrival if its role changed.
    """
    previous_role = connection.agent.result_role
    connection.agent = agent
    return (
        connection.build_row(RowKind.ARRIVAL, now_us)
        if agent.result_role != previous_role
        else None
    )


def update_lost(
    lost_connections: Iterable[AgentConnection], agents: AgentFinder
) -> Iterator[AgentConnection]:
    """Yield the lost agents that are still enrolled, with their newest roles.

    A loss in an old role would make a silent volunteer of one that was revoked, or put into
    quarantine, after its session had ended.
    """
    for connection in lost_connections:
        agent = agents.get(connection.agent.id)
        if agent is not None and agent.revoked_s is None:
            connection.agent = agent
            yield connection


class RevocationRecorder:
    """Builds a goodbye for each revoked volunteer, once in a run of the collector.

    Each run writes them all again: whether an earlier one did, perhaps of a version that wrote
    none, is not known, and a second goodbye changes nothing.
    """

    def __init__(self) -> None:
        self._unrecorded: dict[bytes, EnrolledAgent] = {}
        self._recorded: set[bytes] = set()

    def follow_agents(self, agents: Iterable[EnrolledAgent]) -> None:
        for agent in agents:
            is_volunteer = agent.role == AgentRole.VOLUNTEER
            if is_volunteer and agent.revoked_s is not None and agent.id not in self._recorded:
                self._unrecorded[agent.id] = agent

    def build_rows(self, now_us: int, limit: int) -> list[JournalRow]:
        """Build goodbyes; they are built again until `confirm_rows`."""
        return [
            JournalRow(
                kind=RowKind.GOODBYE,
                agent=agent.id,
                received_us=now_us,
                country=agent.country,
                asn=agent.asn,
                role=AgentRole.VOLUNTEER,
                since_s=agent.created_s,
            )
            for agent in islice(self._unrecorded.values(), limit)
        ]

    def confirm_rows(self, goodbyes: Iterable[JournalRow]) -> None:
        """Forget agents whose goodbyes are in the journal."""
        for row in goodbyes:
            self._unrecorded.pop(row.agent, None)
            self._recorded.add(row.agent)
