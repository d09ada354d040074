"""Puts intake together: from an open journal and fleet to a door that answers."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from heliograph.clock import Clock
from heliograph.http_envelope import Request
from heliograph.keys import SigningKey
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet.code_store import Codes
from heliograph_collector.fleet.keyring import Keyring, Sealers, earlier
from heliograph_collector.fleet.registry import Fleet
from heliograph_collector.ingest.agent_directory import Roll
from heliograph_collector.ingest.collector_faults import COLLECTOR
from heliograph_collector.ingest.dns.beacon import Beacons
from heliograph_collector.ingest.envelope_opener import Opener
from heliograph_collector.ingest.geo.lookup import Geo, Network
from heliograph_collector.ingest.grpc.server import serving
from heliograph_collector.ingest.grpc.service import IntakeService
from heliograph_collector.ingest.metrics import Counters
from heliograph_collector.ingest.presence import Presence
from heliograph_collector.ingest.receiver import Door
from heliograph_collector.ingest.stall_detector import beat, stay_alive
from heliograph_collector.ingest.submit import Answers
from heliograph_collector.ingest.voice_reports import follow
from heliograph_collector.model.records import JournalRow, Kind
from heliograph_collector.store.journal.journal import Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """What intake is built from."""

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
    strangers: bool = False  # whoever has no invite is let into quarantine


@dataclass(frozen=True, slots=True)
class Intake:
    """An open door."""

    port: int
    roll: Roll
    presence: Presence
    geo: Geo
    accept: Callable[..., Awaitable[pb.Receipt]]  # Door.accept
    leave_of: Callable[[bytes], int | None]  # batches more that an agent may send now
    answer: Callable[[Request, str], Awaitable[pb.SubmitResponse]]  # the same, with all there is
    last_word: Callable[[bytes], Awaitable[str]]  # sealed in a DNS query → the address to answer


@asynccontextmanager
async def intake(plot: Plot) -> AsyncIterator[Intake]:
    """Answers inside the block. Raises PortTakenError, GeoError."""
    geo = Geo(plot.country_file, plot.asn_file, plot.keyring.secret, plot.trusted_proxies)
    roll = Roll(plot.fleet)
    sealers = Sealers(plot.data)
    opener = Opener(sealers.get, roll.keys_of)
    presence = Presence()
    door = Door(
        roll=roll,
        journal=plot.journal,
        opener=opener,
        geo=geo,
        counters=Counters(plot.registry),
        clock=plot.clock,
        batches_per_hour=plot.batches_per_hour,
    )
    answers = Answers(door, lambda key_id: _signer(plot, key_id), plot.keyring.sealing.id)
    beacons = Beacons(
        Codes(plot.fleet), sealers.all, roll.get, roll.keys_of, plot.journal, plot.clock
    )
    service = IntakeService(
        answers, presence, plot.keyring, plot.sessions, plot.rng, strangers=plot.strangers
    )
    await plot.journal.append([_started(plot.clock, plot.journal.alive_before_us)])
    try:
        async with (
            serving(service, plot.endpoint, plot.keyring, plot.sessions) as port,
            asyncio.TaskGroup() as group,
        ):
            tasks = [
                group.create_task(service.tend()),
                group.create_task(beat(service.look, plot.clock, service.felt)),
                group.create_task(stay_alive(plot.journal, plot.clock)),
                group.create_task(roll.follow(service.fleet_changed)),
                group.create_task(follow(Codes(plot.fleet), roll.get, plot.journal)),
            ]
            yield Intake(
                port, roll, presence, geo, door.accept, door.leave_of, answers, beacons.take
            )
            for task in tasks:
                task.cancel()
    finally:
        opener.close()
        await asyncio.to_thread(roll.flush)


def _signer(plot: Plot, key_id: bytes) -> SigningKey:
    """Whose word an agent takes that seals to this key: who was long in the dark knows old ones."""
    if key_id != plot.keyring.sealing.id:
        for sealing, signing in earlier(plot.data):
            if sealing.id == key_id:
                return signing
    return plot.keyring.signing


def _started(clock: Clock, alive_before_us: int) -> JournalRow:
    """Nothing else is said at a start: who does not come back is for the detector to find."""
    return JournalRow(
        kind=Kind.START, agent=COLLECTOR, received_us=clock.wall_us(), heard_us=alive_before_us
    )
