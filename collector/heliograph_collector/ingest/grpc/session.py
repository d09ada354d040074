"""One agent's stream: challenge and hello, then heartbeats and envelopes for receipts, plan, clock.

Receipts go out in the order their envelopes came in, so that one for an envelope which could not be
opened (sequence 0) still tells which it was. Nothing here raises what an agent can cause.
"""

import asyncio
import random
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias, TypeGuard

import grpc

from heliograph import keys
from heliograph.observation import Link
from heliograph.v1 import envelope_pb2 as epb
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet import agent_keys
from heliograph_collector.fleet.registry import Agent, RefusedError, Sighting
from heliograph_collector.ingest import rate_limits
from heliograph_collector.ingest.agent_directory import Roll
from heliograph_collector.ingest.geo.lookup import Place
from heliograph_collector.ingest.presence import Ending, Visit
from heliograph_collector.ingest.receiver import Door

Context: TypeAlias = "grpc.aio.ServicerContext[pb.AgentMessage, pb.CollectorMessage]"
Receipts: TypeAlias = "asyncio.Queue[asyncio.Task[pb.Receipt] | None]"

_LINKS = frozenset(Link)
# How the stream's status tells why it ended; the others end with OK.
_STATUS = {
    Ending.SILENT: grpc.StatusCode.DEADLINE_EXCEEDED,
    Ending.SLOW: grpc.StatusCode.DEADLINE_EXCEEDED,
    Ending.REVOKED: grpc.StatusCode.UNAUTHENTICATED,
    Ending.MISBEHAVED: grpc.StatusCode.INVALID_ARGUMENT,
    Ending.STOPPED: grpc.StatusCode.UNAVAILABLE,
}


def status_of(ending: Ending) -> grpc.StatusCode | None:
    """None for OK."""
    return _STATUS.get(ending)


class HelloRefusedError(Exception):
    """No session for this caller; `outcome` is one of a few words."""

    def __init__(self, outcome: str, status: grpc.StatusCode) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.status = status


class _SlowReaderError(Exception):
    """A message was not taken off our hands in time."""


