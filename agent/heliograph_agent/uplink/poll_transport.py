"""Run a session by polls, for agents without gRPC.

The session is the same as by a stream: the same messages, heartbeats and receipts. They travel in
requests and replies (`Poll` and `PollReply` in intake.proto), numbered and repeated until the other
side confirms them. The collector holds a poll until it has a message. A connection that
breaks is replaced at once, in the same session; one that brings no reply ends the session, so that
another transport is tried.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from google.protobuf.message import DecodeError

from heliograph.clock import Clock
from heliograph.error_group import find_first_error
from heliograph.http_envelope import (
    ELSEWHERE,
    ENROL_PATH,
    MAX_POLL_BYTES,
    MAX_REPLY,
    POLL_S,
    SESSION_PATH,
    format_request,
    take_message,
)
from heliograph.token_bucket import TokenBucket
from heliograph.units import SECOND_US
from heliograph.upload import upload_s
from heliograph.v1 import intake_pb2
from heliograph_agent.net.failure_mapping import NETWORK_ERRORS
from heliograph_agent.net.trace import StepTrace
from heliograph_agent.uplink.attempt_log import add_session_step
from heliograph_agent.uplink.channel import MAX_RETRY_AFTER_S, classify_status
from heliograph_agent.uplink.dial_context import DialContext
from heliograph_agent.uplink.dialer import PinnedConnection
from heliograph_agent.uplink.session import UplinkSession
from heliograph_agent.uplink.stream_transport import DIAL_S, StreamTransport, find_failure
from heliograph_agent.uplink.transports import Reason, Transport, UplinkError

MAX_ON_THE_WAY = 2  # polls: one that is held, and one that ends its wait
MAX_UNREAD = 64  # messages of the collector; until they are handled, no reply is read
ENROL_S = 15.0
# What a collector that holds no poll, or a network that resets each connection after its first
# reply, may cost a volunteer: a poll moves some 600 bytes, so 10 MB a day; a connection some 6 kB,
# so 17 MB a day. A carrier's NAT forgets a silent connection after 30 s at the earliest.
IDLE_S = 5.0  # between two polls where the first brought nothing
LINES = 8  # connections of a session in a row
LINE_S = 30.0  # until one more is allowed
_READ = 65_536
_LINE_ERRORS = (*NETWORK_ERRORS, TimeoutError, ValueError)


@dataclass(slots=True)
class PollLine:
    """One connection to the entrance: requests out, whole replies in."""

    connection: PinnedConnection
    host: str
    intermediary: str
    _received: bytearray = field(default_factory=bytearray)

    async def write(self, path: bytes, body: bytes) -> None:
        """Write a request. Raises OSError."""
        writer = self.connection.stream.writer
        writer.write(format_request(path, self.host, body, self.intermediary))
        await writer.drain()

    async def read(self) -> bytes:
        """Read the next reply's body. Raises OSError, ValueError, UplinkError."""
        while (message := take_message(self._received)) is None:
            if len(self._received) > MAX_REPLY + _READ:
                raise ValueError("a reply without end")
            data = await self.connection.stream.reader.read(_READ)
            if not data:
                raise ConnectionResetError
            self._received += data
        status, body = message
        if status != 200:
            raise UplinkError(Reason.REFUSED)
        return body

    def close(self) -> None:
        self.connection.stream.close()


@dataclass(frozen=True, slots=True)
class LineOpener:
    """Open connections to one entrance."""

    dial_context: DialContext
    transport: Transport
    pin: bytes

    @asynccontextmanager
    async def open(self, trace: StepTrace) -> AsyncIterator[PollLine]:
        """Open a line for the block. Raises UplinkError."""
        entrance = self.transport.entrance
        dialer = self.dial_context.make_dialer(self.transport, self.pin, trace)
        try:
            async with asyncio.timeout(DIAL_S):
                connection = await dialer.connect(entrance)
        except TimeoutError as error:
            raise UplinkError(Reason.UNREACHABLE) from error
        intermediary = ELSEWHERE if self.transport.is_proxied else ""
        line = PollLine(connection, entrance.server_name or entrance.host, intermediary)
        try:
            yield line
        finally:
            line.close()


