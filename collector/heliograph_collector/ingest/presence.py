"""Who is here. An agent not heard for 2½ heartbeats, without a goodbye, is lost, and that is a row.

How a connection ended does not matter: an agent that is back in time was never away. Pure but for
the wish to end a visit, which the session that holds it carries out.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from heliograph.observation import Link
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.ingest.geo.lookup import PeerLocation
from heliograph_collector.model.records import AgentRole, JournalRow, RowKind, Vantage

SILENCE_HEARTBEATS = 2.5
MAX_CONNECTIONS_PER_AGENT = 4  # half-open leftovers of one agent; the oldest goes first
_RETURNING_REASON = "network_change"  # a goodbye that promises to be back


class DisconnectReason(StrEnum):
    """How a session ended."""

    GOODBYE = "goodbye"
    CLOSED = "closed"  # the stream broke off
    SILENT = "silent"
    RENEWED = "renewed"  # by us, because of its age
    REPLACED = "replaced"  # the same agent came in again
    REVOKED = "revoked"
    SLOW = "slow"  # it did not read what it was sent
    MISBEHAVED = "misbehaved"
    STOPPED = "stopped"  # the collector itself stops


@dataclass(slots=True, eq=False)
class AgentConnection:
    """One session of one proven agent."""

    agent: EnrolledAgent
    location: PeerLocation
    hello: pb.Hello
    last_heard_us: int  # monotonic, as all times here
    outbox: "asyncio.Queue[pb.CollectorMessage | None]"
    link: Link = Link.UNKNOWN
    queued_count: int = 0  # envelopes in its spool, as it told last
    plan_version: int = 0
    charter_version: int = 0
    arrived_us: int = field(init=False)
    is_duplicate: bool = False  # told that another machine speaks by its key at the same time
    silence_from_us: int = (
        0  # its silence counts from then at the earliest: before, we could not hear
    )
    end_reason: DisconnectReason | None = None
    read_timeout: asyncio.Timeout | None = None  # of the read under way
    vantage: Vantage = field(init=False)  # asked for with every heartbeat

    def __post_init__(self) -> None:
        self.vantage = Vantage.from_peer(self.location.country, self.location.asn, self.hello)
        self.arrived_us = self.last_heard_us

    def silent_at_us(self, heartbeat_s: int) -> int:
        """When it will have been silent too long."""
        return max(self.last_heard_us, self.silence_from_us) + silence_limit_us(heartbeat_s)

    def end(self, reason: DisconnectReason) -> None:
        """Wake the session that holds this visit, to end it so."""
        self.end_reason = self.end_reason or reason
        if self.read_timeout is not None and not self.read_timeout.expired():
            self.read_timeout.reschedule(asyncio.get_running_loop().time())

    def build_row(self, kind: RowKind, received_us: int, heard_us: int = 0) -> JournalRow:
        """Every presence row carries the hello, which says region, access and epoch."""
        return JournalRow(
            kind=kind,
            agent=self.agent.id,
            received_us=received_us,
            country=self.location.country,
            asn=self.location.asn,
            prefix=self.location.prefix,
            role=AgentRole(self.agent.result_role),
            body=self.hello.SerializeToString(),
            heard_us=heard_us,
            since_s=self.agent.created_s,
        )

    def build_lost_row(self, wall_us: int, monotonic_us: int) -> JournalRow:
        """Its loss, found now, with the moment it was last heard on the wall clock of today."""
        return self.build_row(RowKind.LOST, wall_us, wall_us - (monotonic_us - self.last_heard_us))


@dataclass(slots=True)
class ConnectionTable:
    """Visits under way, and agents that left without a word and may still be back."""

    _connections: dict[bytes, list[AgentConnection]] = field(default_factory=dict)
    _missing: dict[bytes, AgentConnection] = field(default_factory=dict)
    _count: int = 0  # of visits: asked for at every arrival, when thousands are here

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[AgentConnection]:
        return iter(
            [connection for connections in self._connections.values() for connection in connections]
        )

    def add(self, connection: AgentConnection) -> None:
        connections = self._connections.setdefault(connection.agent.id, [])
        if len(connections) >= MAX_CONNECTIONS_PER_AGENT:
            connections[0].end(DisconnectReason.REPLACED)
        connections.append(connection)
        self._count += 1
        self._missing.pop(connection.agent.id, None)

    def remove(
        self,
        connection: AgentConnection,
        reason: DisconnectReason,
        goodbye_reason: str,
        now_us: int,
    ) -> JournalRow | None:
        """The goodbye to be written down, if it was one.

        The newest visit speaks for the agent: half-open ones from before, say from another network,
        are over with its goodbye, and do not die of silence later.
        """
        connections = self._connections.get(connection.agent.id, [])
        if connection not in connections:
            return None
        is_newest = connections[-1] is connection
        connections.remove(connection)
        self._count -= 1
        is_final = reason is DisconnectReason.GOODBYE and goodbye_reason != _RETURNING_REASON
        if connections and not (is_final and is_newest):
            return None
        del self._connections[connection.agent.id]
        self._count -= len(connections)
        for leftover in connections:
            leftover.end(DisconnectReason.REPLACED)
        if is_final:
            return connection.build_row(RowKind.GOODBYE, now_us)
        if reason not in (DisconnectReason.REVOKED, DisconnectReason.STOPPED):
            self._missing[connection.agent.id] = connection
        return None

    def find_duplicates(self, heartbeat_s: int) -> list[AgentConnection]:
        """Visits of agents that speak in two sessions at once: an older one was still heard two
        beats after a newer one came, which a half-open leftover never is. Each but once."""
        duplicates = []
        for connections in self._connections.values():
            for older, newer in pairwise(connections):
                late_us = older.last_heard_us - newer.arrived_us
                if late_us > 2 * heartbeat_s * 1_000_000 and not (
                    older.is_duplicate and newer.is_duplicate
                ):
                    older.is_duplicate = newer.is_duplicate = True
                    duplicates += [older, newer]
        return duplicates

    def find_lost(self, now_us: int, heartbeat_s: int) -> list[AgentConnection]:
        """List agents that are silent too long, until `confirm_lost` or their return."""
        return [
            connection
            for connection in self._missing.values()
            if connection.silent_at_us(heartbeat_s) <= now_us
        ]

    def restart_silence(self, now_us: int) -> None:
        """We stood still until now: everybody gets a whole span of silence from here."""
        for connection in (*self, *self._missing.values()):
            connection.silence_from_us = now_us

    def confirm_lost(self, lost: Sequence[AgentConnection]) -> None:
        """Their losses are written down."""
        for connection in lost:
            if self._missing.get(connection.agent.id) is connection:
                del self._missing[connection.agent.id]

    def count_links(self) -> Counter[tuple[str, int, str, Link]]:
        """How many volunteers' vantages per (country, network, access) say what of their link."""
        newest_connections = [
            v[-1]
            for v in self._connections.values()
            if v[-1].agent.result_role == AgentRole.VOLUNTEER
        ]
        vantage_links = ((connection.vantage, connection.link) for connection in newest_connections)
        return Counter(
            (vantage.country, vantage.asn, vantage.access, link) for vantage, link in vantage_links
        )

    def control_links(self) -> list[Link]:
        """What each connected control says of its link."""
        newest_connections = (connections[-1] for connections in self._connections.values())
        return [
            connection.link
            for connection in newest_connections
            if connection.agent.role == AgentRole.CONTROL
        ]

    def count_by_role(self) -> Counter[str]:
        """Live agents by role."""
        return Counter(connections[-1].agent.role for connections in self._connections.values())


def silence_limit_us(heartbeat_s: int) -> int:
    return int(SILENCE_HEARTBEATS * heartbeat_s * 1_000_000)
