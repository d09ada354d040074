"""A real collector's door on loopback over TLS, and a caller that speaks its protocol by hand."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import grpc
from prometheus_client import CollectorRegistry

from heliograph import codec, envelope, keys, services
from heliograph.clock import Clock, SystemClock
from heliograph.failure import Operation
from heliograph.observation import Epoch, Measurement, Observation
from heliograph.v1 import envelope_pb2, intake_pb2, intake_pb2_grpc
from heliograph_collector.fleet import Fleet, Keyring, open_keyring
from heliograph_collector.fleet.plans import default_plan, issue
from heliograph_collector.ingest.build import Intake, Plot, intake
from heliograph_collector.ingest.geo.lookup import Network
from heliograph_collector.model.records import JournalRow, Kind
from heliograph_collector.store.journal.journal import Journal

Call: TypeAlias = "grpc.aio.StreamStreamCall[intake_pb2.AgentMessage, intake_pb2.CollectorMessage]"
HOST = "127.0.0.1"
CLOCK = SystemClock()


@dataclass(frozen=True, kw_only=True)
class House:
    """What a test may look at and turn."""

    data: Path
    fleet: Fleet
    keyring: Keyring
    journal: Journal
    registry: CollectorRegistry
    intake: Intake

    @property
    def endpoint(self) -> str:
        return f"{HOST}:{self.intake.port}"

    def invite(self, *, uses: int = 1, life_s: int = 3_600, role: str = "volunteer") -> bytes:
        now_s = CLOCK.wall_us() // 1_000_000
        return self.fleet.invite(role=role, uses=uses, now_s=now_s, expires_s=now_s + life_s)

    async def rows(self, *kinds: Kind) -> list[JournalRow]:
        return [row for row in await self.journal.read(0, 10_000) if row.kind in kinds]

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def house(
    data: Path,
    *,
    heartbeat_s: int = 15,
    clock: Clock = CLOCK,
    wrap: Callable[[Journal], Journal] = lambda journal: journal,
    endpoint: str = f"{HOST}:0",
    country_file: Path = Path("absent"),
    asn_file: Path = Path("absent"),
    sessions: int = 2_000,
    batches_per_hour: int = 100_000,
    trusted_proxies: tuple[Network, ...] = (),
    strangers: bool = False,
) -> AsyncIterator[House]:
    fleet, keyring = Fleet(data), open_keyring(data, [HOST])
    if fleet.plan() is None:
        plan = replace(default_plan(services.shipped()), heartbeat_s=heartbeat_s)
        issue(fleet, keyring.signing, plan, clock.wall_us() // 1_000_000)
    journal, registry = wrap(Journal(data / "journal.db")), CollectorRegistry()
    plot = Plot(
        endpoint=endpoint,
        data=data,
        strangers=strangers,
        fleet=fleet,
        keyring=keyring,
        journal=journal,
        registry=registry,
        clock=clock,
        rng=random.Random(1),
        country_file=country_file,
        asn_file=asn_file,
        sessions=sessions,
        batches_per_hour=batches_per_hour,
        trusted_proxies=trusted_proxies,
    )
    try:
        async with intake(plot) as open_door:
            yield House(
                data=data,
                fleet=fleet,
                keyring=keyring,
                journal=journal,
                registry=registry,
                intake=open_door,
            )
    finally:
        await journal.close()
        fleet.close()


def measurement(target: str = "https://www.example.com/") -> Measurement:
    return Measurement(
        experiment="web",
        experiment_version=1,
        target=target,
        started_us=CLOCK.wall_us(),
        monotonic_us=1,
        boot="b",
        runtime_us=5,
        epoch="e1",
        sequence=1,
        observations=(Observation(operation=Operation.RESOLVE, started_us=0, duration_us=3),),
    )


@dataclass
class Caller:
    """An agent's keys and what it says, byte by byte."""

    keyring: Keyring
    signer: keys.SigningKey = field(
        default_factory=lambda: keys.SigningKey(random.Random().randbytes(32))
    )

    @property
    def id(self) -> bytes:
        return keys.agent_id(self.signer.public)

    def enrol_request(self, token: bytes) -> intake_pb2.EnrolRequest:
        return intake_pb2.EnrolRequest(
            token=token,
            public_key=self.signer.public,
            proof=self.signer.sign(keys.ENROL, token),
            agent_version="test",
        )

    def hello(self, nonce: bytes) -> intake_pb2.AgentMessage:
        hello = intake_pb2.Hello(
            agent=self.id,
            signature=self.signer.sign(keys.HELLO, nonce),
            agent_version="test",
            plan_version=1,
            country="KZ",
            access="mobile",
        )
        return intake_pb2.AgentMessage(hello=hello)

    def batch(
        self, sequence: int, measurements: Sequence[Measurement] | None = None
    ) -> envelope_pb2.Batch:
        return envelope_pb2.Batch(
            agent=self.id,
            sequence=sequence,
            sealed_us=CLOCK.wall_us(),
            agent_version="test",
            epochs=[codec.epoch_to_pb(Epoch(id="e1", started_us=1))],
            measurements=[
                codec.measurement_to_pb(m)
                for m in ([measurement()] if measurements is None else measurements)
            ],
        )

    def seal(self, batch: envelope_pb2.Batch) -> bytes:
        return envelope.seal(batch, self.signer, self.keyring.sealing.public)

    def envelope(
        self, sequence: int, measurements: Sequence[Measurement] | None = None
    ) -> envelope_pb2.Envelope:
        return envelope_pb2.Envelope.FromString(self.seal(self.batch(sequence, measurements)))