class PolledStream:
    """Carry the messages of one session; `run` polls until its end."""

    def __init__(self, opener: LineOpener, clock: Clock, idle_s: float = IDLE_S) -> None:
        self._opener = opener
        self._clock = clock
        self._idle_s = idle_s
        self._name = b""
        self._outbox: deque[bytes] = deque()  # what the collector has not confirmed
        self._confirmed = 0
        self._received = 0
        self._written = 0  # of the outbox, on the present connection
        self._on_the_way = 0  # polls of the present connection without a reply
        self._replies = 0
        self._inbox: asyncio.Queue[intake_pb2.CollectorMessage | UplinkError] = asyncio.Queue(
            MAX_UNREAD
        )
        self._change = asyncio.Event()
        self._delivered = asyncio.Event()

    async def send(self, message: intake_pb2.AgentMessage) -> None:
        self._outbox.append(message.SerializeToString())
        self._delivered.clear()
        self._change.set()

    async def receive(self) -> intake_pb2.CollectorMessage:
        message = await self._inbox.get()
        if isinstance(message, UplinkError):
            raise message
        return message

    async def close(self) -> None:
        await self._delivered.wait()

    def cancel(self) -> None:
        """Do nothing: the owner ends `run`."""

    async def run(self, trace: StepTrace) -> None:
        """Poll until the end, which `receive` raises.

        The session also ends where the network breaks its connections again and again: single
        envelopes need fewer bytes there.
        """
        lines = TokenBucket(1 / LINE_S, LINES, LINES, self._clock.monotonic_us())
        while True:
            replies = self._replies
            if lines.take(1, self._clock.monotonic_us()):
                await self._inbox.put(UplinkError(Reason.UNREACHABLE))
                return
            try:
                async with self._opener.open(trace) as line:
                    await self._poll(line)
            except UplinkError as error:
                is_broken = error.reason in (Reason.UNREACHABLE, Reason.NO_ANSWER)
                if not is_broken or self._replies == replies:
                    await self._inbox.put(error)
                    return
                trace = StepTrace(self._clock)  # of the next connection

    async def _poll(self, line: PollLine) -> NoReturn:
        """Poll on one line until it fails. Raises UplinkError."""
        self._written = self._on_the_way = 0
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write_polls(line))
                await self._read_replies(line)
        except BaseExceptionGroup as errors:
            ends, others = errors.split(UplinkError)
            if ends is not None:
                raise find_first_error(ends) from errors
            broken, others = errors.split(_LINE_ERRORS)
            if broken is None or others is not None:
                raise
            late, _ = broken.split(TimeoutError)
            raise UplinkError(Reason.NO_ANSWER if late else Reason.UNREACHABLE) from errors
        raise AssertionError("a line ends by an error")

    async def _write_polls(self, line: PollLine) -> None:
        while True:
            has_news = self._written < len(self._outbox)
            if not self._on_the_way or (has_news and self._on_the_way < MAX_ON_THE_WAY):
                body = self._make_poll().SerializeToString()
                self._on_the_way += 1
                async with asyncio.timeout(upload_s(len(body))):
                    await line.write(SESSION_PATH, body)
                continue
            self._change.clear()
            await self._change.wait()

    def _make_poll(self) -> intake_pb2.Poll:
        """Take the unsent messages: one, and more while they are small."""
        first = self._confirmed + self._written
        size = 0
        messages: list[bytes] = []
        for message in list(self._outbox)[self._written :]:
            size += len(message)
            if messages and size > MAX_POLL_BYTES:
                break
            messages.append(message)
        self._written += len(messages)
        return intake_pb2.Poll(
            session=self._name, first=first, messages=messages, received=self._received
        )

    async def _read_replies(self, line: PollLine) -> NoReturn:
        while True:
            size = sum(map(len, self._outbox))
            began_us = self._clock.monotonic_us()
            async with asyncio.timeout(POLL_S + upload_s(size)):
                body = await line.read()
            try:
                is_news = await self._take_reply(intake_pb2.PollReply.FromString(body))
            except DecodeError as error:
                raise UplinkError(Reason.REFUSED) from error
            held_s = (self._clock.monotonic_us() - began_us) / SECOND_US
            if not is_news and self._on_the_way == 1 and held_s < self._idle_s:
                # A collector that holds no poll would be asked again and again.
                await asyncio.sleep(self._idle_s - held_s)
            self._on_the_way = max(0, self._on_the_way - 1)
            self._change.set()

    async def _take_reply(self, reply: intake_pb2.PollReply) -> bool:
        """Take a reply's new messages; it may come twice. Return whether there were any.

        Raises UplinkError at the end.
        """
        before = (self._received, self._confirmed)
        self._replies += 1
        self._name = self._name or reply.session
        while self._outbox and self._confirmed < reply.received:
            self._outbox.popleft()
            self._confirmed += 1
            self._written = max(0, self._written - 1)
        if reply.first <= self._received:
            for message in reply.messages[self._received - reply.first :]:
                await self._inbox.put(message)
                self._received += 1
        if not self._outbox or reply.HasField("end"):
            self._delivered.set()
        if reply.HasField("end"):
            raise make_end_error(reply.end)
        return (self._received, self._confirmed) != before