async def greet(context: Context, door: Door, place: Place) -> Visit:
    """Challenge, and the hello that answers it. Raises HelloRefusedError."""
    nonce = secrets.token_bytes(32)
    try:
        async with asyncio.timeout(rate_limits.HELLO_S):
            await context.write(pb.CollectorMessage(challenge=pb.Challenge(nonce=nonce)))
            message: object = await context.read()
    except TimeoutError:
        raise HelloRefusedError("late", grpc.StatusCode.DEADLINE_EXCEEDED) from None
    if not _is_message(message) or not message.HasField("hello"):
        raise HelloRefusedError("no_hello", grpc.StatusCode.INVALID_ARGUMENT)
    agent = proven(message.hello, nonce, door.roll, door.clock.wall_us() // 1_000_000)
    return Visit(
        agent=agent,
        place=place,
        hello=message.hello,
        heard_us=door.clock.monotonic_us(),
        outbox=asyncio.Queue(2 * rate_limits.WINDOW),
        plan_version=message.hello.plan_version,
        charter_version=message.hello.charter_version,
    )


def proven(hello: pb.Hello, nonce: bytes, roll: Roll, now_s: int) -> Agent:
    """The agent that signed this very nonce, by its present key or by the next one that it offered.

    Raises HelloRefusedError.
    """
    if hello.ByteSize() > rate_limits.HELLO_BYTES:
        raise HelloRefusedError("too_large", grpc.StatusCode.INVALID_ARGUMENT)
    agent = roll.get(hello.agent)
    if agent is None:
        raise HelloRefusedError("unknown_agent", grpc.StatusCode.UNAUTHENTICATED)
    if not keys.verify(agent.public_key, hello.signature, keys.HELLO, nonce):
        return _by_another(agent, hello, nonce, roll, now_s)
    if agent.revoked_s is not None:
        raise HelloRefusedError("revoked", grpc.StatusCode.UNAUTHENTICATED)
    if agent_keys.too_old(agent, now_s):
        raise HelloRefusedError("key_expired", grpc.StatusCode.UNAUTHENTICATED)
    return agent


def _by_another(agent: Agent, hello: pb.Hello, nonce: bytes, roll: Roll, now_s: int) -> Agent:
    """The next key's first hello confirms it; one it had before is a copy that somebody kept."""
    for key in roll.keys_of(agent.id)[1:]:
        if not keys.verify(key, hello.signature, keys.HELLO, nonce):
            continue
        if agent.revoked_s is not None:
            raise HelloRefusedError("revoked", grpc.StatusCode.UNAUTHENTICATED)
        if roll.confirm(agent, key, now_s):
            return roll.get(agent.id) or agent
        raise HelloRefusedError("key_replaced", grpc.StatusCode.UNAUTHENTICATED)
    raise HelloRefusedError("bad_signature", grpc.StatusCode.UNAUTHENTICATED)


class Session:
    """From the accepted hello to the end."""

    def __init__(
        self,
        context: Context,
        visit: Visit,
        door: Door,
        rng: random.Random,
        look: Callable[[], object],
    ) -> None:
        """`look` finds out whether we stood still, before anybody is called silent."""
        self._context, self._look = context, look
        self._visit = visit
        self._door = door
        self._receipts: Receipts = asyncio.Queue(rate_limits.WINDOW)
        self._old_us = door.clock.monotonic_us() + int(
            rate_limits.SESSION_S * rng.uniform(0.9, 1.1) * 1_000_000
        )
        self._bad = 0
        self.farewell = ""

    async def run(self) -> Ending:
        self.offer_plan()
        await self._ask_for_a_key()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._speak())
                acknowledging = group.create_task(self._acknowledge())
                ending = await self._listen(group)
                await self._receipts.put(None)
                await acknowledging
                if ending is Ending.RENEWED:
                    await self._say(pb.CollectorMessage(advice=pb.Advice(reason="renew")))
                await self._visit.outbox.put(None)
        except* _SlowReaderError:
            ending = Ending.SLOW
        return ending

    def offer_plan(self) -> None:
        offer_plan(self._visit, self._door)

    async def _listen(self, group: asyncio.TaskGroup) -> Ending:
        while True:
            message = await self._hear(group)
            if isinstance(message, Ending):
                return message
            self._visit.heard_us = self._door.clock.monotonic_us()
            match message.WhichOneof("message"):
                case "heartbeat":
                    await self._beat(message.heartbeat)
                case "envelope":
                    await self._take(group, message.envelope)
                case "renewal":
                    await self._renew(message.renewal)
                case "goodbye":
                    self.farewell = message.goodbye.reason
                    return Ending.GOODBYE
                case _:
                    return Ending.MISBEHAVED

    async def _take(self, group: asyncio.TaskGroup, envelope: epb.Envelope) -> None:
        """Waits for a slot, which slows this agent's stream and loses nothing."""
        slots, visit = self._door.slots, self._visit
        await slots.acquire()
        taking = group.create_task(self._door.take(envelope, visit.place, "session", visit.agent))
        taking.add_done_callback(lambda _: slots.release())  # also if it was cancelled unbegun
        await self._receipts.put(taking)

    async def _hear(self, group: asyncio.TaskGroup) -> pb.AgentMessage | Ending:
        """The read goes on over a wait that was cut short: what it brings is not lost."""
        reading = group.create_task(self._read())
        try:
            while (ending := self._ending()) is None:
                try:
                    async with asyncio.timeout(self._left_s()) as self._visit.limit:
                        message = await asyncio.shield(reading)
                except TimeoutError:
                    continue
                finally:
                    self._visit.limit = None
                if _is_message(message):
                    return message
                return Ending.CLOSED if message is grpc.aio.EOF else Ending.MISBEHAVED
            return ending
        finally:
            reading.cancel()

    async def _read(self) -> object:
        return await self._context.read()

    def _ending(self) -> Ending | None:
        """Why to hear no more, if so."""
        self._look()
        if self._visit.ending is None and self._left_s() > 0:
            return None
        by_itself = Ending.RENEWED if self._old_us <= self._gone_us() else Ending.SILENT
        return self._visit.ending or by_itself

    def _left_s(self) -> float:
        until_us = min(self._gone_us(), self._old_us)
        return max(0.0, (until_us - self._door.clock.monotonic_us()) / 1e6)

    def _gone_us(self) -> int:
        return self._visit.gone_us(self._door.roll.heartbeat_s)

    async def _beat(self, heartbeat: pb.Heartbeat) -> None:
        received_us = self._door.clock.wall_us()
        if heartbeat.link in _LINKS:
            self._visit.link = Link(heartbeat.link)
        self._visit.queued = heartbeat.queued
        self._door.roll.saw(sighting(self._visit, received_us))
        self.offer_plan()
        clock = pb.Clock(
            heartbeat_sent_us=heartbeat.sent_us,
            received_us=received_us,
            sent_us=self._door.clock.wall_us(),
        )
        await self._say(pb.CollectorMessage(clock=clock))

    async def _ask_for_a_key(self) -> None:
        agent, now_s = self._visit.agent, self._door.clock.wall_us() // 1_000_000
        if agent_keys.due(agent, now_s):
            await self._say(_renewed(agent.public_key, agent_keys.expires_s(agent)))

    async def _renew(self, renewal: pb.Renewal) -> None:
        """What proves nothing changes nothing; the agent will ask again."""
        agent, now_s = self._visit.agent, self._door.clock.wall_us() // 1_000_000
        said = agent.id + renewal.public_key
        signatures = ((agent.public_key, renewal.by_present), (renewal.public_key, renewal.by_next))
        if not all(keys.verify(key, given, keys.RENEWAL, said) for key, given in signatures):
            return
        with suppress(RefusedError, sqlite3.Error):
            await asyncio.to_thread(self._door.roll.offer_key, agent, renewal.public_key, now_s)
            await self._say(_renewed(renewal.public_key, now_s + agent_keys.LIFE_S))

    async def _acknowledge(self) -> None:
        while (taking := await self._receipts.get()) is not None:
            receipt = await taking
            if receipt.status == pb.STATUS_REJECTED:
                self._bad += 1
                if self._bad > rate_limits.BAD_ENVELOPES:
                    self._visit.end(Ending.MISBEHAVED)
            await self._say(pb.CollectorMessage(ack=pb.Ack(receipts=[receipt])))

    async def _say(self, message: pb.CollectorMessage) -> None:
        await self._visit.outbox.put(message)

    async def _speak(self) -> None:
        """The only writer of the stream: gRPC allows one at a time."""
        while (message := await self._visit.outbox.get()) is not None:
            try:
                async with asyncio.timeout(rate_limits.RPC_S):
                    await self._context.write(message)
            except TimeoutError:
                raise _SlowReaderError from None


