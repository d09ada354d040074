"""Deliver one envelope per connection, for networks on which no session survives.

An agent posts its own envelopes, and a relay those of others. Each connection is new, carries one
envelope and its answer, and ends within two dozen packets. Envelopes small enough for that are sent
first.
"""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from google.protobuf.message import DecodeError

from heliograph import http_envelope, keys, plan_chunks
from heliograph.failure import Failure, Operation
from heliograph.plan import Carrier
from heliograph.receipts import STATUS_NAMES
from heliograph.upload import SENDER_HEADER, begin_proof, upload_s
from heliograph.v1 import envelope_pb2, intake_pb2
from heliograph_agent.net import ByteStream, StepTrace
from heliograph_agent.net.http.http1 import Http1Exchange
from heliograph_agent.net.step import Step
from heliograph_agent.state import Collector
from heliograph_agent.uplink.channel import (
    make_metadata,
    open_channel,
    open_target,
    uplink_error_from,
)
from heliograph_agent.uplink.dial_context import DialContext
from heliograph_agent.uplink.dialer import PinnedConnection
from heliograph_agent.uplink.plan_download import PlanDownload, read_relayed_receipt
from heliograph_agent.uplink.send_window import MAX_HOLD_S
from heliograph_agent.uplink.session import (
    ReplyListener,
    UplinkContext,
    convert_spool_errors,
    record_receipt,
)
from heliograph_agent.uplink.transports import SMALL_ENVELOPE_BYTES, Reason, Transport, UplinkError

BACKLOG_POLL_S = 30.0  # while a backlog is delayed
LOOKAHEAD = 64  # envelopes from which the next is chosen
MAX_UNSETTLED = 4  # unsettled answers in a row after which a relay counts as failed
MAX_ANSWER = 8_192  # a receipt, perhaps signed, and a piece of a plan
_HEADERS = {
    "Content-Type": "application/x-protobuf",
    "User-Agent": "Mozilla/5.0",  # shorter than a browser's; only the collector reads it
    "Accept": "*/*",
    "Accept-Language": "en",
}


@dataclass(frozen=True, slots=True)
class SinglePost:
    """Hold an envelope and the values of its headers."""

    envelope: bytes
    plan: intake_pb2.PlanHeld | None = field(default=None, compare=False)
    intermediary: str = ""  # ELSEWHERE, RELAY, or "" where the peer is the agent itself
    sender: str = ""  # the agent's proof for the collector; never for a relay

    @property
    def headers(self) -> dict[str, str]:
        header_values = dict(_HEADERS)
        if self.plan is not None:
            header_values[http_envelope.PLAN_HEADER.title()] = plan_chunks.format_progress(
                self.plan
            )
        if self.intermediary:
            header_values[http_envelope.INTERMEDIARY_HEADER.title()] = self.intermediary
        if self.sender:
            header_values[SENDER_HEADER.title()] = self.sender
        return header_values

    @property
    def deadline_s(self) -> float:
        """Return the seconds from the request's first byte to the receipt."""
        return upload_s(len(self.envelope))


