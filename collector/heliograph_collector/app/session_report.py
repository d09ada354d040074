"""Report changes of the open sessions to stages in another process."""

from collections import deque
from collections.abc import Iterator
from itertools import count, islice

from heliograph_collector.app.ingest_messages import (
    Departure,
    SessionRecord,
    SessionsChanged,
    SessionState,
)
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.ingest.build import IngestServices
from heliograph_collector.ingest.presence import AgentConnection


class SessionReporter:
    """Composes reports; each session has a number in them."""

    def __init__(self, ingest: IngestServices, kept: int = 0) -> None:
        """Prepare to report the sessions of `ingest`, and keep so many that ended."""
        self._ingest = ingest
        self._past: deque[tuple[SessionRecord, Departure]] = deque(maxlen=kept)
        self._numbers = count(1)
        self._keys: dict[AgentConnection, int] = {}
        self._by_key: dict[int, AgentConnection] = {}
        self._agents: dict[int, EnrolledAgent] = {}
        self._states: dict[int, SessionState] = {}
        self._heard: dict[int, tuple[int, int]] = {}  # of `_is_unchanged`, at the last look
        self._unheard: set[int] = set()  # sessions that are reported after their next message

    def find(self, key: int) -> AgentConnection | None:
        """Return the session of a number; it may have ended since the last report."""
        return self._by_key.get(key)

    def list_keys(self) -> list[int]:
        """List the sessions that `compose` has reported, and not as ended."""
        return list(self._by_key)

    def report_again(self) -> None:
        """Let the next reports have all open sessions, with the numbers that they have."""
        self._agents.clear()
        self._states.clear()
        self._heard.clear()

    def list_past(self, since_us: int, limit: int) -> Iterator[SessionsChanged]:
        """Yield sessions that ended and had a message since then, `limit` at a time."""
        past = [each for each in self._past if each[1].heard_us >= since_us]
        for first in range(0, len(past), limit):
            group = past[first : first + limit]
            yield SessionsChanged(
                added=[record for record, _ in group],
                agents=[],
                states=[],
                ended=[],
                departures=[departure for _, departure in group],
            )

    def compose(self, limit: int | None = None, now_us: int = 0) -> SessionsChanged | None:
        """Return the changes, of at most `limit` sessions; None if there are none.

        With a limit, a session whose last message is too old is reported again only after its next
        one: if this host stood still, its agent may have left long ago.
        """
        open_connections = list(self._ingest.connections)
        closed = set(self._keys).difference(open_connections)
        departures = list(self._list_departures(closed))
        ended = self._forget(closed)
        if limit is not None:
            open_connections = list(islice(self._list_changed(open_connections, now_us), limit))
        added = []
        agents = []
        states = []
        for connection in open_connections:
            key = self._keys.get(connection) or self._take_up(connection)
            if key not in self._agents:
                self._agents[key] = connection.agent
                was_unheard = key in self._unheard
                self._unheard.discard(key)
                added.append(_build_record(key, connection, was_unheard=was_unheard))
            elif self._agents[key] is not connection.agent:
                self._agents[key] = connection.agent
                agents.append((key, connection.agent))
            elif limit is None and self._is_unchanged(key, connection):
                continue
            state = self._build_state(key, connection)
            if state != self._states.get(key):
                self._states[key] = state
                states.append(state)
        if not (added or agents or states or ended):
            return None
        return SessionsChanged(
            added=added, agents=agents, states=states, ended=ended, departures=departures
        )

    def _list_changed(
        self, connections: list[AgentConnection], now_us: int
    ) -> Iterator[AgentConnection]:
        """Yield the connections of which `compose` has something new to report."""
        heartbeat_s = self._ingest.directory.heartbeat_s
        for connection in connections:
            key = self._keys.get(connection, 0)
            if key not in self._agents and connection.is_unheard(now_us, heartbeat_s):
                self._unheard.add(key or self._take_up(connection))
            elif self._agents.get(key) is not connection.agent or self._states.get(
                key
            ) != self._build_state(key, connection):
                yield connection

    def _is_unchanged(self, key: int, connection: AgentConnection) -> bool:
        """Return whether a session has the state of its agent's last message.

        Bytes that an agent may still send grow meanwhile; they are reported with its next
        heartbeat.
        """
        report_key = (connection.last_heard_us, connection.plan_version)
        if self._heard.get(key) == report_key:
            return True
        self._heard[key] = report_key
        return False

    def _list_departures(self, closed: set[AgentConnection]) -> Iterator[Departure]:
        for connection in closed:
            if connection.departure is not None:
                reason, goodbye_reason = connection.departure
                key = self._keys[connection]
                departure = Departure(
                    key,
                    reason.value,
                    goodbye_reason,
                    connection.last_heard_us,
                    connection.ended_us,
                )
                # Beside one leader for good none are kept. A stop is no sign of the agent, but it
                # was here later than at a host where an older session of it fell silent.
                if self._past.maxlen:
                    self._past.append((_build_record(key, connection), departure))
                yield departure

    def _take_up(self, connection: AgentConnection) -> int:
        key = self._keys[connection] = next(self._numbers)
        self._by_key[key] = connection
        return key

    def _forget(self, ended: set[AgentConnection]) -> list[int]:
        keys = [self._keys.pop(connection) for connection in ended]
        for key in keys:
            del self._by_key[key]
            self._agents.pop(key, None)
            self._states.pop(key, None)
            self._heard.pop(key, None)
            self._unheard.discard(key)
        return keys

    def _build_state(self, key: int, connection: AgentConnection) -> SessionState:
        return SessionState(
            key=key,
            link=connection.link.value,
            queued_count=connection.queued_count,
            plan_version=connection.plan_version,
            remaining_batches=self._ingest.remaining_batches(connection.agent.id),
        )


def _build_record(
    key: int, connection: AgentConnection, *, was_unheard: bool = False
) -> SessionRecord:
    return SessionRecord(
        key=key,
        agent=connection.agent,
        location=connection.location,
        hello=connection.hello.SerializeToString(),
        arrived_us=connection.arrived_us,
        row_us=connection.row_us,
        was_unheard=was_unheard,
        carrier=connection.carrier,
    )
