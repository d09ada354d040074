"""Presence of agents: sessions, goodbyes and losses.

States of an agent: *connected* (at least one session), *missing* (its last session ended, but not
by a final goodbye, a revocation or the collector's stop), *lost* (missing and silent for 2.5
heartbeats, or 2.5 polls, which are 62.5 s; a row records it), *gone* (final goodbye; a row records
it). A new session returns any of them to *connected*. A missing agent that returns in time is never
lost, whatever ended its session. `pause_silence` extends all timers by a stall of the collector.
The module is pure except that it wakes sessions that must end.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain, pairwise

from heliograph.observation import Link
from heliograph.units import DAY_US, SECOND_US
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet.entrances import SESSION
from heliograph_collector.fleet.registry import AgentSighting, EnrolledAgent
from heliograph_collector.fleet.session_records import SessionEnd
from heliograph_collector.ingest.geo.lookup import PeerLocation
from heliograph_collector.model.records import AgentRole, JournalRow, RowKind, Vantage
from heliograph_collector.model.seniority import Seniority, find_seniority

SILENCE_HEARTBEATS = 2.5  # until a session counts as silent; assumed: one heartbeat may be lost
MAX_CONNECTIONS_PER_AGENT = 4  # half-open sessions of one agent; the oldest is ended first
_RETURNING_REASON = "network_change"  # reason of a goodbye before a return
# A living session sends every 15 s. Later than that it may be our own kernel that gives a dead
# line up: with unconfirmed data after 20 s at the earliest (gRFC A18, `grpc.keepalive_timeout_ms`).
_CLOSED_US = 17 * SECOND_US
_MAX_WORD = 32  # characters of a goodbye's reason; assumed, the longest of ours has 14


class DisconnectReason(StrEnum):
    """Reason for the end of a session."""

    GOODBYE = "goodbye"
    CLOSED = "closed"  # the stream broke off
    SILENT = "silent"
    RENEWED = "renewed"  # ended by the collector because of its age
    REPLACED = "replaced"  # the agent opened a newer session
    REVOKED = "revoked"
    SLOW = "slow"  # the agent did not read its messages
    MISBEHAVED = "misbehaved"
    STOPPED = "stopped"  # the collector stops


@dataclass(slots=True, eq=False)
class AgentConnection:
    """One session of one authenticated agent."""

    agent: EnrolledAgent
    location: PeerLocation
    hello: pb.Hello
    last_heard_us: int  # monotonic, as all times here
    outbox: "asyncio.Queue[pb.CollectorMessage | None]"
    carrier: str = SESSION  # and the entrance, where it is known
    link: Link = Link.UNKNOWN
    queued_count: int = 0  # envelopes in its spool, by its last heartbeat
    clock_ahead_us: int = 0  # the agent's clock before ours, by its last heartbeat
    plan_version: int = 0
    charter_version: int = 0
    arrived_us: int = field(init=False)
    row_us: int = 0  # `received_us` of the row of its arrival, by which others find it
    interval_percent: int = 0  # of its plan's, as wanted; 0: not decided (`ingest.pacing`)
    told_percent: int = 0  # … as last sent to its agent in this session
    told_us: int = 0
    told_states: bytes = b""  # of the findings that were last sent to its agent
    is_cloned: bool = False  # already reported: another machine uses the key at the same time
    silence_from_us: int = 0  # earliest start of its silence: the collector was stalled before
    end_reason: DisconnectReason | None = None
    departure: tuple[DisconnectReason, str] | None = None  # and the reason of its goodbye
    ended_us: int = 0
    read_timeout: asyncio.Timeout | None = None  # of the present read
    vantage: Vantage = field(init=False)  # computed once, as every heartbeat needs it

    def __post_init__(self) -> None:
        self.vantage = Vantage.from_peer(self.location.country, self.location.asn, self.hello)
        self.arrived_us = self.last_heard_us

    @property
    def network(self) -> tuple[str, int, str]:
        """Return its country, AS and type of access."""
        return self.vantage.country, self.vantage.asn, self.vantage.access

    def silent_at_us(self, heartbeat_s: int) -> int:
        """Return the time at which the agent will have been silent for too long.

        A session by polls brings a heartbeat with each poll.
        """
        return max(self.last_heard_us, self.silence_from_us) + self._silence_limit_us(heartbeat_s)

    def is_unheard(self, now_us: int, heartbeat_s: int) -> bool:
        """Return whether the last message is too old, even if the collector stalled."""
        return self.last_heard_us + self._silence_limit_us(heartbeat_s) <= now_us

    def _silence_limit_us(self, heartbeat_s: int) -> int:
        return silence_limit_us(max(heartbeat_s, self.hello.poll_s))

    def offer(self, message: pb.CollectorMessage) -> bool:
        """Queue a message; return False where the agent does not read what waits already."""
        if self.outbox.full():
            return False
        self.outbox.put_nowait(message)
        return True

    def end(self, reason: DisconnectReason) -> None:
        """Wake the task of this session to end it for this reason."""
        self.end_reason = self.end_reason or reason
        self.wake()

    def wake(self) -> None:
        """End the read of this session, which then finds the reason."""
        if self.read_timeout is not None and not self.read_timeout.expired():
            self.read_timeout.reschedule(asyncio.get_running_loop().time())

    def build_sighting(self, wall_us: int) -> AgentSighting:
        return AgentSighting(
            agent=self.agent.id,
            at_s=wall_us // 1_000_000,
            version=self.hello.agent_version[:64],
            country=self.vantage.country,
            asn=self.vantage.asn,
            access=self.vantage.access,
            charter=min(self.hello.charter_version, 2**31),
        )

    def build_row(self, kind: RowKind, received_us: int, heard_us: int = 0) -> JournalRow:
        """Build a presence row, whose body is the hello with region, access and epoch."""
        if kind is RowKind.ARRIVAL and not self.row_us:
            self.row_us = received_us
        return JournalRow(
            kind=kind,
            agent=self.agent.id,
            received_us=received_us,
            country=self.location.country,
            asn=self.location.asn,
            prefix=self.location.name_days([received_us // DAY_US]),
            role=AgentRole(self.agent.result_role),
            carrier=self.carrier,
            body=self.hello.SerializeToString(),
            heard_us=heard_us,
            since_s=self.agent.created_s,
        )

    def build_lost_row(self, wall_us: int, monotonic_us: int) -> JournalRow:
        """Build the row of a loss, with the times of its end on the present wall clock."""
        ahead_us = wall_us - monotonic_us
        row = self.build_row(RowKind.LOST, wall_us, self.last_heard_us + ahead_us)
        return replace(row, closed_us=self.ended_us + ahead_us) if self._was_closed else row

    @property
    def _was_closed(self) -> bool:
        """Return whether a peer, or a forger of its packets, closed the session.

        A session by polls has no such close.
        """
        is_close = self.departure is not None and self.departure[0] is DisconnectReason.CLOSED
        is_prompt = self.ended_us - self.last_heard_us <= _CLOSED_US
        return is_close and is_prompt and self.ended_us > 0 and not self.hello.poll_s


@dataclass(slots=True)
class ConnectionTable:
    """Open sessions by agent, and missing agents."""

    _connections: dict[bytes, list[AgentConnection]] = field(default_factory=dict)
    _missing: dict[bytes, AgentConnection] = field(default_factory=dict)
    _count: int = 0  # sessions; kept because every arrival reads it
    _several: set[bytes] = field(default_factory=set)  # agents that have had two sessions at once

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[AgentConnection]:
        return iter(list(chain.from_iterable(self._connections.values())))

    def list_of_agents(self, agents: Iterable[bytes]) -> list[AgentConnection]:
        return list(chain.from_iterable(self._connections.get(agent, ()) for agent in agents))

    def add(self, connection: AgentConnection) -> None:
        connections = self._connections.setdefault(connection.agent.id, [])
        if len(connections) >= MAX_CONNECTIONS_PER_AGENT:
            connections[0].end(DisconnectReason.REPLACED)
        connections.append(connection)
        if len(connections) > 1:
            self._several.add(connection.agent.id)
        self._count += 1
        self._missing.pop(connection.agent.id, None)

    def build_end(self, connection: AgentConnection, wall_us: int) -> SessionEnd | None:
        """Build the record of a removed session's end, None while its agent has another."""
        if connection.departure is None or connection.agent.id in self._connections:
            return None
        reason, goodbye_reason = connection.departure
        return SessionEnd(
            agent=connection.agent.id,
            at_s=wall_us // SECOND_US,
            reason=reason.value,
            goodbye_reason=goodbye_reason[:_MAX_WORD],
            plan=min(connection.hello.plan_version, 2**31),
            clock_ahead_s=connection.clock_ahead_us // SECOND_US,
        )

    def remove(
        self,
        connection: AgentConnection,
        reason: DisconnectReason,
        goodbye_reason: str,
        now_us: int,
    ) -> JournalRow | None:
        """Remove a session and return the row of its goodbye, if it was one.

        The newest session decides for the agent. Its goodbye also ends older half-open sessions,
        say from another network, so that they do not become silent later. A session of another
        machine that uses the key (`find_cloned`) stays open: no other says goodbye in its place.
        """
        connections = self._connections.get(connection.agent.id, [])
        if connection not in connections:
            return None
        connection.departure = reason, goodbye_reason
        is_newest = connections[-1] is connection
        connections.remove(connection)
        self._count -= 1
        is_final = reason is DisconnectReason.GOODBYE and goodbye_reason != _RETURNING_REASON
        is_used_elsewhere = any(c.is_cloned for c in connections)
        if connections and (is_used_elsewhere or not (is_final and is_newest)):
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

    def find_cloned(self, heartbeat_s: int) -> list[AgentConnection]:
        """Find sessions of agents that use two at once; report each only once.

        If an older session sends a message two heartbeats after a newer one began, it is in use: a
        half-open session never is.
        """
        cloned = []
        for agent in list(self._several):
            connections = self._connections.get(agent, [])
            if len(connections) < 2:
                self._several.discard(agent)
            for older, newer in pairwise(connections):
                late_us = older.last_heard_us - newer.arrived_us
                if late_us > 2 * heartbeat_s * 1_000_000 and not (
                    older.is_cloned and newer.is_cloned
                ):
                    older.is_cloned = newer.is_cloned = True
                    cloned += [older, newer]
        return cloned

    def find_lost(self, now_us: int, heartbeat_s: int) -> list[AgentConnection]:
        """List agents that are silent too long, until `confirm_lost` or their return."""
        return [c for c in self._missing.values() if c.silent_at_us(heartbeat_s) <= now_us]

    def pause_silence(self, stalled_us: int, now_us: int) -> None:
        """Extend all silence timers by a stall of the collector, which received nothing.

        They are not restarted: an attacker who stalls the collector repeatedly would blind it.
        """
        for connection in (*self, *self._missing.values()):
            since_us = max(connection.last_heard_us, connection.silence_from_us)
            connection.silence_from_us = min(since_us + stalled_us, now_us)

    def confirm_lost(self, lost: Sequence[AgentConnection]) -> None:
        """Forget missing agents whose losses are recorded."""
        for connection in lost:
            if self._missing.get(connection.agent.id) is connection:
                del self._missing[connection.agent.id]

    def count_links(self, now_us: int | None = None) -> Counter[tuple[str, int, str, Link]]:
        """Count volunteers' vantages by (country, network, access, link state).

        With the time of the wall clock, those that are new then do not count, as in any cell.
        """
        return Counter(
            (*c.network, c.link)
            for c in self.list_newest()
            if c.agent.result_role == AgentRole.VOLUNTEER
            and (now_us is None or find_seniority(c.agent.created_s * SECOND_US, now_us).has_vote)
        )

    def count_established_links(self, now_us: int) -> Counter[tuple[str, int, str, Link]]:
        """Count as `count_links`, but persons: lines with an established vantage.

        A line has the link state of one of its vantages.
        """
        days = [now_us // DAY_US]
        links = {
            (c.network, c.location.name_days(days)): c.link
            for c in self.list_newest()
            if c.agent.result_role == AgentRole.VOLUNTEER
            and find_seniority(c.agent.created_s * SECOND_US, now_us) is Seniority.ESTABLISHED
        }
        return Counter((*place, link) for (place, _), link in links.items())

    def control_links(self) -> list[Link]:
        """Return the link state of each connected control."""
        sessions = self._connections.values()
        return [each[-1].link for each in sessions if each[-1].agent.role == AgentRole.CONTROL]

    def count_by_role(self) -> Counter[str]:
        """Count connected agents by role."""
        return Counter(c.agent.role for c in self.list_newest())

    def list_newest(self) -> Iterator[AgentConnection]:
        """Return the newest session of each connected agent."""
        return (connections[-1] for connections in self._connections.values())


def silence_limit_us(heartbeat_s: int) -> int:
    return int(SILENCE_HEARTBEATS * heartbeat_s * 1_000_000)