@dataclass(frozen=True, slots=True)
class EnvelopeDelivery:
    """Deliver envelopes by one transport, each over a new connection."""

    dial_context: DialContext
    transport: Transport
    pin: bytes
    trace: StepTrace

    async def deliver(self, single_post: SinglePost) -> intake_pb2.SubmitResponse:
        """Dial the transport and deliver the envelope. Raises UplinkError."""
        entrance = self.transport.entrance
        dialer = self.dial_context.make_dialer(self.transport, self.pin, self.trace)
        connection = await dialer.connect(entrance)
        try:
            if entrance.carrier is not Carrier.STREAM:
                return await self._post(connection.stream, single_post)
        finally:
            connection.stream.close()
        return await self._submit(connection, single_post)

    async def _post(self, stream: ByteStream, single_post: SinglePost) -> intake_pb2.SubmitResponse:
        entrance = self.transport.entrance
        host = entrance.server_name or entrance.host
        host = f"[{host}]" if ":" in host else host
        exchange = Http1Exchange(
            stream.reader,
            stream.writer,
            f"https://{host}/v1/envelopes",
            method="POST",
            headers=single_post.headers,
            content=single_post.envelope,
            keep_bytes=MAX_ANSWER,
        )
        scrubber = self.dial_context.get_scrubber()
        operation = Operation.HTTP_ROUND_TRIP
        deadline_s = single_post.deadline_s
        with Step(
            self.trace, scrubber, operation, deadline_s, stream.step_result, "", exchange
        ) as step:
            await exchange.run_round_trip()
            await exchange.read_body(MAX_ANSWER)
        if not step.result.is_success:
            is_timeout = step.result.observation.failure is Failure.GENERIC_TIMEOUT_ERROR
            raise UplinkError(Reason.NO_ANSWER if is_timeout else Reason.UNREACHABLE)
        try:
            return _check_response(intake_pb2.SubmitResponse.FromString(bytes(exchange.body)))
        except DecodeError as error:
            raise UplinkError(Reason.REFUSED) from error

    async def _submit(
        self, connection: PinnedConnection, single_post: SinglePost
    ) -> intake_pb2.SubmitResponse:
        """Submit by a gRPC call to a session entrance."""
        import grpc

        from heliograph.v1 import intake_pb2_grpc

        envelope = envelope_pb2.Envelope.FromString(single_post.envelope)
        request = intake_pb2.SubmitRequest(envelope=envelope, plan=single_post.plan)
        metadata = make_metadata(single_post.intermediary, single_post.sender)
        certificate = ssl.DER_cert_to_PEM_cert(connection.certificate)
        address = connection.address
        async with (
            open_target(self.transport, address, self.dial_context, self.pin) as target,
            open_channel(target, certificate, connection.name) as channel,
        ):
            submit = intake_pb2_grpc.IntakeStub(channel).Submit
            try:
                deadline_s = single_post.deadline_s
                return _check_response(await submit(request, timeout=deadline_s, metadata=metadata))
            except grpc.aio.AioRpcError as error:
                raise uplink_error_from(error) from error


def _check_response(response: intake_pb2.SubmitResponse) -> intake_pb2.SubmitResponse:
    """Raise UplinkError if the response is not a collector's."""
    if response.receipt.status == intake_pb2.STATUS_UNSPECIFIED:
        raise UplinkError(Reason.REFUSED)
    return response


class PostMonitor(ReplyListener, Protocol):
    """Declare the queries and reports of a PostTransport to the owner of all."""

    def probe_in_s(self) -> float | None:
        """Return the seconds until a probe of better transports; None if there is none."""
        ...

    def record_attempt(self, target: str, trace: StepTrace) -> None: ...

    def note_delivery(self, transport: Transport) -> None: ...