def make_end_error(end: intake_pb2.CallEnd) -> UplinkError:
    """Convert a call's end without gRPC as `channel.uplink_error_from` does with it."""
    retry_after_s = min(end.retry_after_s, MAX_RETRY_AFTER_S)
    return UplinkError(classify_status(end.status, end.details), retry_after_s)


class PollTransport(StreamTransport):
    """Run one session by polls for as long as this transport is used."""

    async def _connect(self) -> None:
        began_us = self._context.clock.monotonic_us()
        try:
            await self._run_session()
        except UplinkError as error:
            add_session_step(self._trace, began_us, find_failure(error), error.reason)
            raise

    async def _run_session(self) -> None:
        context = self._context
        pin = context.read_collector().pin
        opener = LineOpener(context.dial_context, self._transport, pin)
        stream = PolledStream(opener, context.clock)
        heartbeat_s = max(POLL_S, self._heartbeat_s)
        self._session = UplinkSession(context, self, heartbeat_s, self._transport.tag)
        if self._leave_reason:
            self._session.leave(self._leave_reason)
        failure: UplinkError | None = None
        try:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(stream.run(self._trace))
                try:
                    await self._session.run(stream)
                except UplinkError as error:  # raised below, outside the group
                    failure = error
                task.cancel()
        finally:
            self._session = None
        if failure is not None:
            raise failure


async def enrol_by_post(
    opener: LineOpener, request: intake_pb2.EnrolRequest, trace: StepTrace
) -> tuple[str, intake_pb2.EnrolResponse]:
    """Enroll at an entrance for POST; return the server's certificate and response.

    Raises UplinkError.
    """
    async with opener.open(trace) as line:
        try:
            async with asyncio.timeout(ENROL_S):
                await line.write(ENROL_PATH, request.SerializeToString())
                reply = intake_pb2.EnrolReply.FromString(await line.read())
        except TimeoutError as error:
            raise UplinkError(Reason.NO_ANSWER) from error
        except _LINE_ERRORS as error:
            raise UplinkError(Reason.UNREACHABLE) from error
        except DecodeError as error:
            raise UplinkError(Reason.REFUSED) from error
        if reply.HasField("refused"):
            raise make_end_error(reply.refused)
        return ssl.DER_cert_to_PEM_cert(line.connection.certificate), reply.response
