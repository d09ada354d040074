"""A session on one rung: as everybody would begin it, and where that fails, as it can be begun.

gRPC says only that it did not get through. So when nothing was heard, a look at the way says which
step fails and for whom, and may find a resolver, an address or a name with which it does not.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace

from heliograph.failure import Failure
from heliograph.http_envelope import ELSEWHERE
from heliograph_agent.net.trace import Trace
from heliograph_agent.state import Collector, State
from heliograph_agent.uplink.attempt_log import said
from heliograph_agent.uplink.channel import DoorError, Reason, open_channel
from heliograph_agent.uplink.clock_offset import ClockFilter
from heliograph_agent.uplink.dial_context import Ways
from heliograph_agent.uplink.proxy_bridge import target_of
from heliograph_agent.uplink.session import Party, Session
from heliograph_agent.uplink.transports import Rung

_DARK = (Reason.UNREACHABLE, Reason.NO_ANSWER)
LOOK_S = 40.0  # at the way, over all resolvers and addresses
_FAILURES = {
    Reason.NO_ANSWER: Failure.GENERIC_TIMEOUT_ERROR,
    Reason.ENDED: Failure.EOF_ERROR,
    Reason.PIN_MISMATCH: Failure.SSL_UNKNOWN_AUTHORITY,
    Reason.BUSY: None,  # it answered
    Reason.UNKNOWN_AGENT: None,
    Reason.REFUSED: Failure.UNEXPECTED_REPLY,
}


@dataclass(frozen=True, slots=True)
class Door:
    """Where and under what name the session knocks; by default as the entrance says."""

    place: str
    name: str | None = None
    certificate: str = ""  # PEM


class Streaming:
    """Made anew each time that this way is taken."""

    def __init__(
        self,
        *,
        state: State,
        party: Party,
        ways: Ways,
        rung: Rung,
        offsets: ClockFilter,
        heartbeat_s: int,
        idle: asyncio.Event,
        heard: Callable[[], bool],
        tried: Callable[[Trace], None],
    ) -> None:
        self._state, self._party, self._ways, self._rung = state, party, ways, rung
        self._offsets, self._heartbeat_s, self._idle = offsets, heartbeat_s, idle
        self._has_heard, self._tried = heard, tried
        self._session: Session | None = None
        self._trace = Trace(party.clock)
        self._well = False
        self._bye = ""

    def wake(self) -> None:
        if self._session is not None:
            self._session.wake()

    def leave(self, reason: str) -> None:
        self._bye = reason
        if self._session is not None:
            self._session.leave(reason)

    async def run(self) -> None:
        """Until told to leave. Raises DoorError, StateError."""
        try:
            await self._begin()
        except DoorError:
            if not self._bye:
                self._tried(self._trace)
            raise

    async def _begin(self) -> None:
        collector, entrance = self._collector(), self._rung.entrance
        if self._rung.guarded:  # gRPC would go wherever the name leads
            door = await self._look(collector)
            return await self._converse(door, self._collector())
        try:
            await self._converse(Door(entrance.host, entrance.server_name or None), collector)
        except DoorError as error:
            if self._bye or self._has_heard() or error.reason not in _DARK:
                raise
            door = await self._look(collector, error)
            await self._converse(door, self._collector())

    async def _converse(self, door: Door, collector: Collector) -> None:
        began_us = self._party.clock.monotonic_us()
        try:
            await self._through(door, collector)
        except DoorError as error:
            failure = _FAILURES.get(error.reason, Failure.CONNECTION_ABORTED)
            said(self._trace, began_us, failure, error.reason)
            raise

    def _heard(self) -> None:
        """The first word of this attempt is told at once; how it ends, at its end."""
        if not self._well:
            self._well = True
            said(self._trace, self._trace.began_us, None, "heard")
            self._tried(self._trace)
            self._trace = Trace(self._party.clock)
        self._party.heard()

    def _collector(self) -> Collector:
        collector = self._state.collector()
        if collector is None:
            raise DoorError(Reason.UNKNOWN_AGENT)
        return collector

    async def _through(self, door: Door, collector: Collector) -> None:
        certificate, name = door.certificate or collector.certificate, door.name
        if name is None and self._rung.proxied:
            name = self._rung.entrance.host  # the bridge's own would be said
        async with target_of(self._rung, door.place, self._ways, collector.pin) as target:
            await self._speak(target, certificate, name)

    async def _speak(self, target: str, certificate: str, name: str | None) -> None:
        from heliograph.v1 import intake_pb2_grpc

        party = replace(self._party, heard=self._heard)
        channel = open_channel(target, certificate, name)
        self._session = Session(party, self._offsets, self._heartbeat_s, self._idle)
        try:
            if self._bye:
                self._session.leave(self._bye)
            place = ELSEWHERE if self._rung.proxied else ""
            await self._session.run(intake_pb2_grpc.IntakeStub(channel), place)
        finally:
            self._session = None
            await channel.close()

    async def _look(self, collector: Collector, error: DoorError | None = None) -> Door:
        """Another door to the same, after `error` at the plain one; raises DoorError, with why
        there is none, and StateError."""
        finder = self._ways.finder(self._rung, collector.pin, self._trace)
        try:
            async with asyncio.timeout(LOOK_S):
                found = await finder.find(self._rung.entrance)
        except TimeoutError:
            raise error or DoorError(Reason.UNREACHABLE) from None
        found.stream.close()
        shown = ssl.DER_cert_to_PEM_cert(found.certificate)
        if shown != collector.certificate:  # the same key, so the same collector
            self._state.save_collector(replace(collector, certificate=shown))
        elif found.plain and error is not None:
            raise error
        return Door(found.place, found.name, shown)
