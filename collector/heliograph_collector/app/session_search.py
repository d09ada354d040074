"""Find sessions that a new leader missed, and agents at hosts that died silently.

Theory of operation. While none leads, hosts continue to watch their sessions. A new leader asks
each for those that ended lately, and takes them up once every host has reported its open sessions:
an agent that is at another host by then is there. So a country that is cut while leaders change is
missed as soon as all have reported.

A host that dies before it reported to this leader may hold any agent. But its agents' arrivals are
in the journal. An agent all of whose arrivals living hosts have reported is not at the dead one,
and is missed when it falls silent.
"""

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from heliograph.units import SECOND_US
from heliograph_collector.app.host_board import HostBoard
from heliograph_collector.app.ingest_messages import SessionsChanged
from heliograph_collector.app.remote_ingest import MessageCarrier, RemoteSession
from heliograph_collector.ingest.collector_faults import ClockReading
from heliograph_collector.ingest.presence import (
    AgentConnection,
    ConnectionTable,
    DisconnectReason,
)
from heliograph_collector.store.journal.journal import JournalError

if TYPE_CHECKING:
    from heliograph_collector.store.journal.jetstream.journal import JetStreamJournal

TOLD_US = 2 * SECOND_US  # assumed; a host sends its open sessions in several reports at once
ARRIVALS_US = 300 * SECOND_US  # before a death; a session that an agent left ends far earlier
log = logging.getLogger("heliograph.intake")


class SessionSearch:
    """Finds missing agents, as far as the hosts' sessions are known."""

    def __init__(
        self, journal: "JetStreamJournal", board: HostBoard, connections: ConnectionTable
    ) -> None:
        self._journal = journal
        self._board = board
        self._connections = connections
        self._past: list[tuple[RemoteSession, DisconnectReason, str]] = []
        self._told_us = 0  # when a host last reported open sessions; monotonic
        self._arrivals: defaultdict[bytes, set[int]] = defaultdict(set)  # by agent, as written
        self._told: defaultdict[bytes, set[int]] = defaultdict(set)  # … and as hosts reported
        self._blind_until_us = 0  # the board's, when the arrivals were read
        self._discard_us = 0  # when to forget old ones next

    def note_told(self, now_us: int) -> None:
        """Take note that a host lists open sessions, and may list more in its next report."""
        self._told_us = now_us

    def note_session(self, session: RemoteSession) -> None:
        """Note a session that a host reported for the first time."""
        self._told[session.agent.id].add(session.row_us)

    def add_past(self, changes: SessionsChanged, host: MessageCarrier, ahead_us: int) -> None:
        """Keep sessions of a host that ended; `ahead_us` is added to its clock."""
        departures = {departure.key: departure for departure in changes.departures}
        for record in changes.added:
            session = RemoteSession.mirror(record, host, ahead_us)
            self.note_session(session)
            departure = departures[record.key]
            session.last_heard_us = departure.heard_us + ahead_us
            session.ended_us = departure.ended_us and departure.ended_us + ahead_us
            reason = DisconnectReason(departure.reason)
            self._past.append((session, reason, departure.goodbye_reason))

    async def learn(self, reading: ClockReading) -> None:
        """Take up ended sessions, and the agents that may be at a dead host."""
        if self._board.has_all_told() and reading.monotonic_us - self._told_us >= TOLD_US:
            self._follow_past()
        if self._board.blind_until_us > max(self._blind_until_us, reading.monotonic_us):
            await self._read_arrivals(reading.wall_us - ARRIVALS_US)
        if reading.monotonic_us >= self._discard_us:
            self._discard_us = reading.monotonic_us + ARRIVALS_US
            self._discard_told(reading.wall_us - 2 * ARRIVALS_US)

    def find_lost(self, reading: ClockReading, heartbeat_s: int) -> list[AgentConnection]:
        """Find agents that are silent too long; skip those that may be at a dead host."""
        if not self._board.is_trusted(reading.monotonic_us):
            return []
        lost = self._connections.find_lost(reading.monotonic_us, heartbeat_s)
        if not self._board.is_blind(reading.monotonic_us):
            return lost
        if self._board.blind_until_us > self._blind_until_us:
            return []
        return [c for c in lost if self._arrivals[c.agent.id] <= self._told[c.agent.id]]

    def note_withheld(self, reading: ClockReading, heartbeat_s: int) -> dict[str, int]:
        """Note countries in doubt: their silent agents may be at a dead host.

        Returns by country the time of the earliest last message; wall clock.
        """
        if not self._board.is_blind(reading.monotonic_us):
            return {}
        since_us: dict[str, int] = {}
        lost_sessions = set(self.find_lost(reading, heartbeat_s))
        for connection in self._connections.find_lost(reading.monotonic_us, heartbeat_s):
            if connection not in lost_sessions:
                unheard_us = reading.monotonic_us - connection.last_heard_us
                country = connection.vantage.country
                earliest_us = since_us.get(country, reading.wall_us)
                since_us[country] = min(earliest_us, reading.wall_us - unheard_us)
        self._board.note_doubt(since_us)
        return since_us

    def _follow_past(self) -> None:
        """End the sessions of agents that are nowhere now; the newest decides.

        An agent may be at a host without reports: then nothing is known of it.
        """
        for session, reason, goodbye_reason in sorted(self._past, key=_arrived_us):
            agent = session.agent.id
            is_newest = session.row_us >= max(self._told[agent], default=0)
            is_elsewhere = self._connections.list_of_agents([agent]) or self._board.is_unknown(
                agent
            )
            if is_newest and not is_elsewhere:
                self._connections.add(session)
                self._connections.remove(session, reason, goodbye_reason, 0)
        self._past.clear()

    async def _read_arrivals(self, since_us: int) -> None:
        """Read recent arrivals, once for each host that died without a complete report."""
        blind_until_us = self._board.blind_until_us
        try:
            rows = await self._journal.read_arrivals(since_us)
        except JournalError as error:
            log.warning("The arrivals at a dead host are not known yet: %s", error)
            return
        self._blind_until_us = blind_until_us
        self._arrivals.clear()
        for row in rows:
            if not row.heard_us:  # else a leader wrote again what a host reported
                self._arrivals[row.agent].add(row.received_us)

    def _discard_told(self, before_us: int) -> None:
        """Forget sessions that began too long ago to be among arrivals."""
        for agent, told in list(self._told.items()):
            told.difference_update([at_us for at_us in told if at_us < before_us])
            if not told:
                del self._told[agent]


def _arrived_us(past: tuple[RemoteSession, DisconnectReason, str]) -> int:
    return past[0].arrived_us
