"""Session of one agent: a gRPC stream from the hello to the end.

States: *challenged* (nonce sent) and *accepted* (hello verified) in `hello.py`, *open*, *ended* for
a `DisconnectReason`. While open, the agent sends heartbeats, envelopes and renewals, and the
collector sends clocks, receipts, plans and advice. Receipts are sent in the order of their
envelopes, so that a receipt for an envelope that could not be opened (sequence 0) still shows which
one it is. No input of an agent raises an exception here.
"""

import asyncio
import random
import sqlite3
from contextlib import suppress
from typing import TypeAlias

import grpc

from heliograph import keys
from heliograph.observation import Link
from heliograph.v1 import envelope_pb2 as epb
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet import agent_keys
from heliograph_collector.fleet.forgetting import ERASE
from heliograph_collector.fleet.registry import EnrolmentRefusedError
from heliograph_collector.ingest import rate_limits
from heliograph_collector.ingest.collector_faults import StallMonitor
from heliograph_collector.ingest.grpc.hello import Context, is_message
from heliograph_collector.ingest.pacing import build_advice
from heliograph_collector.ingest.presence import AgentConnection, DisconnectReason
from heliograph_collector.ingest.receiver import EnvelopeReceiver
from heliograph_collector.model.records import RowKind
from heliograph_collector.store.journal.journal import JournalError

ReceiptQueue: TypeAlias = "asyncio.Queue[asyncio.Task[pb.Receipt] | None]"

_LINKS = frozenset(Link)
_RECHECK_S = 1.0  # of an end that no read met; assumed
POWER_ROW_US = 60_000_000  # between two rows on the power of one agent's machine; assumed
# gRPC status by the reason of the end; other reasons end with OK.
STATUS_BY_REASON = {
    DisconnectReason.SILENT: grpc.StatusCode.DEADLINE_EXCEEDED,
    DisconnectReason.SLOW: grpc.StatusCode.DEADLINE_EXCEEDED,
    DisconnectReason.REVOKED: grpc.StatusCode.UNAUTHENTICATED,
    DisconnectReason.MISBEHAVED: grpc.StatusCode.INVALID_ARGUMENT,
    DisconnectReason.STOPPED: grpc.StatusCode.UNAVAILABLE,
}


class _SlowReaderError(Exception):
    """The agent did not read a message in time."""


