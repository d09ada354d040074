"""The ingest stage of another process, as the stages of this one see it.

Sessions are mirrored: a `ConnectionTable` here has one session for each there, a second late. What
is offered to one travels there. Enrolled agents are read from fleet.db, as everywhere.
"""

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Protocol

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from heliograph.observation import Link
from heliograph.units import SECOND_US
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.app.cluster_messages import ACCEPT, HostOrder, encode
from heliograph_collector.app.ingest_messages import (
    Accept,
    Accepted,
    BadMeasurements,
    Committed,
    IngestMessage,
    MetricsReport,
    Offer,
    Pace,
    SessionRecord,
    SessionsChanged,
    SessionState,
    decode_message,
)
from heliograph_collector.app.ingest_supervisor import IngestSupervisor
from heliograph_collector.fleet.registry import AgentSighting
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.geo.lookup import GeoLookup
from heliograph_collector.ingest.pacing import JudgeLoad
from heliograph_collector.ingest.presence import AgentConnection, ConnectionTable, DisconnectReason
from heliograph_collector.model.records import Block
from heliograph_collector.store.journal.journal import JournalError
from heliograph_collector.store.journal.shared_journal import SharedJournal

if TYPE_CHECKING:
    from heliograph_collector.store.journal.jetstream.bus import Bus

ACCEPT_S = 30.0  # as long as an append to the journal may take
_RETRY_S = 5
# One for all mirrored sessions: a message for one travels by its process.
_UNUSED_OUTBOX: asyncio.Queue[pb.CollectorMessage | None] = asyncio.Queue(1)
BUSY = pb.Receipt(status=pb.STATUS_RETRY, retry_after_s=_RETRY_S)


class MessageCarrier(Protocol):
    """The way to the process that holds a session."""

    def offer(self, message: Offer) -> bool:
        """Send at once; return False if that process is not there, or does not read."""
        ...


@dataclass(slots=True, eq=False, kw_only=True)
class RemoteSession(AgentConnection):
    """A session that another process holds; nothing is put into its own outbox."""

    key: int
    process: MessageCarrier

    def offer(self, message: pb.CollectorMessage) -> bool:
        return self.process.offer(Offer(key=self.key, message=message.SerializeToString()))

    @classmethod
    def mirror(
        cls, record: SessionRecord, process: MessageCarrier, ahead_us: int = 0
    ) -> "RemoteSession":
        """Mirror a reported session; `ahead_us` is added to the other process's clock."""
        return cls(
            agent=record.agent,
            location=record.location,
            hello=pb.Hello.FromString(record.hello),
            last_heard_us=record.arrived_us + ahead_us,
            row_us=record.row_us,
            carrier=record.carrier,
            outbox=_UNUSED_OUTBOX,
            key=record.key,
            process=process,
        )

    def follow(self, state: SessionState) -> None:
        self.link = Link(state.link)
        self.queued_count = state.queued_count
        self.plan_version = state.plan_version

    def build_sighting(self, wall_us: int) -> AgentSighting:
        return AgentSighting(
            agent=self.agent.id,
            at_s=wall_us // SECOND_US,
            version=self.hello.agent_version[:64],
            country=self.vantage.country,
            asn=self.vantage.asn,
            access=self.vantage.access,
            charter=min(self.hello.charter_version, 2**31),
        )


class HostMirror:
    """The sessions of one host; a message for one is sent to the host."""

    def __init__(self, name: str, orders: "asyncio.Queue[tuple[str, HostOrder]]") -> None:
        self.name = name
        self.sessions: dict[int, RemoteSession] = {}
        self.has_told_past = False  # this leader has those that ended before it led
        self._orders = orders

    def offer(self, message: HostOrder) -> bool:
        if self._orders.full():
            return False
        self._orders.put_nowait((self.name, message))
        return True


def build_pace(load: JudgeLoad, open_countries: Collection[str]) -> Pace:
    """Build the message by which ingest decides how often volunteers are to test."""
    return Pace(
        arrived=load.arrived,
        judged=load.judged,
        lag_us=load.lag_us,
        countries=sorted(open_countries),
    )


def find_bad_measurements(block: Block) -> BadMeasurements | None:
    """Count the measurements of a block that could not be decoded.

    Ingest counts all others.
    """
    bad_count = sum(failure.index >= 0 for failure in block.refused)
    return BadMeasurements(count=bad_count) if bad_count else None


