"""Reports of the open sessions, for stages in another process: what changed since the last one."""

from itertools import count

from heliograph_collector.app.ingest_messages import SessionRecord, SessionsChanged, SessionState
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.ingest.build import IngestServices
from heliograph_collector.ingest.presence import AgentConnection


class SessionReporter:
    """Composes reports; each session has a number in them."""

    def __init__(self, ingest: IngestServices) -> None:
        self._ingest = ingest
        self._numbers = count(1)
        self._keys: dict[AgentConnection, int] = {}
        self._by_key: dict[int, AgentConnection] = {}
        self._agents: dict[int, EnrolledAgent] = {}
        self._states: dict[int, SessionState] = {}

    def find(self, key: int) -> AgentConnection | None:
        """Return the session of a number; it may have ended since the last report."""
        return self._by_key.get(key)

    def compose(self) -> SessionsChanged | None:
        """Return what is new, None for nothing."""
        open_connections = list(self._ingest.connections)
        ended = self._forget(set(self._keys).difference(open_connections))
        added = []
        agents = []
        states = []
        for connection in open_connections:
            key = self._keys.get(connection)
            if key is None:
                key = self._take_up(connection)
                added.append(_build_record(key, connection))
            elif self._agents[key] is not connection.agent:
                self._agents[key] = connection.agent
                agents.append((key, connection.agent))
            state = self._build_state(key, connection)
            if state != self._states.get(key):
                self._states[key] = state
                states.append(state)
        if not (added or agents or states or ended):
            return None
        return SessionsChanged(added=added, agents=agents, states=states, ended=ended)

    def _take_up(self, connection: AgentConnection) -> int:
        key = self._keys[connection] = next(self._numbers)
        self._by_key[key] = connection
        self._agents[key] = connection.agent
        return key

    def _forget(self, ended: set[AgentConnection]) -> list[int]:
        keys = [self._keys.pop(connection) for connection in ended]
        for key in keys:
            del self._by_key[key], self._agents[key], self._states[key]
        return keys

    def _build_state(self, key: int, connection: AgentConnection) -> SessionState:
        return SessionState(
            key=key,
            link=connection.link.value,
            queued_count=connection.queued_count,
            plan_version=connection.plan_version,
            remaining_batches=self._ingest.remaining_batches(connection.agent.id),
        )


def _build_record(key: int, connection: AgentConnection) -> SessionRecord:
    return SessionRecord(
        key=key,
        agent=connection.agent,
        location=connection.location,
        hello=connection.hello.SerializeToString(),
        arrived_us=connection.arrived_us,
    )
