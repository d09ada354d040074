"""A real gRPC server of heliograph.v1.Intake on loopback, scripted by a test.

    async with intake() as collector:
        line = collector.invite()
        …
        await collector.until(lambda: len(collector.stored) == 3)

Envelopes are verified and opened with the real codec; the test chooses the answers.
`support.intake` is the collector's real entrance; this one can also misbehave.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import grpc

from heliograph import codec, keys
from heliograph.clock import SystemClock
from heliograph.envelope import open_envelope
from heliograph.http_envelope import INTERMEDIARY_HEADER, RELAY, parse_intermediary
from heliograph.plan import Limits, Plan, PlannedTask, Service
from heliograph.plan_chunks import next_piece
from heliograph.relay_line import sign_receipt
from heliograph.v1 import envelope_pb2, intake_pb2, intake_pb2_grpc, plan_pb2
from heliograph_collector.fleet import format_invite
from heliograph_collector.fleet.certificate import encode_public_key, make_certificate

if TYPE_CHECKING:
    Context: TypeAlias = (
        "grpc.aio.ServicerContext[intake_pb2.EnrolRequest, intake_pb2.EnrolResponse]"
    )

T = TypeVar("T")
TOKEN = b"sixteen bytes ok"
DEADLINE_S = 120.0
Answer: TypeAlias = Callable[[envelope_pb2.Batch], intake_pb2.Receipt]
Answers: TypeAlias = "asyncio.Queue[intake_pb2.CollectorMessage | None]"


@dataclass(frozen=True, slots=True)
class Identity:
    """A collector's keys; equal keys mean the same collector after a restart."""

    certificate: bytes  # PEM
    key: bytes  # PEM
    signing: keys.SigningKey = field(default_factory=lambda: keys.SigningKey(bytes(range(32))))
    sealing: keys.SealingKey = field(default_factory=lambda: keys.SealingKey(bytes(range(1, 33))))

    @property
    def pin(self) -> bytes:
        return hashlib.sha256(encode_public_key(self.certificate)).digest()


def identity(private_key: bytes = b"") -> Identity:
    """Make a self-signed certificate for `private_key`, in PEM, or a fresh one."""
    key, mark, certificate = make_certificate([], private_key).partition(b"-----BEGIN CERT")
    return Identity(mark + certificate, key)


def plan_of(
    *tasks: PlannedTask,
    version: int = 1,
    services: tuple[Service, ...] = (),
    heartbeat_s: int = 1,
) -> Plan:
    return Plan(
        version=version, issued_s=1_700_000_000, expires_s=4_000_000_000,
        services_version="test", services=services, tasks=tasks,
        limits=Limits(target_pause_s=0), heartbeat_s=heartbeat_s,
    )  # fmt: skip


def make_receipt(
    batch: envelope_pb2.Batch,
    status: intake_pb2.Status.ValueType,
    reason: str = "",
    retry_after_s: int = 0,
) -> intake_pb2.Receipt:
    return intake_pb2.Receipt(
        sequence=batch.sequence, status=status, reason=reason, retry_after_s=retry_after_s
    )


def stored(batch: envelope_pb2.Batch) -> intake_pb2.Receipt:
    return make_receipt(batch, intake_pb2.STATUS_STORED)


def read_intermediary(context: "Context") -> str:
    values = [
        str(v) for key, v in context.invocation_metadata() or () if key == INTERMEDIARY_HEADER
    ]
    return parse_intermediary(values)


