"""A real collector's gRPC entrance on loopback, and a hand-written client.

As a program, `python -m support.intake FOLDER`, it prints its port and ends with its input.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import grpc
import pytest
from prometheus_client import CollectorRegistry

from heliograph import codec, envelope, keys, services
from heliograph.clock import Clock, SystemClock
from heliograph.failure import Operation
from heliograph.observation import Epoch, Measurement, Observation
from heliograph.upload import begin_proof
from heliograph.v1 import envelope_pb2, intake_pb2, intake_pb2_grpc
from heliograph_collector.fleet import Fleet, Keyring, open_keyring
from heliograph_collector.fleet.plans import build_default_plan, issue_plan
from heliograph_collector.ingest.build import IngestConfig, IngestServices, run_ingest
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.journal import Journal
from support import results
from support.waiting import until, until_true

Call: TypeAlias = "grpc.aio.StreamStreamCall[intake_pb2.AgentMessage, intake_pb2.CollectorMessage]"
HOST = "127.0.0.1"
CLOCK = SystemClock()


@dataclass(frozen=True)
class IngestServer:
    """The ingest stage with its journal, fleet and metrics, as a test sees it."""

    data: Path
    fleet: Fleet
    keyring: Keyring
    journal: Journal
    registry: CollectorRegistry
    intake: IngestServices

    @property
    def endpoint(self) -> str:
        return f"{HOST}:{self.intake.port}"

    def invite(self, *, uses: int = 1, life_s: int = 3_600, role: str = "volunteer") -> bytes:
        return create_invite(self.fleet, uses=uses, life_s=life_s, role=role)

    async def rows(self, *kinds: RowKind) -> list[JournalRow]:
        return [row for row in await self.journal.read(0, 10_000) if row.kind in kinds]

    async def wait_rows(self, kind: RowKind, count: int = 1) -> list[JournalRow]:
        async def has_rows() -> bool:
            return len(await self.rows(kind)) >= count

        await until(has_rows)
        return await self.rows(kind)

    async def wait_connected(self, count: int) -> None:
        await until_true(lambda: len(self.intake.connections) == count)

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


class Reachable(Protocol):
    """The address and keys of a collector, as a caller needs them."""

    @property
    def endpoint(self) -> str: ...
    @property
    def keyring(self) -> Keyring: ...


class Inviting(Reachable, Protocol):
    """A collector that also issues invitations."""

    def invite(self) -> bytes: ...


def create_invite(
    fleet: Fleet, *, uses: int = 1, life_s: int = 3_600, role: str = "volunteer"
) -> bytes:
    now_s = CLOCK.wall_us() // 1_000_000
    return fleet.create_invite(role=role, uses=uses, now_s=now_s, expires_s=now_s + life_s)


@asynccontextmanager
async def ingest_server(
    data: Path,
    *,
    heartbeat_s: int = 15,
    clock: Clock = CLOCK,
    wrap: Callable[[Journal], Journal] = lambda journal: journal,
    **settings: Any,
) -> AsyncIterator[IngestServer]:
    """Run the ingest stage of the collector in `data`; `settings` override its config."""
    fleet, keyring = Fleet(data), open_keyring(data, [HOST])
    if fleet.read_plan() is None:
        plan = replace(
            build_default_plan(services.load_shipped_services()), heartbeat_s=heartbeat_s
        )
        issue_plan(fleet, keyring.signing, plan, clock.wall_us() // 1_000_000)
    journal, registry = wrap(Journal(data / "journal.db")), CollectorRegistry()
    defaults: dict[str, Any] = {
        "endpoint": f"{HOST}:0", "public_endpoint": f"{HOST}:0", "batches_per_hour": 100_000,
        "country_file": Path("absent"), "asn_file": Path("absent"),
    }  # fmt: skip
    config = IngestConfig(
        data=data, fleet=fleet, keyring=keyring, journal=journal, registry=registry, clock=clock,
        rng=random.Random(1), **(defaults | settings),
    )  # fmt: skip
    try:
        async with run_ingest(config) as intake:
            yield IngestServer(data, fleet, keyring, journal, registry, intake)
    finally:
        await journal.close()
        fleet.close()


def measurement(target: str = "https://www.example.com/") -> Measurement:
    """Return a measurement that was made just now, in the epoch of `Caller.batch`."""
    step = Observation(operation=Operation.RESOLVE, started_us=0, duration_us=3)
    made = results.measurement(target, started_us=CLOCK.wall_us(), epoch="e1", observations=(step,))
    return replace(made, experiment="web", sequence=1)


@dataclass
class Caller:
    """An agent's keys, and the messages it sends, byte by byte."""

    keyring: Keyring
    signer: keys.SigningKey = field(
        default_factory=lambda: keys.SigningKey(random.Random().randbytes(32))
    )

    @property
    def id(self) -> bytes:
        return keys.agent_id(self.signer.public)

    def bind(self, context: bytes) -> bytes:
        """Return the context as an agent of this version signs it for this collector."""
        return keys.bind_context(context, self.keyring.pin)

    def enrol_request(self, token: bytes) -> intake_pb2.EnrolRequest:
        return intake_pb2.EnrolRequest(
            token=token,
            public_key=self.signer.public,
            proof=self.signer.sign(self.bind(keys.ENROL), token),
            agent_version="test",
        )

    def hello(self, nonce: bytes) -> intake_pb2.AgentMessage:
        hello = intake_pb2.Hello(
            agent=self.id, signature=self.signer.sign(self.bind(keys.HELLO), nonce),
            agent_version="test",
            plan_version=1, country="KZ", access="mobile",
        )  # fmt: skip
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
        return envelope.seal_batch(batch, self.signer, self.keyring.sealing.public)

    def prove(self, sealed: bytes) -> str:
        """Return the header that proves the sender before the envelope arrives."""
        proof = begin_proof(self.id, sealed)
        signature = self.signer.sign(self.bind(keys.UPLOAD), proof.message)
        return replace(proof, signature=signature).format()

    def envelope(
        self, sequence: int, measurements: Sequence[Measurement] | None = None
    ) -> envelope_pb2.Envelope:
        return envelope_pb2.Envelope.FromString(self.seal(self.batch(sequence, measurements)))


