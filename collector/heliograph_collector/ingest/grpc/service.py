"""Intake service: enrollment, sessions and single envelopes.

A refusal is a gRPC status and a fixed reason.
"""

import asyncio
import logging
import random
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeAlias, cast

import grpc

from heliograph import keys
from heliograph.http_envelope import EnvelopeRequest
from heliograph.network_shares import NetworkShares
from heliograph.pending_connections import PendingConnections
from heliograph.upload import ANSWER_S
from heliograph.v1 import intake_pb2 as pb
from heliograph.v1.intake_pb2_grpc import IntakeServicer
from heliograph_collector.fleet import agent_keys, quarantine
from heliograph_collector.fleet.keyring import Keyring
from heliograph_collector.fleet.registry import EnrolledAgent, EnrolmentRefusedError
from heliograph_collector.ingest import rate_limits, role_changes
from heliograph_collector.ingest.collector_faults import (
    StallMonitor,
    SuspectedFault,
    build_fault_row,
    is_cut_off,
    update_fault,
)
from heliograph_collector.ingest.geo.lookup import UNKNOWN_LOCATION, PeerLocation
from heliograph_collector.ingest.grpc import call_metadata, polled_call
from heliograph_collector.ingest.grpc.hello import Context, HelloRefusedError, accept_hello
from heliograph_collector.ingest.grpc.session import (
    STATUS_BY_REASON,
    AgentSession,
    advise_cloned,
    offer_plan,
)
from heliograph_collector.ingest.grpc.strangers import StrangerConnections
from heliograph_collector.ingest.presence import AgentConnection, ConnectionTable, DisconnectReason
from heliograph_collector.ingest.rate_limits import WorkSlots
from heliograph_collector.ingest.receiver import BUSY_RETRY_S
from heliograph_collector.ingest.submit import EnvelopeResponder
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.journal import JournalError

EnrolContext: TypeAlias = "grpc.aio.ServicerContext[pb.EnrolRequest, pb.EnrolResponse]"
SubmitContext: TypeAlias = "grpc.aio.ServicerContext[pb.SubmitRequest, pb.SubmitResponse]"

_MAX_VERSION_LENGTH = 64
# assumed, as is the next
_FULL_RETRY_S = 60
_ANSWER_TRIP_S = 1.0  # for an answer to travel; assumed
_MAX_ROWS_PER_COMMIT = 500  # presence rows in one commit
log = logging.getLogger("heliograph.intake")


