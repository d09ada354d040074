"""Run a session on one transport, if necessary by other addresses and names.

The plain address is dialed first. gRPC does not report why it failed to connect. So when nothing
was received, the dialer records which step fails, and may find a resolver, an address or a name
with which none fails.
"""

import asyncio
import ssl
from dataclasses import dataclass, replace
from typing import Protocol

from heliograph.failure import Failure
from heliograph.http_envelope import ELSEWHERE
from heliograph_agent.net.trace import StepTrace
from heliograph_agent.state import Collector
from heliograph_agent.uplink.attempt_log import add_session_step
from heliograph_agent.uplink.channel import GrpcStream, make_metadata, open_channel, open_target
from heliograph_agent.uplink.session import ReplyListener, UplinkContext, UplinkSession
from heliograph_agent.uplink.transports import Reason, Transport, UplinkError

_SILENT_REASONS = (Reason.UNREACHABLE, Reason.NO_ANSWER)
DIAL_S = 40.0  # over all resolvers and addresses
_FAILURES = {
    Reason.NO_ANSWER: Failure.GENERIC_TIMEOUT_ERROR,
    Reason.ENDED: Failure.EOF_ERROR,
    Reason.PIN_MISMATCH: Failure.SSL_UNKNOWN_AUTHORITY,
    Reason.BUSY: None,  # the collector answered
    Reason.UNKNOWN_AGENT: None,
    Reason.REFUSED: Failure.UNEXPECTED_REPLY,
}


def find_failure(error: UplinkError) -> Failure | None:
    """Return the failure word of a session's end, None where the collector answered."""
    return _FAILURES.get(error.reason, Failure.CONNECTION_ABORTED)


@dataclass(frozen=True, slots=True)
class SessionTarget:
    """Hold address and server name; by default those of the entrance."""

    address: str
    name: str | None = None
    certificate: str = ""  # PEM


class StreamMonitor(ReplyListener, Protocol):
    """Declare the queries and reports of a StreamTransport to the owner of all."""

    @property
    def is_connected(self) -> bool: ...

    def record_attempt(self, target: str, trace: StepTrace) -> None: ...


class StreamTransport:
    """Run one session for as long as this transport is used."""

    def __init__(
        self,
        context: UplinkContext,
        transport: Transport,
        monitor: StreamMonitor,
        heartbeat_s: int,
    ) -> None:
        self._context = context
        self._transport = transport
        self._monitor = monitor
        self._heartbeat_s = heartbeat_s
        self._session: UplinkSession | None = None
        self._trace = StepTrace(context.clock)
        self._has_reply = False
        self._leave_reason = ""

    def wake(self) -> None:
        if self._session is not None:
            self._session.wake()

    def leave(self, reason: str) -> None:
        self._leave_reason = reason
        if self._session is not None:
            self._session.leave(reason)

    def note_reply(self) -> None:
        """Report the first message of this attempt at once; its end is reported later."""
        if not self._has_reply:
            self._has_reply = True
            add_session_step(self._trace, self._trace.started_us, None, "heard")
            self._monitor.record_attempt(self._transport.name, self._trace)
            self._trace = StepTrace(self._context.clock)
        self._monitor.note_reply()

    async def run(self) -> None:
        """Run until `leave`. Raises UplinkError, StateError."""
        try:
            await self._connect()
        except UplinkError:
            if not self._leave_reason:
                self._monitor.record_attempt(self._transport.name, self._trace)
            raise

    async def _connect(self) -> None:
        collector = self._context.read_collector()
        entrance = self._transport.entrance
        if self._transport.is_guarded:  # gRPC would follow the name into a private network
            return await self._run_logged(await self._find_target(collector))
        try:
            await self._run_logged(SessionTarget(entrance.host, entrance.server_name or None))
        except UplinkError as error:
            is_silent = error.reason in _SILENT_REASONS
            if self._leave_reason or self._monitor.is_connected or not is_silent:
                raise
            await self._run_logged(await self._find_target(collector, error))

    async def _run_logged(self, session_target: SessionTarget) -> None:
        began_us = self._context.clock.monotonic_us()
        try:
            await self._open_and_run(session_target)
        except UplinkError as error:
            add_session_step(self._trace, began_us, find_failure(error), error.reason)
            raise

    async def _open_and_run(self, session_target: SessionTarget) -> None:
        from heliograph.v1 import intake_pb2_grpc

        collector = self._context.read_collector()
        name = session_target.name
        if name is None and self._transport.is_proxied:
            name = self._transport.entrance.host  # not the name of the bridge
        async with (
            open_target(
                self._transport, session_target.address, self._context.dial_context, collector.pin
            ) as target,
            open_channel(
                target, session_target.certificate or collector.certificate, name
            ) as channel,
        ):
            self._session = UplinkSession(
                self._context, self, self._heartbeat_s, self._transport.tag
            )
            try:
                if self._leave_reason:
                    self._session.leave(self._leave_reason)
                intermediary = ELSEWHERE if self._transport.is_proxied else ""
                call = intake_pb2_grpc.IntakeStub(channel).Session(
                    metadata=make_metadata(intermediary)
                )
                await self._session.run(GrpcStream(call))
            finally:
                self._session = None

    async def _find_target(
        self, collector: Collector, error: UplinkError | None = None
    ) -> SessionTarget:
        """Find another address or name, after `error` at the plain one.

        Raises UplinkError with the reason when there is none, and StateError.
        """
        dialer = self._context.dial_context.make_dialer(self._transport, collector.pin, self._trace)
        try:
            async with asyncio.timeout(DIAL_S):
                connection = await dialer.connect(self._transport.entrance)
        except TimeoutError:
            raise error or UplinkError(Reason.UNREACHABLE) from None
        connection.stream.close()
        certificate = ssl.DER_cert_to_PEM_cert(connection.certificate)
        if certificate != collector.certificate:  # the same key, so the same collector
            self._context.state.save_collector(replace(collector, certificate=certificate))
        elif connection.is_default and error is not None:
            raise error
        return SessionTarget(connection.address, connection.name, certificate)