class AgentSession:
    """Session from the accepted hello to the end."""

    def __init__(
        self,
        context: Context,
        connection: AgentConnection,
        receiver: EnvelopeReceiver,
        rng: random.Random,
        stall_monitor: StallMonitor,
        pin: bytes,
    ) -> None:
        """Create the session; a stall is checked for before the agent counts as silent."""
        self._pin = pin
        self._context = context
        self._stall_monitor = stall_monitor
        self._connection = connection
        self._receiver = receiver
        self._receipts: ReceiptQueue = asyncio.Queue(rate_limits.MAX_IN_FLIGHT)
        self._expires_us = receiver.clock.monotonic_us() + int(
            rate_limits.MAX_SESSION_S * rng.uniform(0.9, 1.1) * 1_000_000
        )
        self._bad_count = 0
        self._watching: asyncio.TimerHandle
        self._writing = asyncio.Lock()
        self._power_row_us = receiver.clock.monotonic_us() - POWER_ROW_US
        self.goodbye_reason = ""

    async def run(self) -> DisconnectReason:
        offer_plan(self._connection, self._receiver)
        if self._connection.agent.cloned_s is not None:
            advise_cloned(self._connection)
        self._watch()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write_outbox())
                await self._request_new_key()
                receipts_task = group.create_task(self._send_receipts())
                reason = await self._read_messages(group)
                await self._receipts.put(None)
                await receipts_task
                if reason is DisconnectReason.RENEWED:
                    await self._send(pb.CollectorMessage(advice=pb.Advice(reason="renew")))
                await self._connection.outbox.put(None)
        except* _SlowReaderError:
            reason = DisconnectReason.SLOW
        finally:
            self._watching.cancel()
        return reason

    async def _read_messages(self, group: asyncio.TaskGroup) -> DisconnectReason:
        while True:
            message = await self._receive()
            if isinstance(message, DisconnectReason):
                return message
            self._connection.last_heard_us = self._receiver.clock.monotonic_us()
            match message.WhichOneof("message"):
                case "heartbeat":
                    await self._answer_heartbeat(message.heartbeat)
                case "envelope":
                    await self._accept_envelope(group, message.envelope)
                case "renewal":
                    await self._accept_renewal(message.renewal)
                case "goodbye":
                    self.goodbye_reason = message.goodbye.reason
                    if self.goodbye_reason == ERASE:
                        await self._forget_agent()
                    return DisconnectReason.GOODBYE
                case _:
                    return DisconnectReason.MISBEHAVED

    async def _forget_agent(self) -> None:
        agent = self._connection.agent.id
        now_s = self._receiver.clock.wall_us() // 1_000_000
        with suppress(sqlite3.Error):  # the agent has said that it asked, and not that it was done
            await asyncio.to_thread(self._receiver.directory.forget_agent, agent, now_s)
        self._receiver.epoch_locations.forget(agent)

    async def _accept_envelope(self, group: asyncio.TaskGroup, envelope: epb.Envelope) -> None:
        """Wait for a slot, which slows the stream and loses nothing, and start receiving."""
        connection = self._connection
        await self._receiver.slots.acquire()
        receipt_task = group.create_task(
            self._receiver.receive(
                envelope,
                connection.location,
                "session",
                connection.agent,
                connection.hello.epoch,
            )
        )
        # It runs also if the task is cancelled before it starts.
        receipt_task.add_done_callback(self._release_slot)
        await self._receipts.put(receipt_task)

    def _release_slot(self, _: asyncio.Task[pb.Receipt]) -> None:
        self._receiver.slots.release()

    async def _receive(self) -> pb.AgentMessage | DisconnectReason:
        """Receive a message, or return the reason for which the session ended.

        A canceled read loses its message, so `_watch` ends only the last one.
        """
        if (reason := self._find_end_reason()) is not None:
            return reason
        try:
            async with asyncio.timeout(None) as self._connection.read_timeout:
                message: object = await self._context.read()
        except TimeoutError:
            return self._find_end_reason() or DisconnectReason.SILENT
        finally:
            self._connection.read_timeout = None
        if is_message(message):
            return message
        return DisconnectReason.CLOSED if message is grpc.aio.EOF else DisconnectReason.MISBEHAVED

    def _watch(self) -> None:
        """End the read when the session's time has come; one timer does for all reads."""
        is_over = self._find_end_reason() is not None
        if is_over:
            self._connection.wake()
        wait_s = _RECHECK_S if is_over else self._remaining_s()
        self._watching = asyncio.get_running_loop().call_later(wait_s, self._watch)

    def _find_end_reason(self) -> DisconnectReason | None:
        """Return the reason to end the session now, or None."""
        self._stall_monitor.check()  # at each message too: its gaps are what shows a stall
        if self._connection.end_reason is None and self._remaining_s() > 0:
            return None
        is_expired = self._expires_us <= self._silent_at_us()
        default_reason = DisconnectReason.RENEWED if is_expired else DisconnectReason.SILENT
        return self._connection.end_reason or default_reason

    def _remaining_s(self) -> float:
        deadline_us = min(self._silent_at_us(), self._expires_us)
        return max(0.0, (deadline_us - self._receiver.clock.monotonic_us()) / 1e6)

    def _silent_at_us(self) -> int:
        return self._connection.silent_at_us(self._receiver.directory.heartbeat_s)

    async def _answer_heartbeat(self, heartbeat: pb.Heartbeat) -> None:
        received_us = self._receiver.clock.wall_us()
        if heartbeat.link in _LINKS:
            self._connection.link = Link(heartbeat.link)
        self._connection.queued_count = heartbeat.queued
        self._connection.clock_ahead_us = heartbeat.sent_us - received_us
        await self._record_power(heartbeat)
        self._receiver.directory.record_sighting(self._connection.build_sighting(received_us))
        offer_plan(self._connection, self._receiver)
        clock = pb.Clock(
            heartbeat_sent_us=heartbeat.sent_us,
            received_us=received_us,
            sent_us=self._receiver.clock.wall_us(),
        )
        await self._send(pb.CollectorMessage(clock=clock))
        advice = build_advice(self._connection, self._receiver.clock.monotonic_us())
        if advice is not None:
            await self._send(pb.CollectorMessage(advice=advice))

    async def _record_power(self, heartbeat: pb.Heartbeat) -> None:
        """Note the machine's power, and record a change as a further arrival.

        The rows of this session have it in their hello. At most one row in POWER_ROW_US, so that no
        agent fills the journal.
        """
        hello = self._connection.hello
        if not heartbeat.HasField("on_battery"):
            return
        is_changed = hello.HasField("on_battery") and hello.on_battery != heartbeat.on_battery
        hello.on_battery = heartbeat.on_battery
        now_us = self._receiver.clock.monotonic_us()
        if not is_changed or now_us - self._power_row_us < POWER_ROW_US:
            return
        self._power_row_us = now_us
        row = self._connection.build_row(RowKind.ARRIVAL, self._receiver.clock.wall_us())
        with suppress(JournalError):  # the next change, or the loss, reports it too
            await self._receiver.journal.append([row])

    async def _request_new_key(self) -> None:
        agent = self._connection.agent
        now_s = self._receiver.clock.wall_us() // 1_000_000
        if agent_keys.is_renewal_due(agent, now_s):
            await self._send(_build_renewed(agent.public_key, agent_keys.key_expires_s(agent)))

    async def _accept_renewal(self, renewal: pb.Renewal) -> None:
        """Record a next key that both keys signed; otherwise the agent asks again."""
        agent = self._connection.agent
        now_s = self._receiver.clock.wall_us() // 1_000_000
        signed_bytes = agent.id + renewal.public_key
        signatures = ((agent.public_key, renewal.by_present), (renewal.public_key, renewal.by_next))
        if not all(
            keys.verify_bound(key, signature, keys.RENEWAL, self._pin, signed_bytes)
            for key, signature in signatures
        ):
            return
        with suppress(EnrolmentRefusedError, sqlite3.Error):
            await asyncio.to_thread(
                self._receiver.directory.offer_next_key, agent, renewal.public_key, now_s
            )
            await self._send(_build_renewed(renewal.public_key, now_s + agent_keys.KEY_LIFE_S))

    async def _send_receipts(self) -> None:
        """Send receipts in order; those that are there at the same time share a message."""
        receipts: list[pb.Receipt] = []
        while (receipt_task := await self._receipts.get()) is not None:
            if receipts and not receipt_task.done():
                await self._send(_build_ack(receipts))
                receipts = []
            receipts.append(await receipt_task)
            self._note_receipt(receipts[-1])
            if self._receipts.empty():
                await self._send(_build_ack(receipts))
                receipts = []
        if receipts:
            await self._send(_build_ack(receipts))

    def _note_receipt(self, receipt: pb.Receipt) -> None:
        if receipt.status == pb.STATUS_REJECTED:
            self._bad_count += 1
            if self._bad_count > rate_limits.MAX_BAD_ENVELOPES:
                self._connection.end(DisconnectReason.MISBEHAVED)

    async def _send(self, message: pb.CollectorMessage) -> None:
        """Write a message, or queue it behind those that wait."""
        if self._writing.locked() or not self._connection.outbox.empty():
            await self._connection.outbox.put(message)
        else:
            await self._write(message)

    async def _write_outbox(self) -> None:
        while (message := await self._connection.outbox.get()) is not None:
            await self._write(message)

    async def _write(self, message: pb.CollectorMessage) -> None:
        """Write a message after the present one, because gRPC allows one write at a time."""
        async with self._writing:
            timeout = asyncio.timeout(None)
            try:
                async with timeout:
                    self._receiver.write_deadlines.add(timeout)
                    await self._context.write(message)
            except TimeoutError:
                raise _SlowReaderError from None
            finally:
                self._receiver.write_deadlines.discard(timeout)


def offer_plan(connection: AgentConnection, receiver: EnvelopeReceiver) -> None:
    """Queue the current plan once if it is newer; a full outbox waits for a heartbeat."""
    directory = receiver.directory
    has_old_charter = 0 < connection.charter_version < directory.charter_version
    if (has_old_charter or connection.plan_version < directory.plan_version) and connection.offer(
        pb.CollectorMessage(plan=directory.plan)
    ):
        connection.plan_version = max(connection.plan_version, directory.plan_version)
        connection.charter_version = connection.charter_version and directory.charter_version


def advise_cloned(connection: AgentConnection) -> None:
    """Queue the advice that two machines use the key.

    A full outbox waits for a receipt.
    """
    connection.offer(pb.CollectorMessage(advice=pb.Advice(reason="cloned")))


def _build_renewed(public_key: bytes, expires_s: int) -> pb.CollectorMessage:
    return pb.CollectorMessage(renewed=pb.Renewed(public_key=public_key, expires_s=expires_s))


def _build_ack(receipts: list[pb.Receipt]) -> pb.CollectorMessage:
    return pb.CollectorMessage(ack=pb.Ack(receipts=receipts))