class PostTransport:
    """Send waiting envelopes one by one, for as long as this transport is used."""

    def __init__(
        self,
        context: UplinkContext,
        transport: Transport,
        monitor: PostMonitor,
        plan_download: PlanDownload,
        collector: Collector,
    ) -> None:
        self._context = context
        self._clock = context.clock
        self._transport = transport
        self._monitor = monitor
        self._plan_download = plan_download
        self._collector = collector
        self._unsettled_count = 0
        self._work_event = asyncio.Event()
        self._is_leaving = False
        self._hold_until_us = 0
        self._has_held_back = False  # delayed envelopes wait

    def wake(self) -> None:
        """Check the spool for new envelopes."""
        self._context.idle_event.clear()
        self._work_event.set()

    def leave(self, reason: str) -> None:
        """Let `run` return without a goodbye, because there is no session."""
        del reason
        self._is_leaving = True
        self._work_event.set()

    async def run(self) -> None:
        """Run until `leave` or a due probe of better transports. Raises UplinkError."""
        while not self._is_leaving:
            remaining_s = self._monitor.probe_in_s()
            if remaining_s is not None and remaining_s <= 0:
                return
            self._work_event.clear()
            envelope = None if self._on_hold_s() else await self._next_envelope()
            if envelope is None:
                await self._wait_work(remaining_s)
            else:
                await self._deliver(*envelope)

    async def _wait_work(self, remaining_s: float | None) -> None:
        """Wait until there is work, a hold ends or a probe is due."""
        hold_s = self._on_hold_s()
        if not hold_s and not self._has_held_back and not self._work_event.is_set():
            self._context.idle_event.set()
        waits = [
            wait for wait in (remaining_s, hold_s, BACKLOG_POLL_S * self._has_held_back) if wait
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(min(waits, default=None)):
                await self._work_event.wait()

    def _on_hold_s(self) -> float:
        return max(0.0, (self._hold_until_us - self._clock.monotonic_us()) / 1e6)

    async def _next_envelope(self) -> tuple[int, bytes] | None:
        """Return the first small envelope that is due, else the first envelope."""
        with convert_spool_errors():
            while waiting := await self._list_waiting():
                small = (entry for entry in waiting if len(entry[1]) <= SMALL_ENVELOPE_BYTES)
                selected = next(small, waiting[0])
                if await self._context.spool.mark_offered([selected[0]]):
                    return selected
        return None

    async def _list_waiting(self) -> list[tuple[int, bytes]]:
        """List due envelopes; after a long absence one of the backlog is a probe."""
        delay = self._context.reconnect_delay
        spool = self._context.spool
        skip_through = await delay.skip_through(spool)
        envelopes = await spool.list_waiting(LOOKAHEAD, skip_through)
        self._has_held_back = bool(skip_through)
        return await spool.list_waiting(1) if delay.is_away() and not envelopes else envelopes

    async def _deliver(self, sequence: int, envelope: bytes) -> None:
        """Deliver one envelope and process its receipt. Raises UplinkError."""
        agent = self._context.agent
        trace = StepTrace(self._clock)
        pin = self._transport.select_pin(self._collector.pin)
        delivery = EnvelopeDelivery(self._context.dial_context, self._transport, pin, trace)
        progress = self._plan_download.describe_progress(agent.session_facts().plan_version)
        intermediary = http_envelope.ELSEWHERE if self._transport.is_proxied else ""
        try:
            sender = "" if self._transport.is_relay else await self._sign_proof(envelope)
            response = await delivery.deliver(SinglePost(envelope, progress, intermediary, sender))
        finally:
            self._monitor.record_attempt(self._transport.name, trace)
        receipt = self._read_receipt(envelope, response)
        if receipt.sequence not in (0, sequence):
            raise UplinkError(Reason.REFUSED)
        if (plan := self._plan_download.add_response(response)) is not None:
            agent.take_plan(plan)
        self._check_receipt(receipt)
        await self._settle_envelope(sequence, receipt)

    async def _sign_proof(self, envelope: bytes) -> str:
        """Return the proof that identifies this agent before the envelope arrives."""
        agent = self._context.agent
        proof = begin_proof(agent.agent_id, envelope)
        context = keys.bind_context(keys.UPLOAD, self._collector.pin)
        return replace(proof, signature=await agent.sign(context, proof.message)).format()

    def _read_receipt(
        self, envelope: bytes, response: intake_pb2.SubmitResponse
    ) -> intake_pb2.Receipt:
        """Read the receipt; only that of a relay needs proof, as it has another key."""
        if self._transport.is_relay:
            return read_relayed_receipt(self._collector, envelope, response)
        return response.receipt

    def _check_receipt(self, receipt: intake_pb2.Receipt) -> None:
        """Count answers of a relay without a signed receipt. Raises UplinkError."""
        if self._transport.is_relay and receipt.status not in STATUS_NAMES:
            self._unsettled_count += 1
            if self._unsettled_count >= MAX_UNSETTLED:
                raise UplinkError(Reason.NO_ANSWER)
            return
        self._unsettled_count = 0
        self._monitor.note_reply()
        self._monitor.note_delivery(self._transport)

    async def _settle_envelope(self, sequence: int, receipt: intake_pb2.Receipt) -> None:
        """Record the receipt in the spool, or pause as it asks. Raises UplinkError."""
        if not self._unsettled_count:
            with convert_spool_errors():
                await self._context.reconnect_delay.record_reply(self._context.spool)
        wait_s = min(await record_receipt(self._context, sequence, receipt), MAX_HOLD_S)
        if wait_s:
            self._hold_until_us = self._clock.monotonic_us() + wait_s * 1_000_000