class Collector(intake_pb2_grpc.IntakeServicer):
    """The scripted answers, and what the collector has received."""

    def __init__(self, who: Identity, plan: Plan) -> None:
        self.who = who
        self.port = 0
        self.said_endpoint = ""  # the endpoint sent to agents, if not the port itself
        self.peers: list[str] = []  # of every session, as gRPC names them
        self.plan = self.signed(plan)
        self.answer: Answer = stored
        self.acknowledge = True  # False: take envelopes and say nothing
        self.answers_heartbeats = True
        self.skew_us = 0
        self.full_for_s = 0  # no room for sessions: come back then
        self.nonce = bytes(range(32))
        self.knocks = 0
        self.news = (0, b"")  # version and packed form of a plan that lone envelopes bring back
        self.places: list[str] = []  # what each call said of where it came from
        self.used_token = False
        self.agents: dict[bytes, bytes] = {}
        self.batches: list[envelope_pb2.Batch] = []
        self.hellos: list[intake_pb2.Hello] = []
        self.heartbeats: list[intake_pb2.Heartbeat] = []
        self.goodbyes: list[str] = []
        self._changed = asyncio.Condition()
        self._sessions: set[Answers] = set()

    @property
    def endpoint(self) -> str:
        return self.said_endpoint or f"127.0.0.1:{self.port}"

    @property
    def stored(self) -> set[int]:
        """Return the sequences of the measurements received, each once."""
        return {m.sequence for batch in self.batches for m in batch.measurements}

    def invite(self, *, pin: bytes = b"", token: bytes = TOKEN) -> str:
        return format_invite(self.endpoint, pin or self.who.pin, token)

    def signed(self, plan: Plan) -> plan_pb2.SignedPlan:
        raw = codec.plan_to_pb(plan).SerializeToString(deterministic=True)
        return plan_pb2.SignedPlan(plan=raw, signature=self.who.signing.sign(keys.PLAN, raw))

    async def until(self, seen: Callable[[], bool]) -> None:
        """Wait for what the agent is to do; fails after a deadline."""
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(seen)

    async def send(self, message: intake_pb2.CollectorMessage) -> None:
        """Send a message to every open session."""
        for session in self._sessions:
            await session.put(message)

    async def hang_up(self) -> None:
        """End every session without a message."""
        for session in self._sessions:
            await session.put(None)

    async def Enrol(  # noqa: N802 - the contract's name
        self, request: intake_pb2.EnrolRequest, context: "Context"
    ) -> intake_pb2.EnrolResponse:
        known = request.public_key in self.agents.values()
        if request.token != TOKEN or (self.used_token and not known):
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "invite")
        context_of_proof = keys.bind_context(keys.ENROL, self.who.pin)
        assert keys.verify(request.public_key, request.proof, context_of_proof, request.token)
        self.used_token = True
        agent = keys.agent_id(request.public_key)
        self.agents[agent] = request.public_key
        return intake_pb2.EnrolResponse(
            agent=agent,
            signing_key=self.who.signing.public,
            sealing_key=self.who.sealing.public,
            plan=self.plan,
            role="volunteer",
        )

    async def Session(  # noqa: N802
        self, request_iterator: AsyncIterator[intake_pb2.AgentMessage], context: "Context"
    ) -> AsyncIterator[intake_pb2.CollectorMessage]:
        self.knocks += 1
        self.peers.append(str(context.peer()))
        self.places.append(read_intermediary(context))
        if self.full_for_s:
            again = (("retry-after-s", str(self.full_for_s)),)
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", again)
        nonce = self.nonce
        yield intake_pb2.CollectorMessage(challenge=intake_pb2.Challenge(nonce=nonce))
        first = await anext(aiter(request_iterator))
        public = self.agents.get(first.hello.agent, b"")
        context_of_hello = keys.bind_context(keys.HELLO, self.who.pin)
        if not keys.verify(public, first.hello.signature, context_of_hello, nonce):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "hello")
        await self._note(self.hellos, first.hello)
        answers: Answers = asyncio.Queue(64)
        self._sessions.add(answers)
        listening = asyncio.create_task(self._listen(request_iterator, answers))
        try:
            while (message := await answers.get()) is not None:
                yield message
        finally:
            self._sessions.discard(answers)
            listening.cancel()

    async def Submit(  # noqa: N802
        self, request: intake_pb2.SubmitRequest, context: "Context"
    ) -> intake_pb2.SubmitResponse:
        held = request.plan if request.HasField("plan") else None
        raw = request.envelope.SerializeToString()
        return await self.respond(raw, read_intermediary(context), held)

    async def _listen(
        self, messages: AsyncIterator[intake_pb2.AgentMessage], answers: "Answers"
    ) -> None:
        async for message in messages:
            match message.WhichOneof("message"):
                case "heartbeat":
                    await self._note(self.heartbeats, message.heartbeat)
                    if self.answers_heartbeats:
                        await answers.put(self._clock(message.heartbeat))
                case "envelope":
                    receipt = await self.take(message.envelope)
                    if self.acknowledge:
                        ack = intake_pb2.Ack(receipts=[receipt])
                        await answers.put(intake_pb2.CollectorMessage(ack=ack))
                case "goodbye":
                    await self._note(self.goodbyes, message.goodbye.reason)
        await answers.put(None)

    async def respond(
        self, raw: bytes, place: str, held: intake_pb2.PlanHeld | None
    ) -> intake_pb2.SubmitResponse:
        """Answer an envelope by the entrance for single envelopes, or by Submit."""
        envelope = envelope_pb2.Envelope.FromString(raw)
        receipt = await self.take(envelope)
        self.places.append(place)
        response = intake_pb2.SubmitResponse(receipt=receipt)
        if place == RELAY:
            response.receipts = sign_receipt(raw, envelope.key_id, receipt, self.who.signing)
        version, packed = self.news
        piece = next_piece(packed, version, held, len(raw)) if held and version else None
        if piece is not None:
            response.plan.CopyFrom(piece)
        return response

    async def take(self, envelope: envelope_pb2.Envelope) -> intake_pb2.Receipt:
        opened = open_envelope(envelope, self.who.sealing, self.agents.get)
        await self._note(self.batches, opened.batch)
        return self.answer(opened.batch)

    def _clock(self, beat: intake_pb2.Heartbeat) -> intake_pb2.CollectorMessage:
        now = SystemClock().wall_us() + self.skew_us
        clock = intake_pb2.Clock(heartbeat_sent_us=beat.sent_us, received_us=now, sent_us=now)
        return intake_pb2.CollectorMessage(clock=clock)

    async def _note(self, seen: list[T], what: T) -> None:
        async with self._changed:
            seen.append(what)
            self._changed.notify_all()


@asynccontextmanager
async def intake(
    plan: Plan | None = None, *, who: Identity | None = None, port: int = 0
) -> AsyncIterator[Collector]:
    """Run a collector on 127.0.0.1 until the block ends; then cut its sessions."""
    collector = Collector(who or identity(), plan or plan_of())
    async with serving(collector, port):
        yield collector


@asynccontextmanager
async def serving(collector: Collector, port: int = 0) -> AsyncIterator[None]:
    """Open the port of an existing collector, once or again."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    intake_pb2_grpc.add_IntakeServicer_to_server(collector, server)
    credentials = grpc.ssl_server_credentials([(collector.who.key, collector.who.certificate)])
    collector.port = server.add_secure_port(f"127.0.0.1:{port}", credentials)
    await server.start()
    try:
        yield
    finally:
        await server.stop(grace=0)
