"""Run a session on one transport, if necessary by other addresses and names.

The plain address is dialed first. gRPC does not report why it failed to connect. So when nothing
was received, the dialer records which step fails, and may find a resolver, an address or a name
with which none fails.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace

from heliograph.failure import Failure
from heliograph.http_envelope import ELSEWHERE
from heliograph_agent.net.trace import StepTrace
from heliograph_agent.state import Collector, State
from heliograph_agent.uplink.attempt_log import add_session_step
from heliograph_agent.uplink.channel import open_channel, open_target
from heliograph_agent.uplink.clock_offset import ClockFilter
from heliograph_agent.uplink.dial_context import DialContext
from heliograph_agent.uplink.session import SessionHost, UplinkSession
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


@dataclass(frozen=True, slots=True)
class SessionTarget:
    """Hold address and server name; by default those of the entrance."""

    address: str
    name: str | None = None
    certificate: str = ""  # PEM


class StreamTransport:
    """Run one session for as long as this transport is used."""

    def __init__(
        self,
        *,
        state: State,
        host: SessionHost,
        dial_context: DialContext,
        transport: Transport,
        offsets: ClockFilter,
        heartbeat_s: int,
        idle_event: asyncio.Event,
        is_connected: Callable[[], bool],
        on_attempt: Callable[[StepTrace], None],
    ) -> None:
        self._state = state
        self._host = host
        self._dial_context = dial_context
        self._transport = transport
        self._offsets = offsets
        self._heartbeat_s = heartbeat_s
        self._idle_event = idle_event
        self._is_connected = is_connected
        self._on_attempt = on_attempt
        self._session: UplinkSession | None = None
        self._trace = StepTrace(host.clock)
        self._has_reply = False
        self._leave_reason = ""

    def wake(self) -> None:
        if self._session is not None:
            self._session.wake()

    def leave(self, reason: str) -> None:
        self._leave_reason = reason
        if self._session is not None:
            self._session.leave(reason)

    async def run(self) -> None:
        """Run until `leave`. Raises UplinkError, StateError."""
        try:
            await self._connect()
        except UplinkError:
            if not self._leave_reason:
                self._on_attempt(self._trace)
            raise

    async def _connect(self) -> None:
        collector = self._read_collector()
        entrance = self._transport.entrance
        if self._transport.is_guarded:  # gRPC would follow the name into a private network
            session_target = await self._find_target(collector)
            return await self._run_logged(session_target, self._read_collector())
        try:
            await self._run_logged(
                SessionTarget(entrance.host, entrance.server_name or None), collector
            )
        except UplinkError as error:
            if self._leave_reason or self._is_connected() or error.reason not in _SILENT_REASONS:
                raise
            session_target = await self._find_target(collector, error)
            await self._run_logged(session_target, self._read_collector())

    async def _run_logged(self, session_target: SessionTarget, collector: Collector) -> None:
        began_us = self._host.clock.monotonic_us()
        try:
            await self._open_and_run(session_target, collector)
        except UplinkError as error:
            failure = _FAILURES.get(error.reason, Failure.CONNECTION_ABORTED)
            add_session_step(self._trace, began_us, failure, error.reason)
            raise

    def _on_reply(self) -> None:
        """Report the first message of this attempt at once; its end is reported later."""
        if not self._has_reply:
            self._has_reply = True
            add_session_step(self._trace, self._trace.started_us, None, "heard")
            self._on_attempt(self._trace)
            self._trace = StepTrace(self._host.clock)
        self._host.on_reply()

    def _read_collector(self) -> Collector:
        collector = self._state.collector()
        if collector is None:
            raise UplinkError(Reason.UNKNOWN_AGENT)
        return collector

    async def _open_and_run(self, session_target: SessionTarget, collector: Collector) -> None:
        certificate = session_target.certificate or collector.certificate
        name = session_target.name
        if name is None and self._transport.is_proxied:
            name = self._transport.entrance.host  # not the name of the bridge
        async with open_target(
            self._transport, session_target.address, self._dial_context, collector.pin
        ) as target:
            await self._run_session(target, certificate, name)

    async def _run_session(self, target: str, certificate: str, name: str | None) -> None:
        from heliograph.v1 import intake_pb2_grpc

        host = replace(self._host, on_reply=self._on_reply)
        channel = open_channel(target, certificate, name)
        self._session = UplinkSession(host, self._offsets, self._heartbeat_s, self._idle_event)
        try:
            if self._leave_reason:
                self._session.leave(self._leave_reason)
            intermediary = ELSEWHERE if self._transport.is_proxied else ""
            await self._session.run(intake_pb2_grpc.IntakeStub(channel), intermediary)
        finally:
            self._session = None
            await channel.close()

    async def _find_target(
        self, collector: Collector, error: UplinkError | None = None
    ) -> SessionTarget:
        """Find another address or name, after `error` at the plain one.

        Raises UplinkError with the reason when there is none, and StateError.
        """
        dialer = self._dial_context.make_dialer(self._transport, collector.pin, self._trace)
        try:
            async with asyncio.timeout(DIAL_S):
                connection = await dialer.connect(self._transport.entrance)
        except TimeoutError:
            raise error or UplinkError(Reason.UNREACHABLE) from None
        connection.stream.close()
        certificate = ssl.DER_cert_to_PEM_cert(connection.certificate)
        if certificate != collector.certificate:  # the same key, so the same collector
            self._state.save_collector(replace(collector, certificate=certificate))
        elif connection.is_default and error is not None:
            raise error
        return SessionTarget(connection.address, connection.name, certificate)
