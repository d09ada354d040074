"""Accept the hello that begins a session: a challenge, and who signed it."""

import asyncio
import secrets
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard

import grpc

from heliograph import keys
from heliograph.pending_connections import PendingConnections
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet import agent_keys
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.fleet.session_records import Refusal
from heliograph_collector.ingest import rate_limits
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.geo.lookup import PeerLocation
from heliograph_collector.ingest.presence import AgentConnection
from heliograph_collector.ingest.receiver import EnvelopeReceiver
from heliograph_collector.store.journal.journal import JournalError

Context: TypeAlias = "grpc.aio.ServicerContext[pb.AgentMessage, pb.CollectorMessage]"


class HelloRefusedError(Exception):
    """Refused session; `outcome` is one of a few fixed words."""

    def __init__(
        self, outcome: str, status: grpc.StatusCode = grpc.StatusCode.UNAUTHENTICATED
    ) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.status = status


@dataclass(frozen=True, slots=True)
class _AnsweredChallenge:
    """A hello, and the content that it must sign: nonce and collector's pin."""

    hello: pb.Hello
    nonce: bytes
    pin: bytes

    def is_signed_by(self, public_key: bytes) -> bool:
        signature = self.hello.signature
        return keys.verify_bound(public_key, signature, keys.HELLO, self.pin, self.nonce)


async def accept_hello(
    context: Context,
    receiver: EnvelopeReceiver,
    location: PeerLocation,
    pending: PendingConnections,
    pin: bytes,
) -> AgentConnection:
    """Send a challenge and verify the hello that answers it. Raises HelloRefusedError."""
    nonce = secrets.token_bytes(32)
    try:
        async with pending.hold_place(location.networks, rate_limits.HELLO_S):
            await context.write(pb.CollectorMessage(challenge=pb.Challenge(nonce=nonce)))
            message: object = await context.read()
    except TimeoutError:
        raise HelloRefusedError("late", grpc.StatusCode.DEADLINE_EXCEEDED) from None
    if not is_message(message) or not message.HasField("hello"):
        raise HelloRefusedError("no_hello", grpc.StatusCode.INVALID_ARGUMENT)
    agent = await _authenticate_hello(
        _AnsweredChallenge(message.hello, nonce, pin),
        receiver.directory,
        receiver.clock.wall_us() // 1_000_000,
    )
    receiver.epoch_locations.note(agent.id, message.hello.epoch, location, receiver.clock.wall_us())
    return AgentConnection(
        agent=agent,
        location=location,
        hello=message.hello,
        carrier=receiver.directory.entrances.take_carrier(message.hello),
        last_heard_us=receiver.clock.monotonic_us(),
        outbox=asyncio.Queue(2 * rate_limits.MAX_IN_FLIGHT),
        plan_version=message.hello.plan_version,
        charter_version=message.hello.charter_version,
    )


async def _authenticate_hello(
    answer: _AnsweredChallenge, directory: AgentDirectory, now_s: int
) -> EnrolledAgent:
    """Return the agent that signed the challenge, or raise HelloRefusedError."""
    if answer.hello.ByteSize() > rate_limits.MAX_HELLO_BYTES:
        raise HelloRefusedError("too_large", grpc.StatusCode.INVALID_ARGUMENT)
    try:
        agent = await directory.find(answer.hello.agent)
    except JournalError:
        raise HelloRefusedError("journal", grpc.StatusCode.UNAVAILABLE) from None
    if agent is None:
        raise HelloRefusedError("unknown_agent")
    if not answer.is_signed_by(agent.public_key):
        return await _authenticate_other_key(agent, answer, directory, now_s)
    if agent.revoked_s is not None:
        raise HelloRefusedError("revoked")
    if agent_keys.is_too_old(agent, now_s):
        raise _refuse_known(agent, "key_expired", directory, now_s)
    return agent


async def _authenticate_other_key(
    agent: EnrolledAgent, answer: _AnsweredChallenge, directory: AgentDirectory, now_s: int
) -> EnrolledAgent:
    """Confirm the next key by its first hello, and refuse an earlier key.

    A hello by an earlier key comes from a copy of the agent's state.
    """
    for key in directory.list_keys(agent.id)[1:]:
        if not answer.is_signed_by(key):
            continue
        if agent.revoked_s is not None:
            raise HelloRefusedError("revoked")
        if await asyncio.to_thread(directory.confirm_next_key, agent, key, now_s):
            return directory.get(agent.id) or agent
        raise _refuse_known(agent, "key_replaced", directory, now_s)
    raise _refuse_known(agent, "bad_signature", directory, now_s)


def _refuse_known(
    agent: EnrolledAgent, outcome: str, directory: AgentDirectory, now_s: int
) -> HelloRefusedError:
    """Record the refusal of an agent's hello for the operator, and return the error."""
    directory.record_refusal(Refusal(agent.id, now_s, "session", outcome))
    return HelloRefusedError(outcome)


def is_message(message: object) -> TypeGuard[pb.AgentMessage]:
    """Return False for EOF, which is the end, and for None, which is unparsable bytes."""
    return isinstance(message, pb.AgentMessage)
