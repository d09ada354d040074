"""Build the ingest stage: from an open journal and fleet to a running gRPC server."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from heliograph.clock import Clock
from heliograph.http_envelope import EnvelopeRequest
from heliograph.keys import SigningKey
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet.code_store import VoiceCodeStore
from heliograph_collector.fleet.keyring import Keyring, SealingKeys, load_replaced_pairs
from heliograph_collector.fleet.registry import Fleet
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.collector_faults import (
    COLLECTOR,
    run_alive_marks,
    run_stall_checks,
)
from heliograph_collector.ingest.dns_server import DnsBeaconHandler
from heliograph_collector.ingest.envelope_opener import EnvelopeOpener
from heliograph_collector.ingest.geo.lookup import GeoLookup, Network
from heliograph_collector.ingest.grpc.server import serve_grpc
from heliograph_collector.ingest.grpc.service import IntakeService
from heliograph_collector.ingest.metrics import IngestMetrics
from heliograph_collector.ingest.presence import ConnectionTable
from heliograph_collector.ingest.receiver import EnvelopeReceiver
from heliograph_collector.ingest.submit import EnvelopeResponder
from heliograph_collector.ingest.voice_reports import watch_codes
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.journal import Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestConfig:
    """Dependencies and settings of the ingest stage."""

    endpoint: str
    data: Path
    fleet: Fleet
    keyring: Keyring
    journal: Journal
    registry: CollectorRegistry
    clock: Clock
    rng: random.Random
    country_file: Path
    asn_file: Path
    sessions: int = 2_000
    batches_per_hour: int = 240
    trusted_proxies: tuple[Network, ...] = ()
    allows_strangers: bool = False  # enroll agents without invite into quarantine


@dataclass(frozen=True, slots=True)
class IngestServices:
    """Running ingest stage, as other stages use it."""

    port: int
    directory: AgentDirectory
    connections: ConnectionTable
    geo: GeoLookup
    accept: Callable[..., Awaitable[pb.Receipt]]  # EnvelopeReceiver.accept
    remaining_batches: Callable[[bytes], int | None]  # batches that an agent may still send now
    submit: Callable[
        [EnvelopeRequest, str], Awaitable[pb.SubmitResponse]
    ]  # EnvelopeResponder, which accepts and answers in full
    handle_beacon: Callable[
        [bytes], Awaitable[str]
    ]  # sealed bytes of a DNS query → the address to answer


@asynccontextmanager
async def run_ingest(config: IngestConfig) -> AsyncIterator[IngestServices]:
    """Run the ingest stage inside the block. Raises PortTakenError, GeoError."""
    geo = GeoLookup(
        config.country_file, config.asn_file, config.keyring.secret, config.trusted_proxies
    )
    directory = AgentDirectory(config.fleet)
    sealing_keys = SealingKeys(config.data)
    opener = EnvelopeOpener(sealing_keys.find, directory.list_keys)
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
    responder = EnvelopeResponder(
        receiver, lambda key_id: _find_signer(config, key_id), config.keyring.sealing.id
    )
    beacon_handler = DnsBeaconHandler(
        VoiceCodeStore(config.fleet),
        sealing_keys.list_all,
        directory.get,
        directory.list_keys,
        config.journal,
        config.clock,
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
            asyncio.TaskGroup() as group,
        ):
            tasks = _start_tasks(group, config, service, directory)
            yield IngestServices(
                port,
                directory,
                connections,
                geo,
                receiver.accept,
                receiver.remaining_batches,
                responder,
                beacon_handler.handle,
            )
            for task in tasks:
                task.cancel()
    finally:
        opener.close()
        await asyncio.to_thread(directory.flush_sightings)


def _start_tasks(
    group: asyncio.TaskGroup,
    config: IngestConfig,
    service: IntakeService,
    directory: AgentDirectory,
) -> list[asyncio.Task[None]]:
    """Start the background tasks, which run until cancelled."""
    code_store = VoiceCodeStore(config.fleet)
    return [
        group.create_task(service.write_presence_loop()),
        group.create_task(run_stall_checks(service.check_stall, config.clock, service.on_lag)),
        group.create_task(run_alive_marks(config.journal, config.clock)),
        group.create_task(directory.watch_fleet(service.on_fleet_change)),
        group.create_task(watch_codes(code_store, directory.get, config.journal)),
    ]


def _find_signer(config: IngestConfig, key_id: bytes) -> SigningKey:
    """Find the key whose receipts an agent verifies that seals to `key_id`.

    An agent that was offline for long knows only replaced keys.
    """
    if key_id != config.keyring.sealing.id:
        for sealing, signing in load_replaced_pairs(config.data):
            if sealing.id == key_id:
                return signing
    return config.keyring.signing


def _build_start_row(clock: Clock, alive_before_us: int) -> JournalRow:
    """Build the row of a start; the detector finds agents that do not return."""
    return JournalRow(
        kind=RowKind.START, agent=COLLECTOR, received_us=clock.wall_us(), heard_us=alive_before_us
    )