def _is_message(read: object) -> TypeGuard[pb.AgentMessage]:
    """gRPC reads EOF at the end, and None for bytes it could not parse."""
    return isinstance(read, pb.AgentMessage)


def offer_plan(visit: Visit, door: Door) -> None:
    """Hand over the standing plan once, if it is newer than the agent's. A full outbox waits for
    the next heartbeat."""
    roll = door.roll
    behind = 0 < visit.charter_version < roll.charter_version
    if (behind or visit.plan_version < roll.plan_version) and not visit.outbox.full():
        visit.outbox.put_nowait(pb.CollectorMessage(plan=roll.plan))
        visit.plan_version = max(visit.plan_version, roll.plan_version)
        visit.charter_version = visit.charter_version and roll.charter_version


def sighting(visit: Visit, wall_us: int) -> Sighting:
    place = visit.vantage
    return Sighting(
        agent=visit.agent.id,
        at_s=wall_us // 1_000_000,
        version=visit.hello.agent_version[:64],
        country=place.country,
        asn=place.asn,
        access=place.access,
        charter=min(visit.hello.charter_version, 2**31),
    )


def _renewed(public_key: bytes, expires_s: int) -> pb.CollectorMessage:
    return pb.CollectorMessage(renewed=pb.Renewed(public_key=public_key, expires_s=expires_s))