class RemoteMetrics(Collector):
    """The metrics of the ingest process, as of its last report."""

    def __init__(self) -> None:
        self.text = ""

    def collect(self) -> Iterable[Metric]:
        return text_string_to_metric_families(self.text)


class RemoteIngest:
    """Ingest as `Workers` wants it; `IngestSupervisor.run` feeds it."""

    def __init__(
        self,
        process: IngestSupervisor,
        journal: SharedJournal,
        directory: AgentDirectory,
        geo: GeoLookup,
        port: int,
    ) -> None:
        self.port = port
        self.directory = directory
        self.geo = geo
        self.connections = ConnectionTable()
        self.metrics = RemoteMetrics()
        self._process = process
        self._journal = journal
        self._sessions: dict[int, RemoteSession] = {}
        self._batches: dict[bytes, int | None] = {}  # that an agent may still send
        self._numbers = count(1)
        self._awaited: dict[int, asyncio.Future[pb.Receipt]] = {}

    @property
    def block_listener(self) -> "RemoteIngest":
        return self

    def on_block(self, block: Block) -> None:
        """Tell ingest of measurements that could not be decoded; it counts all others."""
        if bad_measurements := find_bad_measurements(block):
            self._process.offer(bad_measurements)

    def set_pace(self, load: JudgeLoad, open_countries: Collection[str]) -> None:
        """Let ingest decide how often each connected volunteer is to test."""
        self._process.offer(build_pace(load, open_countries))

    def remaining_batches(self, agent: bytes) -> int | None:
        """Return how many batches an agent may still send, None before its first."""
        return self._batches.get(agent)

    async def accept(self, envelope: bytes, forwarded_for: str, *, elsewhere: bool) -> pb.Receipt:
        """Accept an envelope from the HTTP server, as `EnvelopeReceiver.accept` does."""
        number = next(self._numbers)
        request = Accept(
            number=number, envelope=envelope, forwarded_for=forwarded_for, elsewhere=elsewhere
        )
        if not self._process.offer(request):
            return BUSY
        future: asyncio.Future[pb.Receipt] = asyncio.get_running_loop().create_future()
        self._awaited[number] = future
        try:
            async with asyncio.timeout(ACCEPT_S):
                return await future
        except TimeoutError:
            return BUSY
        finally:
            del self._awaited[number]

    async def take(self, message: IngestMessage) -> None:
        """Take what the ingest process sent."""
        match message:
            case Committed():
                await self._journal.note_position(message.position)
            case SessionsChanged():
                self._follow(message)
            case MetricsReport():
                self.metrics.text = message.metrics
            case Accepted():
                future = self._awaited.get(message.number)
                if future is not None and not future.done():
                    future.set_result(pb.Receipt.FromString(message.receipt))

    async def on_lost(self) -> None:
        """Forget all sessions: they have ended with their process."""
        for key in list(self._sessions):
            self._end(key)
        for future in self._awaited.values():
            if not future.done():
                future.set_result(BUSY)

    def _follow(self, report: SessionsChanged) -> None:
        for key in report.ended:
            self._end(key)
        for record in report.added:
            self._begin(record)
        for key, agent in report.agents:
            self._sessions[key].agent = agent
        for state in report.states:
            self._apply(state)

    def _begin(self, record: SessionRecord) -> None:
        session = self._sessions[record.key] = RemoteSession.mirror(record, self._process)
        self.connections.add(session)

    def _apply(self, state: SessionState) -> None:
        session = self._sessions[state.key]
        session.follow(state)
        self._batches[session.agent.id] = state.remaining_batches

    def _end(self, key: int) -> None:
        session = self._sessions.pop(key)
        # `STOPPED` leaves none behind as missing: the other process watches for its return.
        self.connections.remove(session, DisconnectReason.STOPPED, "", 0)
        if not self.connections.list_of_agents([session.agent.id]):
            self._batches.pop(session.agent.id, None)


async def accept_elsewhere(
    bus: "Bus", number: int, envelope: bytes, forwarded_for: str, *, elsewhere: bool
) -> pb.Receipt:
    """Let one of the ingest hosts accept an envelope that came to an HTTP server."""
    request = Accept(
        number=number, envelope=envelope, forwarded_for=forwarded_for, elsewhere=elsewhere
    )
    try:
        answer = decode_message(await bus.ask(ACCEPT, encode(request), ACCEPT_S))
    except JournalError:
        return BUSY
    return pb.Receipt.FromString(answer.receipt) if isinstance(answer, Accepted) else BUSY