@contextmanager
def elsewhere(house: House) -> Iterator[Fleet]:
    """The same fleet.db through another connection, as the commands open it."""
    fleet = Fleet(house.data)
    try:
        yield fleet
    finally:
        fleet.close()


@asynccontextmanager
async def channel(house: House, port: int = 0) -> AsyncIterator["intake_pb2_grpc.IntakeAsyncStub"]:
    """A fresh TLS connection that trusts the collector's certificate alone."""
    credentials = grpc.ssl_channel_credentials(house.keyring.tls_certificate)
    options = (
        ("grpc.ssl_target_name_override", "heliograph-collector"),
        ("grpc.use_local_subchannel_pool", 1),
    )
    endpoint = f"{HOST}:{port}" if port else house.endpoint
    async with grpc.aio.secure_channel(endpoint, credentials, options) as opened:
        yield intake_pb2_grpc.IntakeStub(opened)


@asynccontextmanager
async def tunnel(house: House, source: str) -> AsyncIterator[int]:
    """A port whose callers reach the collector from `source`, an address of 127.0.0.0/8."""

    ends: list[asyncio.StreamWriter] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def bridge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far = await asyncio.open_connection(HOST, house.intake.port, local_addr=(source, 0))
        ends.extend((writer, far[1]))
        async with asyncio.TaskGroup() as group:
            group.create_task(carry(reader, far[1]))
            group.create_task(carry(far[0], writer))

    async with await asyncio.start_server(bridge, HOST, 0) as server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:  # gRPC keeps a line while any call on it is remembered; the server waits for it
            for end in ends:
                end.close()


async def enrolled(house: House, signer: keys.SigningKey | None = None) -> Caller:
    """A new volunteer, let in over the wire; with a key of its own, or `signer`."""
    caller = Caller(house.keyring, signer) if signer else Caller(house.keyring)
    async with channel(house) as stub:
        await stub.Enrol(caller.enrol_request(house.invite()), timeout=10)
    return caller


async def hear(call: Call) -> intake_pb2.CollectorMessage:
    message = await call.read()
    assert isinstance(message, intake_pb2.CollectorMessage), "the collector ended the stream"
    return message


async def greeted(stub: "intake_pb2_grpc.IntakeAsyncStub", caller: Caller) -> Call:
    """A session whose hello was sent."""
    call = stub.Session()
    challenge = (await hear(call)).challenge
    await call.write(caller.hello(challenge.nonce))
    return call


async def receipts(call: Call, count: int) -> list[intake_pb2.Receipt]:
    """The next so many, whatever else is said between them."""
    found: list[intake_pb2.Receipt] = []
    while len(found) < count:
        found.extend((await hear(call)).ack.receipts)
    return found
