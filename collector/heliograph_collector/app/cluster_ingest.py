"""The ingest hosts of a cluster, as the collector that leads them sees them.

Each host reports its sessions (`session_report`); here is a mirror of all of them, and here alone
it is decided which agent is silent (`host_board`). Rows that an agent causes itself (an arrival, a
goodbye, an envelope) are the hosts'; a start, a loss and a fault are written here.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from heliograph.clock import Clock
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.app.cluster_messages import (
    ORDER,
    REPORT,
    HostOrder,
    HostReport,
    MessageError,
    Resync,
    decode_report,
    encode,
)
from heliograph_collector.app.host_board import HostBoard, UnknownAgent, UnknownTimes
from heliograph_collector.app.ingest_messages import (
    Departure,
    SessionRecord,
    SessionsChanged,
    SessionState,
)
from heliograph_collector.app.remote_ingest import (
    HostMirror,
    RemoteSession,
    accept_elsewhere,
    build_pace,
    find_bad_measurements,
)
from heliograph_collector.app.session_search import SessionSearch
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.collector_faults import (
    COLLECTOR,
    MIN_STALL_US,
    SuspectedFault,
    TimeSpan,
    build_fault_row,
    build_host_row,
    is_cut_off,
    read_clocks,
    run_alive_marks,
    update_fault,
)
from heliograph_collector.ingest.geo.lookup import GeoLookup
from heliograph_collector.ingest.pacing import JudgeLoad
from heliograph_collector.ingest.presence import ConnectionTable, DisconnectReason
from heliograph_collector.ingest.role_changes import update_lost
from heliograph_collector.model.line_names import choose_name
from heliograph_collector.model.records import Block, JournalRow, RowKind
from heliograph_collector.model.signals import FaultReason
from heliograph_collector.store.journal.journal import JournalError

if TYPE_CHECKING:
    from heliograph_collector.store.journal.jetstream.bus import Bus
    from heliograph_collector.store.journal.jetstream.journal import JetStreamJournal

TICK_S = 1.0  # as often as ingest in this process looks for lost agents
MAX_ORDERS = 100_000  # that wait to be sent
log = logging.getLogger("heliograph.intake")


class ClusterIngest:
    """Ingest as `Workers` wants it, on any number of hosts."""

    port = 0  # no listener here

    def __init__(
        self,
        bus: "Bus",
        journal: "JetStreamJournal",
        directory: AgentDirectory,
        geo: GeoLookup,
        clock: Clock,
    ) -> None:
        self.directory = directory
        self.geo = geo
        self.connections = ConnectionTable()
        self.board = HostBoard()
        self._bus = bus
        self._journal = journal
        self._clock = clock
        self._hosts: dict[str, HostMirror] = {}
        self._batches: dict[bytes, int | None] = {}
        self._orders: asyncio.Queue[tuple[str, HostOrder]] = asyncio.Queue(MAX_ORDERS)
        self._numbers = count(1)
        self._rows: list[JournalRow] = []  # to be written
        self._spans: list[TimeSpan] = []  # in which the journal stored nothing
        self._network_fault: SuspectedFault | None = None
        self._all_lost_us: int | None = None  # when the last of all hosts was lost; wall clock
        self._unknown_times = UnknownTimes()
        self._is_takeover = True  # hosts watched before the start that may continue
        self._search = SessionSearch(journal, self.board, self.connections)
        self._last_reading = read_clocks(clock)

    @property
    def block_listener(self) -> "ClusterIngest":
        return self

    def on_block(self, block: Block) -> None:
        """Tell the hosts of measurements that could not be decoded; one of them counts it."""
        bad_measurements = find_bad_measurements(block)
        host = next(iter(self._hosts.values()), None)
        if bad_measurements is not None and host is not None:
            host.offer(bad_measurements)

    def set_pace(self, load: JudgeLoad, open_countries: Collection[str]) -> None:
        """Let the hosts decide how often each connected volunteer is to test."""
        pace = build_pace(load, open_countries)
        for host in self._hosts.values():
            host.offer(pace)

    def remaining_batches(self, agent: bytes) -> int | None:
        """Return how many batches an agent may still send, None before its first."""
        return self._batches.get(agent)

    def problems(self) -> list[str]:
        """Return a sentence while no silence is reported because hosts are missing."""
        now_us = self._clock.monotonic_us()
        if self.board.is_trusted(now_us):
            return []
        if not len(self.board):
            return ["No ingest host is heard."]
        unheard = self.board.count_unheard(now_us)
        return [f"{unheard} of {len(self.board)} ingest hosts are not heard."]

    async def accept(self, envelope: bytes, forwarded_for: str, *, elsewhere: bool) -> pb.Receipt:
        """Let one of the hosts accept an envelope from the HTTP server."""
        return await accept_elsewhere(
            self._bus, next(self._numbers), envelope, forwarded_for, elsewhere=elsewhere
        )

    async def start(self) -> None:
        """Write the row of a start: all agents are awaited. Raises JournalError."""
        self._all_lost_us = self._journal.alive_before_us
        self._await_all(self._all_lost_us)
        await self._write_rows()
        for host in await self._journal.hosts.list_all():
            self.board.expect(host, self._clock.monotonic_us())

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take_reports())
            group.create_task(self._send_orders())
            group.create_task(self._journal.hosts.run())
            group.create_task(run_alive_marks(self._journal, self._clock, self._spans))
            while True:
                await asyncio.sleep(TICK_S)
                await self.judge()

    async def judge(self) -> None:
        """Decide on hosts and agents as of now, and write what follows."""
        self._extend_deadlines()
        if self._bus.is_connected:
            self._judge_hosts()
            await self._search.learn(self._last_reading)
            await self._write_rows()

    async def _take_reports(self) -> None:
        async for host, content in self._bus.listen(f"{REPORT}.*"):
            try:
                await self.take(host, decode_report(content))
            except MessageError as error:
                log.warning("A report of ingest host %s is not understood: %s", host, error)

    async def _send_orders(self) -> None:
        while True:
            host, order = await self._orders.get()
            await self._bus.publish(f"{ORDER}.{host}", encode(order))

    async def take(self, host: str, report: HostReport) -> None:
        """Take a report of a host."""
        now_us = self._clock.monotonic_us()
        await self._journal.note_position(report.position)
        self._journal.hosts.note(host, report.ranges_applied)
        is_new = host not in self._hosts
        mirror = self._hosts.setdefault(host, HostMirror(host, self._orders))
        is_whole = report.open_keys is not None
        if not self.board.note(host, report.number, is_whole=is_whole, now_us=now_us):
            mirror.offer(Resync(with_past=not mirror.has_told_past))
            return
        if self._all_lost_us is not None:
            self._await_all(self._all_lost_us)
            self._all_lost_us = None
        if is_new:  # its next reports may have waited: their agents' rows precede the start's
            mirror.offer(Resync(with_past=True))
        self._follow_report(mirror, report, now_us)
        if report.is_last:
            self._lose_host(host, now_us)

    def _follow_report(self, mirror: HostMirror, report: HostReport, now_us: int) -> None:
        ahead_us = now_us - report.at_us
        if report.is_again:
            self._search.note_told(now_us)
        if report.open_keys is not None:
            self._keep_only(mirror, set(report.open_keys))
        if report.is_past:
            mirror.has_told_past = True
        if report.sessions is not None and report.is_past:
            self._search.add_past(report.sessions, mirror, ahead_us)
        elif report.sessions is not None:
            self._follow(mirror, report.sessions, ahead_us, is_new=not report.is_again)

    def _keep_only(self, mirror: HostMirror, keys: set[int]) -> None:
        """End sessions that ended unnoticed: nobody knows when."""
        for key in [key for key in mirror.sessions if key not in keys]:
            self._end_unnoticed(mirror, key)

    def _end_unnoticed(self, mirror: HostMirror, key: int) -> None:
        session = mirror.sessions.pop(key)
        agent = session.agent.id
        sessions = self.connections.list_of_agents([agent])
        # By arrival, and not by report: a host that reports again has old sessions too.
        is_newest = session.arrived_us >= max(each.arrived_us for each in sessions)
        self.connections.remove(session, DisconnectReason.STOPPED, "", 0)
        if is_newest:  # an older one elsewhere is half-open, and ends soon
            self._batches.pop(agent, None)
            country = session.vantage.country
            reading = read_clocks(self._clock)
            unknown = UnknownAgent(agent, country, reading.monotonic_us, session.arrived_us)
            self.board.add_unknown([unknown])
            self._begin_gap({country: reading.wall_us})

    def _begin_gap(self, since_us: Mapping[str, int]) -> None:
        """Report to coverage the countries with unknown agents, each since a time."""
        if self._all_lost_us is None:  # else all agents are awaited, which has its own gap
            self._unknown_times.begin(since_us)

    def _follow(
        self, mirror: HostMirror, report: SessionsChanged, ahead_us: int, *, is_new: bool
    ) -> None:
        for record in report.added:
            self._begin(mirror, record, ahead_us, is_new=is_new)
        # A goodbye first: it ends the agent's other sessions, which then leave nobody missing.
        for departure in sorted(report.departures, key=_is_no_goodbye):
            self._end(mirror, departure, ahead_us)
        for key in report.ended:
            if key in mirror.sessions:
                self._end_unnoticed(mirror, key)
        for key, agent in report.agents:
            if key in mirror.sessions:
                mirror.sessions[key].agent = agent
        self._follow_states(mirror, report.states)

    def _end(self, mirror: HostMirror, departure: Departure, ahead_us: int) -> None:
        """End a session; a stop of its host is no evidence on the agent."""
        session = mirror.sessions.get(departure.key)
        if session is None or departure.reason == DisconnectReason.STOPPED:
            return
        del mirror.sessions[departure.key]
        session.last_heard_us = departure.heard_us + ahead_us
        session.ended_us = departure.ended_us and departure.ended_us + ahead_us
        reason = DisconnectReason(departure.reason)
        if reason is not DisconnectReason.GOODBYE and self.board.is_unknown(session.agent.id):
            reason = DisconnectReason.STOPPED
        self.connections.remove(session, reason, departure.goodbye_reason, 0)
        self.directory.record_end(self.connections.build_end(session, self._clock.wall_us()))
        self._batches.pop(session.agent.id, None)

    def _follow_states(self, mirror: HostMirror, states: Sequence[SessionState]) -> None:
        for state in states:
            session = mirror.sessions.get(state.key)
            if session is not None:
                session.follow(state)
                self._batches[session.agent.id] = state.remaining_batches

    def _begin(
        self, mirror: HostMirror, record: SessionRecord, ahead_us: int, *, is_new: bool
    ) -> None:
        self.board.note_present(record.agent.id, record.arrived_us + ahead_us)
        session = mirror.sessions.get(record.key)
        if session is None:
            session = mirror.sessions[record.key] = RemoteSession.mirror(record, mirror, ahead_us)
            self._search.note_session(session)
            self.connections.add(session)
            self.directory.record_sighting(session.build_sighting(self._clock.wall_us()))
        if not is_new or record.was_unheard:  # it may have been awaited, or given up
            now_us = self._clock.wall_us()
            arrived_us = now_us - (self._clock.monotonic_us() - session.arrived_us)
            row = session.build_row(RowKind.ARRIVAL, now_us, min(arrived_us, now_us))
            self._rows.append(_name_line(row))

    def _extend_deadlines(self) -> None:
        """Add a time in which this process stood still, or had no server, to all others."""
        previous = self._last_reading
        self._last_reading = reading = read_clocks(self._clock)
        elapsed_us = reading.monotonic_us - previous.monotonic_us
        if elapsed_us >= MIN_STALL_US or not self._bus.is_connected:
            self.board.extend_deadlines(elapsed_us, reading.monotonic_us)
            self.connections.pause_silence(elapsed_us, reading.monotonic_us)

    def _judge_hosts(self) -> None:
        reading = self._last_reading
        wall_us = reading.wall_us
        for host, heard_us in self.board.take_dead(reading.monotonic_us).items():
            log.warning("Ingest host %s is not heard any more.", host)
            self._lose_host(host, heard_us)
        start_us = self.board.find_due_start(reading.monotonic_us, self._all_lost_us)
        if start_us is not None:
            self._await_all(start_us)
            for mirror in self._hosts.values():  # detectors may await those too who have arrived
                mirror.offer(Resync())
        for unknown in self.board.take_given_up(reading.monotonic_us):
            if not self.connections.list_of_agents([unknown.agent]):
                self._rows.append(unknown.build_goodbye(wall_us))
        self._begin_gap(self._search.note_withheld(reading, self.directory.heartbeat_s))
        countries = self.board.list_unknown_countries(reading.monotonic_us)
        for country, unknown_time in self._unknown_times.list_changes(countries, wall_us).items():
            self._rows.append(build_host_row(unknown_time, country, wall_us))
        is_failing = is_cut_off(self.connections.control_links())
        self._network_fault, span = update_fault(self._network_fault, is_failing, wall_us)
        self._rows += [build_fault_row("probe", span)] if span else []
        self._rows += [build_fault_row("stalled", stalled) for stalled in self._spans]
        self._spans.clear()

    def _await_all(self, heard_us: int) -> None:
        """Let all agents be awaited since a time; a start of the same time continues."""
        self._rows.append(self._build_start_row(heard_us))
        self.board.note_start(heard_us, self._clock.monotonic_us())
        if self._all_lost_us is not None:  # else some have arrived since, and may not be awaited
            self.board.clear_unknown()

    def _lose_host(self, host: str, heard_us: int) -> None:
        """Mark the agents of a host as unknown, also in coverage."""
        self.board.remove(host)
        mirror = self._hosts.pop(host, None)
        reading = read_clocks(self._clock)
        since_us = reading.wall_us - (reading.monotonic_us - heard_us)
        if not len(self.board) and self._all_lost_us is None:
            self._all_lost_us = since_us
            self._is_takeover = False
        if mirror is None:
            return
        countries = {session.vantage.country for session in mirror.sessions.values()}
        for key in list(mirror.sessions):
            self._end_unnoticed(mirror, key)
        self.board.note_doubt(countries)
        self._rows += [
            build_fault_row("stalled", TimeSpan(since_us, reading.wall_us), country)
            for country in sorted(countries)
        ]
        self._begin_gap(dict.fromkeys(countries, since_us))

    async def _write_rows(self) -> None:
        """Write the decided rows and the losses; repeat failed writes."""
        reading = self._last_reading
        lost = []
        if self._all_lost_us is None:
            lost = self._search.find_lost(reading, self.directory.heartbeat_s)
        losses = [
            _name_line(connection.build_lost_row(reading.wall_us, reading.monotonic_us))
            for connection in update_lost(lost, self.directory)
        ]
        rows = [*self._rows, *losses]
        if not rows:
            return
        try:
            await self._journal.append(rows)
        except JournalError as error:
            log.error("%d rows of presence are not written: %s", len(rows), error)
        else:
            del self._rows[: len(rows) - len(losses)]
            self.connections.confirm_lost(lost)

    def _build_start_row(self, heard_us: int) -> JournalRow:
        now_us = self._clock.wall_us()
        return JournalRow(
            kind=RowKind.START,
            agent=COLLECTOR,
            received_us=now_us,
            heard_us=min(heard_us, now_us),
            carrier=FaultReason.TAKEOVER.value if self._is_takeover else "",
        )


def _name_line(row: JournalRow) -> JournalRow:
    return replace(row, prefix=choose_name(row.prefix, row.received_us))


def _is_no_goodbye(departure: Departure) -> bool:
    return departure.reason != DisconnectReason.GOODBYE
