"""Build the ingest stage: from an open journal and fleet to a running gRPC server."""

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from heliograph.address import split_endpoint
from heliograph.clock import Clock
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet.code_store import VoiceCodeStore
from heliograph_collector.fleet.entrances import own_entrance
from heliograph_collector.fleet.keyring import Keyring, SealingKeys, tls_file
from heliograph_collector.fleet.registry import Fleet
from heliograph_collector.ingest import rate_limits
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.collector_faults import COLLECTOR, run_alive_marks
from heliograph_collector.ingest.dns_server import DnsBeaconHandler, serve_dns
from heliograph_collector.ingest.envelope_opener import EnvelopeOpener
from heliograph_collector.ingest.geo.lookup import GeoLookup, Network
from heliograph_collector.ingest.grpc.polled_calls import PolledCalls, run_polled_calls
from heliograph_collector.ingest.grpc.server import serve_grpc
from heliograph_collector.ingest.grpc.service import IntakeService
from heliograph_collector.ingest.metrics import IngestMetrics
from heliograph_collector.ingest.pacing import JudgeLoad, Pacing
from heliograph_collector.ingest.post_server import serve_post
from heliograph_collector.ingest.presence import ConnectionTable
from heliograph_collector.ingest.rate_limits import QueryRateLimit
from heliograph_collector.ingest.receiver import EnvelopeReceiver
from heliograph_collector.ingest.submit import EnvelopeResponder
from heliograph_collector.ingest.voice_reports import watch_codes
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.protocol import JournalProtocol


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestConfig:
    """Dependencies and settings of the ingest stage."""

    endpoint: str
    public_endpoint: str  # HOST:PORT that invites name; port 0 for the listener's
    data: Path
    fleet: Fleet
    keyring: Keyring
    journal: JournalProtocol
    registry: CollectorRegistry
    clock: Clock
    rng: random.Random
    country_file: Path
    asn_file: Path
    sessions: int = 2_000
    batches_per_hour: int = 240
    trusted_proxies: tuple[Network, ...] = ()
    allows_strangers: bool = False  # enroll agents without invite into quarantine
    directory: AgentDirectory | None = None  # None: of the fleet


@dataclass(frozen=True, slots=True)
class IngestServices:
    """Running ingest stage, as other stages use it."""

    port: int
    directory: AgentDirectory
    connections: ConnectionTable
    geo: GeoLookup
    receiver: EnvelopeReceiver
    responder: EnvelopeResponder  # it uses the receiver, and answers in full
    beacon_handler: DnsBeaconHandler
    calls: PolledCalls
    pacing: Pacing

    @property
    def block_listener(self) -> IngestMetrics:
        """Return the observer of judged blocks."""
        return self.receiver.metrics

    def set_pace(self, load: JudgeLoad, open_countries: Collection[str]) -> None:
        """Decide how often each connected volunteer is to test."""
        self.pacing.update(self.connections, load, open_countries)

    async def accept(self, envelope: bytes, forwarded_for: str, *, elsewhere: bool) -> pb.Receipt:
        """Accept an envelope from the HTTP server, as `EnvelopeReceiver.accept` does."""
        return await self.receiver.accept(envelope, forwarded_for, elsewhere=elsewhere)

    def serve_post(self, endpoint: str, data: Path) -> AbstractAsyncContextManager[int]:
        """Serve POST at HOST:PORT, as `post_server.serve_post` does."""
        host, port = split_endpoint(endpoint)
        senders = self.responder.senders
        return serve_post(
            self.responder, host, port, tls_file(data), senders=senders, calls=self.calls
        )

    def serve_dns(self, endpoint: str, zone: str, clock: Clock) -> AbstractAsyncContextManager[int]:
        """Serve DNS at HOST:PORT, as `dns_server.serve_dns` does."""
        host, port = split_endpoint(endpoint)
        return serve_dns(self.beacon_handler, QueryRateLimit(self.geo, clock), host, port, zone)

    def remaining_batches(self, agent: bytes) -> int | None:
        """Return how many batches an agent may still send, None before its first."""
        return self.receiver.remaining_batches(agent)


@asynccontextmanager
async def run_ingest(config: IngestConfig) -> AsyncIterator[IngestServices]:
    """Run the ingest stage inside the block. Raises PortTakenError, GeoError."""
    geo = GeoLookup(
        config.country_file, config.asn_file, config.keyring.secret, config.trusted_proxies
    )
    directory = config.directory or AgentDirectory(config.fleet)
    sealing_keys = SealingKeys(config.data)
    opener = EnvelopeOpener(sealing_keys, directory)
    connections = ConnectionTable()
    receiver = EnvelopeReceiver(
        directory=directory,
        journal=config.journal,
        opener=opener,
        geo=geo,
        metrics=IngestMetrics(config.registry),
        clock=config.clock,
        batches_per_hour=config.batches_per_hour,
    )
    responder = EnvelopeResponder(receiver, config.keyring, config.data)
    code_store = VoiceCodeStore(config.fleet)
    beacon_handler = DnsBeaconHandler(
        code_store, sealing_keys, directory, config.journal, config.clock
    )
    service = IntakeService(
        responder,
        connections,
        config.keyring,
        config.sessions,
        config.rng,
        allows_strangers=config.allows_strangers,
    )
    await config.journal.append([_build_start_row(config.clock, config.journal.alive_before_us)])
    try:
        async with (
            serve_grpc(service, config.endpoint, config.keyring, config.sessions) as port,
            run_polled_calls(service) as calls,
            asyncio.TaskGroup() as group,
        ):
            directory.entrances.add_own(own_entrance(config.public_endpoint, port))
            tasks = [
                *_start_watches(group, config, service, port),
                group.create_task(directory.watch_fleet(service)),
                group.create_task(watch_codes(code_store, directory, config.journal)),
            ]
            yield IngestServices(
                port=port,
                directory=directory,
                connections=connections,
                geo=geo,
                receiver=receiver,
                responder=responder,
                beacon_handler=beacon_handler,
                calls=calls,
                pacing=Pacing(config.clock, config.registry),
            )
            for task in tasks:
                task.cancel()
    finally:
        opener.close()
        await asyncio.to_thread(directory.flush_sightings)


def _start_watches(
    group: asyncio.TaskGroup, config: IngestConfig, service: IntakeService, port: int
) -> Sequence[asyncio.Task[None]]:
    """Start what looks after presence, stalls, strangers and the mark of life."""
    stalls = service.stall_monitor
    return (
        group.create_task(service.write_presence_loop()),
        group.create_task(stalls.run()),
        group.create_task(service.strangers.run(port, rate_limits.max_strangers(config.sessions))),
        group.create_task(run_alive_marks(config.journal, config.clock, stalls.spans)),
    )


def _build_start_row(clock: Clock, alive_before_us: int) -> JournalRow:
    """Build the row of a start; the detector finds agents that do not return."""
    now_us = clock.wall_us()
    return JournalRow(
        kind=RowKind.START,
        agent=COLLECTOR,
        received_us=now_us,
        heard_us=min(alive_before_us, now_us),  # the clock may have been ahead
    )