class IntakeService(IntakeServicer):
    """Serve heliograph.v1.Intake; `max_sessions` limits the connected agents.

    The agent's side is heliograph_agent.uplink.session.
    """

    def __init__(
        self,
        responder: EnvelopeResponder,
        connections: ConnectionTable,
        keyring: Keyring,
        max_sessions: int,
        rng: random.Random,
        *,
        allows_strangers: bool,
    ) -> None:
        """Create the servicer; `allows_strangers` admits agents into quarantine."""
        self._receiver = responder.receiver
        self._responder = responder
        self._connections = connections
        self._keyring = keyring
        self._pin = keyring.pin
        self._max_sessions = max_sessions
        self._allows_strangers = allows_strangers
        self._rng = rng
        self.pending = PendingConnections(rate_limits.MAX_PENDING)
        self.pending_requests = PendingConnections(2 * rate_limits.MAX_PENDING)
        self.pending_uploads = PendingConnections(rate_limits.MAX_PENDING)
        self.strangers = StrangerConnections(
            self._receiver.geo, self._receiver.metrics.displaced_connections
        )
        self._stranger_seats = NetworkShares(int(max_sessions * rate_limits.STRANGER_SESSIONS))
        self._work_slots = WorkSlots(rate_limits.MAX_UNARY_RPCS, rate_limits.MAX_WAITING_RPCS)
        self._upload_slots = WorkSlots(rate_limits.MAX_UNARY_RPCS, rate_limits.MAX_WAITING_RPCS)
        # Rows lost beyond the capacity are replaced by the next arrival.
        self._presence_rows: asyncio.Queue[JournalRow] = asyncio.Queue(2 * max_sessions)
        self._revocations = role_changes.RevocationRecorder()
        self.stall_monitor = StallMonitor(responder.receiver.clock, connections)
        self._network_fault: SuspectedFault | None = None

    async def Enrol(  # noqa: N802 - gRPC looks for this name, and for the two below
        self, request: pb.EnrolRequest, context: EnrolContext
    ) -> pb.EnrolResponse:
        receiver = self._receiver
        enrolments = receiver.metrics.enrolments
        location = self.locate_call(call_metadata.list_addresses(context))
        wait_s = (
            BUSY_RETRY_S
            if self._work_slots.is_full
            else receiver.enrolment_wait_s(location, request.token)
        )
        if not wait_s and not request.token and self._allows_strangers:
            wait_s = receiver.newcomer_wait_s(location)
        if wait_s:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "busy",
                call_metadata.build_retry_metadata(wait_s),
            )
        try:
            async with self._work_slots.hold_slot(_answer_s(context)):
                response = await self._enrol_agent(request, call_metadata.list_addresses(context))
        except EnrolmentRefusedError as refused:
            enrolments.labels(refused.reason).inc()
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, refused.reason)
        except (TimeoutError, sqlite3.Error):
            enrolments.labels("late").inc()
            await context.abort(
                grpc.StatusCode.UNAVAILABLE,
                "late",
                call_metadata.build_retry_metadata(BUSY_RETRY_S),
            )
        enrolments.labels("enrolled").inc()
        return response

    async def _enrol_agent(self, request: pb.EnrolRequest, address_chain: str) -> pb.EnrolResponse:
        """Enroll an agent. Raises EnrolmentRefusedError."""
        if not keys.verify_bound(
            request.public_key, request.proof, keys.ENROL, self._pin, request.token
        ):
            raise EnrolmentRefusedError("bad_proof")
        directory = self._receiver.directory
        now_s = self._receiver.clock.wall_us() // 1_000_000
        version = request.agent_version[:_MAX_VERSION_LENGTH]
        if request.token:
            agent = await asyncio.to_thread(
                directory.fleet.enrol_agent, request.token, request.public_key, version, now_s
            )
        elif self._allows_strangers:
            wall_us = self._receiver.clock.wall_us()
            networks = self._receiver.geo.list_past_networks(
                address_chain, wall_us, quarantine.NAMED_DAYS
            )
            agent = await asyncio.to_thread(
                directory.enrol_stranger, request.public_key, version, now_s, networks
            )
        else:
            raise EnrolmentRefusedError("invite_wanted")
        directory.add_agent(agent)
        return pb.EnrolResponse(
            agent=agent.id,
            signing_key=self._keyring.signing.public,
            sealing_key=self._keyring.sealing.public,
            plan=directory.plan,
            role=agent.role,
            key_expires_s=agent_keys.key_expires_s(agent),
        )

    async def Submit(  # noqa: N802 gRPC's name
        self, request: pb.SubmitRequest, context: SubmitContext
    ) -> pb.SubmitResponse:
        """Answer one envelope with a receipt for any content; `retry` is a receipt too."""
        receipt = pb.Receipt(status=pb.STATUS_RETRY, retry_after_s=BUSY_RETRY_S)
        retry_response = pb.SubmitResponse(receipt=receipt)
        is_known = self.find_sender(context) is not None
        slots = self._upload_slots if is_known else self._work_slots
        if slots.is_full:
            return retry_response
        submission = EnvelopeRequest(
            envelope=request.envelope.SerializeToString(),
            intermediary=call_metadata.read_declared_place(context),
            plan=request.plan if request.HasField("plan") else None,
            sender=call_metadata.read_sender(context),
        )
        try:
            async with slots.hold_slot(_answer_s(context)):
                return await self._responder.respond(
                    submission, call_metadata.list_addresses(context), "submit"
                )
        except TimeoutError:
            return retry_response

    # The generated type has streams as iterators; this one uses its context.
    async def Session(  # type: ignore[override]  # noqa: N802 gRPC's name
        self, request_iterator: AsyncIterator[pb.AgentMessage], context: Context
    ) -> None:
        metrics = self._receiver.metrics
        if len(self._connections) >= self._max_sessions:
            metrics.hellos.labels("full").inc()
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "full",
                call_metadata.build_retry_metadata(_FULL_RETRY_S),
            )
        if self.stall_monitor.lag_s > rate_limits.MAX_LAG_S:  # a late hello would only be repeated
            metrics.hellos.labels("busy").inc()
            wait_s = self._rng.randint(BUSY_RETRY_S, _FULL_RETRY_S)
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "busy",
                call_metadata.build_retry_metadata(wait_s),
            )
        origin = self.locate_call(call_metadata.list_addresses(context))
        # An intermediary's address locates nobody, but it holds the places that it takes.
        location = replace(UNKNOWN_LOCATION, networks=origin.networks)
        location = location if call_metadata.read_declared_place(context) else origin
        try:
            connection = await accept_hello(
                context, self._receiver, location, self.pending, self._pin
            )
            polled_call.note_hello(context, connection.hello)
            with (
                self._hold_stranger_seat(connection),
                self.strangers.hold_proven(context.peer()),
            ):
                reason = await self._run_session(context, connection)
        except HelloRefusedError as refused:
            metrics.hellos.labels(refused.outcome).inc()
            await context.abort(refused.status, refused.outcome)
        if reason in STATUS_BY_REASON:
            await context.abort(STATUS_BY_REASON[reason], reason.value)

    @contextmanager
    def _hold_stranger_seat(self, connection: AgentConnection) -> Iterator[None]:
        """Count a session of an agent in quarantine, so that volunteers always find room.

        Raises HelloRefusedError when the strangers' share, or that of a network, is taken.
        """
        if connection.agent.trial_s is None:
            yield
            return
        networks = connection.location.networks
        if not self._stranger_seats.take(networks):
            raise HelloRefusedError("full", grpc.StatusCode.RESOURCE_EXHAUSTED)
        try:
            yield
        finally:
            self._stranger_seats.give_back(networks)

    async def _run_session(self, context: Context, connection: AgentConnection) -> DisconnectReason:
        """Run a session. Raises HelloRefusedError when its arrival cannot be recorded."""
        session = AgentSession(
            context, connection, self._receiver, self._rng, self.stall_monitor, self._pin
        )
        # Add it before its row, or a loss could be recorded after the row of its return.
        self._connections.add(connection)
        reason = DisconnectReason.CLOSED
        try:
            await self._record_arrival(connection)
            self._receiver.metrics.hellos.labels("welcome").inc()
            reason = await session.run()
        finally:
            self._record_departure(connection, reason, session.goodbye_reason)
        return reason

    async def _record_arrival(self, connection: AgentConnection) -> None:
        """Record an arrival in the journal. Raises HelloRefusedError."""
        wall_us = self._receiver.clock.wall_us()
        try:
            await self._receiver.journal.append([connection.build_row(RowKind.ARRIVAL, wall_us)])
        except JournalError:
            raise HelloRefusedError("journal", grpc.StatusCode.UNAVAILABLE) from None
        self._receiver.directory.record_sighting(connection.build_sighting(wall_us))
        self._receiver.metrics.count_region(connection.hello.region, connection.vantage)
        self._receiver.metrics.sessions.set(len(self._connections))

    def _record_departure(
        self, connection: AgentConnection, reason: DisconnectReason, goodbye_reason: str
    ) -> None:
        """Queue the goodbye for `write_presence_loop`: the handler may be cancelled."""
        wall_us = self._receiver.clock.wall_us()
        connection.ended_us = self._receiver.clock.monotonic_us()
        row = self._connections.remove(connection, reason, goodbye_reason, wall_us)
        self._queue_row(row)
        self._receiver.directory.record_end(self._connections.build_end(connection, wall_us))
        self._receiver.metrics.sessions.set(len(self._connections))
        self._receiver.metrics.disconnects.labels(reason).inc()

    def _queue_row(self, row: JournalRow | None) -> None:
        if row is not None and not self._presence_rows.full():
            self._presence_rows.put_nowait(row)

    async def write_presence_loop(self) -> None:
        """Write goodbyes, losses, changed roles and faults as they occur; never return."""
        self.on_fleet_change()  # agents may have been revoked while the collector was down
        while True:
            try:
                async with asyncio.timeout(1.0):
                    rows = [await self._presence_rows.get()]
            except TimeoutError:
                rows = []
            while len(rows) < _MAX_ROWS_PER_COMMIT and not self._presence_rows.empty():
                rows.append(self._presence_rows.get_nowait())  # a whole country may leave at once
            await self._write_presence(rows)
            await self._record_faults()
            await self._report_clones()

    async def _write_presence(self, rows: list[JournalRow]) -> None:
        """Write presence rows; failed losses and goodbyes of revoked agents are repeated.

        Silence is data, and a revoked agent must not stay present.
        """
        receiver = self._receiver
        reading = self.stall_monitor.check()
        lost_connections = self._connections.find_lost(
            reading.monotonic_us, receiver.directory.heartbeat_s
        )
        counted_losses = list(role_changes.update_lost(lost_connections, receiver.directory))
        goodbyes = self._revocations.build_rows(reading.wall_us, _MAX_ROWS_PER_COMMIT)
        rows += [c.build_lost_row(reading.wall_us, reading.monotonic_us) for c in counted_losses]
        rows += goodbyes
        try:
            if rows:
                await receiver.journal.append(rows)
        except JournalError as error:
            log.error("presence of %d agents not written: %s", len(rows), error)
        else:
            self._connections.confirm_lost(lost_connections)
            self._revocations.confirm_rows(goodbyes)
            receiver.metrics.lost_agents.inc(len(counted_losses))

    async def _record_faults(self) -> None:
        """Record the collector's faults, repeating failed rows.

        A silence of the collector must not count as silence of agents.
        """
        is_failing = is_cut_off(self._connections.control_links())
        fault, span = update_fault(self._network_fault, is_failing, self._receiver.clock.wall_us())
        stalls = list(self.stall_monitor.spans)
        rows = [build_fault_row("stalled", stall_span) for stall_span in stalls]
        rows += [build_fault_row("probe", span)] if span else []
        try:
            if rows:
                await self._receiver.journal.append(rows)
        except JournalError as error:
            log.error("%d faults of ours not written: %s", len(rows), error)
        else:
            self._network_fault = fault
            del self.stall_monitor.spans[: len(stalls)]

    async def _report_clones(self) -> None:
        """Report cloned agents in fleet.db and in their sessions."""
        directory = self._receiver.directory
        now_s = self._receiver.clock.wall_us() // 1_000_000
        for connection in self._connections.find_cloned(directory.heartbeat_s):
            try:
                await directory.quarantine(quarantine.record_clone, connection.agent, now_s)
            except sqlite3.Error as error:
                connection.is_cloned = False
                log.warning("fleet.db: %s", error)
        for connection in self._connections.list_of_agents(directory.take_changed()):
            self._follow_agent(connection)

    def on_fleet_change(self) -> None:
        """Offer the plan and end revoked sessions after another process wrote fleet.db."""
        for connection in self._connections:
            self._follow_agent(connection)
            offer_plan(connection, self._receiver)
        self._revocations.follow_agents(self._receiver.directory.list_agents())

    def _follow_agent(self, connection: AgentConnection) -> None:
        """Give a session the newest record of its agent, and end it if that was revoked."""
        agent = self._receiver.directory.get(connection.agent.id)
        if agent is None or agent.revoked_s is not None:
            connection.end(DisconnectReason.REVOKED)
        else:
            if agent.cloned_s is not None and connection.agent.cloned_s is None:
                advise_cloned(connection)
            now_us = self._receiver.clock.wall_us()
            self._queue_row(role_changes.change_agent(connection, agent, now_us))

    def locate_call(self, address_chain: str) -> PeerLocation:
        return self._receiver.geo.locate(address_chain, self._receiver.clock.wall_us())

    def find_sender(self, context: call_metadata.AnyContext) -> EnrolledAgent | None:
        return self._responder.senders.find(call_metadata.read_sender(context))

    def end_all_sessions(self) -> None:
        for connection in self._connections:
            connection.end(DisconnectReason.STOPPED)


def _answer_s(context: call_metadata.AnyContext) -> float:
    """Return the seconds for an answer, which end before the caller's deadline."""
    remaining_s = cast("float | None", context.time_remaining())  # None without a deadline
    return ANSWER_S if remaining_s is None else min(ANSWER_S, remaining_s - _ANSWER_TRIP_S)