@contextmanager
def second_fleet(server: IngestServer) -> Iterator[Fleet]:
    """Open the same fleet.db through another connection, as the commands do."""
    fleet = Fleet(server.data)
    try:
        yield fleet
    finally:
        fleet.close()


@asynccontextmanager
async def channel(
    server: Reachable, port: int = 0
) -> AsyncIterator["intake_pb2_grpc.IntakeAsyncStub"]:
    """Open a new TLS connection that trusts the collector's certificate alone."""
    credentials = grpc.ssl_channel_credentials(server.keyring.tls_certificate)
    options = (
        ("grpc.ssl_target_name_override", "heliograph-collector"),
        ("grpc.use_local_subchannel_pool", 1),
    )
    endpoint = f"{HOST}:{port}" if port else server.endpoint
    async with grpc.aio.secure_channel(endpoint, credentials, options) as opened:
        yield intake_pb2_grpc.IntakeStub(opened)


@asynccontextmanager
async def tunnel(server: IngestServer, source: str) -> AsyncIterator[int]:
    """Open a port that forwards to the collector from `source`, in 127.0.0.0/8."""

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
        far = await asyncio.open_connection(HOST, server.intake.port, local_addr=(source, 0))
        ends.extend((writer, far[1]))
        async with asyncio.TaskGroup() as group:
            group.create_task(carry(reader, far[1]))
            group.create_task(carry(far[0], writer))

    async with await asyncio.start_server(bridge, HOST, 0) as listener:
        try:
            yield listener.sockets[0].getsockname()[1]
        finally:  # gRPC keeps a line while any call on it is remembered; the server waits for it
            for end in ends:
                end.close()


async def enrolled(server: Inviting, signer: keys.SigningKey | None = None) -> Caller:
    """Enrol a new volunteer over the wire, with a new key or `signer`."""
    caller = Caller(server.keyring, signer) if signer else Caller(server.keyring)
    async with channel(server) as stub:
        await stub.Enrol(caller.enrol_request(server.invite()), timeout=60)
    return caller


async def hear(call: Call) -> intake_pb2.CollectorMessage:
    message = await call.read()
    assert isinstance(message, intake_pb2.CollectorMessage), "the collector ended the stream"
    return message


async def greeted(stub: "intake_pb2_grpc.IntakeAsyncStub", caller: Caller) -> Call:
    call = stub.Session()
    challenge = (await hear(call)).challenge
    await call.write(caller.hello(challenge.nonce))
    return call


@dataclass(frozen=True)
class OpenSession:
    """The session of one enrolled agent with a collector that serves it alone."""

    server: IngestServer
    stub: "intake_pb2_grpc.IntakeAsyncStub"
    caller: Caller
    call: Call

    async def send(self, *sequences: int) -> None:
        """Send an envelope of one measurement under each of these numbers."""
        for sequence in sequences:
            await self.write(envelope=self.caller.envelope(sequence))

    async def write(self, **message: Any) -> None:
        await self.call.write(intake_pb2.AgentMessage(**message))

    async def receipts(self, count: int = 1) -> list[intake_pb2.Receipt]:
        return await receipts(self.call, count)

    async def beat(self, **heartbeat: Any) -> intake_pb2.CollectorMessage:
        return await beat(self.call, **heartbeat)

    async def say_goodbye(self) -> None:
        await say_goodbye(self.call)

    async def find_end(self, read: Callable[[], Awaitable[object]] | None = None) -> str:
        """Return the reason with which the collector ends the session within ten seconds."""
        async with asyncio.timeout(60):
            return (await refusal(read() if read else self.call.read())).details() or ""


@asynccontextmanager
async def open_session(data: Path, **options: Any) -> AsyncIterator[OpenSession]:
    """Open an ingest server with these options, an enrolled agent and its session."""
    async with ingest_server(data, **options) as server, channel(server) as stub:
        caller = await enrolled(server)
        call = await greeted(stub, caller)
        yield OpenSession(server, stub, caller, call)
        call.cancel()


async def beat(call: Call, **heartbeat: Any) -> intake_pb2.CollectorMessage:
    fields = {"sent_us": 1, **heartbeat}
    await call.write(intake_pb2.AgentMessage(heartbeat=intake_pb2.Heartbeat(**fields)))
    return await hear(call)


async def say_goodbye(call: Call) -> None:
    await call.write(intake_pb2.AgentMessage(goodbye=intake_pb2.Goodbye(reason="shutdown")))
    assert await call.read() is grpc.aio.EOF


async def refusal(request: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await request
    return caught.value


async def receipts(call: Call, count: int) -> list[intake_pb2.Receipt]:
    """Return the next `count` receipts; skip other messages between them."""
    found: list[intake_pb2.Receipt] = []
    while len(found) < count:
        found.extend((await hear(call)).ack.receipts)
    return found


async def main(folder: Path) -> None:
    async with ingest_server(folder) as home:
        print(home.intake.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
