"""Keeps one session with the collector alive, and is patient when there is no way to it."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from heliograph_agent.state import State, StateError
from heliograph_agent.uplink.door import DoorError, Reason, open_channel, pinned_certificate
from heliograph_agent.uplink.offset import ClockFilter
from heliograph_agent.uplink.session import Party, Session

DIAGNOSE_S = 5.0
HURRIED = 4  # failures that are counted when the link is whole again: waits of up to 8 s
log = logging.getLogger("heliograph.uplink")

SENTENCES = {
    Reason.UNREACHABLE: "the collector cannot be reached",
    Reason.PIN_MISMATCH: "somebody else answers in the collector's place, nothing was sent",
    Reason.NO_ANSWER: "the collector does not answer",
    Reason.UNKNOWN_AGENT: "the collector does not know this agent (any more): ask its operator",
    Reason.BUSY: "the collector is busy",
    Reason.ENDED: "the collector ended the session",
    Reason.REFUSED: "the collector refused the session",
    Reason.SPOOL: "the spool cannot be read or written: see `heliograph-agent status`",
    Reason.STATE: "the agent's own files cannot be read: see `heliograph-agent status`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How the way to the collector stands, for status.json."""

    connected: bool = False
    last_success_us: int = 0
    last_failure: str = ""
    last_failure_us: int = 0


class Uplink:
    """`run` returns after `leave`; everything else is a hint to it."""

    def __init__(
        self,
        state: State,
        party: Party,
        *,
        heartbeat_s: Callable[[], int],
        patience: Callable[[int], float],
        changed: Callable[[], None],
    ) -> None:
        self.offsets = ClockFilter()
        self.reached = Reached()
        self._state = state
        self._party = replace(party, heard=self._heard)
        self._heartbeat_s = heartbeat_s
        self._patience = patience
        self._changed = changed
        self._failures = 0
        self._again_s = 0
        self._session: Session | None = None
        self._leaving = ""
        self._met = asyncio.Event()  # a session stands
        self._idle = asyncio.Event()  # the spool holds nothing that waits for a receipt
        self._stir = asyncio.Event()  # ends a wait between two attempts

    def wake(self) -> None:
        """A batch was closed."""
        self._idle.clear()
        if self._session is not None:
            self._session.wake()

    def hurry(self) -> None:
        """The link is whole again: a wait that grew in the dark shrinks to a few seconds.

        Not to none at all: everybody's link comes back at once.
        """
        if not self.reached.connected and self._failures > HURRIED:
            self._failures = HURRIED
            self._stir.set()

    def renew(self) -> None:
        """The network changed: end this session properly, and try again at once."""
        self._failures = 0
        self._stir.set()
        if self._session is not None:
            self._session.leave("network_change")

    def leave(self, reason: str) -> None:
        """Deliver what can be delivered at once, say goodbye, and let `run` return."""
        self._leaving = reason
        self._stir.set()
        if self._session is not None:
            self._session.leave(reason)

    async def delivered(self) -> None:
        """Until everything that was waiting is acknowledged; may never come, so bound it."""
        await self._met.wait()
        await self._idle.wait()

    async def run(self) -> None:
        """Can be run again after it was left, say after a pause."""
        self._leaving, self._failures = "", 0
        while not self._leaving:
            try:
                await self._attempt()
            except DoorError as error:
                self._again_s = error.again_s
                await self._failed(error.reason)
            except StateError:  # of a sick disk; it may get well
                await self._failed(Reason.STATE)
            self._set(replace(self.reached, connected=False))
            if not self._leaving:
                await self._wait()

    async def _attempt(self) -> None:
        from heliograph.v1 import intake_pb2_grpc

        collector = self._state.collector()
        if collector is None:
            raise DoorError(Reason.UNKNOWN_AGENT)
        channel = open_channel(collector.endpoint, collector.certificate)
        self._session = Session(self._party, self.offsets, self._heartbeat_s(), self._idle)
        try:
            await self._session.run(intake_pb2_grpc.IntakeStub(channel))
        finally:
            self._session = None
            await channel.close()

    async def _failed(self, reason: Reason) -> None:
        if self._leaving:
            return
        self._failures += 1
        if reason is Reason.UNREACHABLE and not self.reached.connected:
            reason = await self._diagnose()
        if self.reached.connected or reason != self.reached.last_failure:
            log.warning("%s; results are kept and sent later", SENTENCES.get(reason, reason))
        self._set(
            replace(
                self.reached,
                connected=False,
                last_failure=reason.value,
                last_failure_us=self._party.clock.wall_us(),
            )
        )

    async def _diagnose(self) -> Reason:
        """Why TLS or TCP failed: nobody there, somebody else there, or a renewed certificate."""
        try:
            collector = self._state.collector()
            if collector is None:
                return Reason.UNKNOWN_AGENT
            shown = await pinned_certificate(collector.endpoint, collector.pin, DIAGNOSE_S)
            if shown != collector.certificate:  # the same key, so the same collector
                self._state.save_collector(replace(collector, certificate=shown))
        except DoorError as error:
            return error.reason
        except StateError:  # a full disk, say; the next attempt comes here again
            return Reason.STATE
        return Reason.UNREACHABLE

    async def _wait(self) -> None:
        seconds = self._patience(self._failures) if self._failures else 0.0
        seconds = max(seconds, float(self._again_s))  # its own wish when to be asked again
        self._again_s = 0
        while await self._stirred(seconds) and self._failures and not self._leaving:
            seconds = min(seconds, self._patience(self._failures))

    async def _stirred(self, seconds: float) -> bool:
        self._stir.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stir.wait()
                return True
        return False

    def _heard(self) -> None:
        self._failures = 0
        if not self.reached.connected:
            log.info("connected to the collector")
        self._set(
            replace(self.reached, connected=True, last_success_us=self._party.clock.wall_us())
        )

    def _set(self, reached: Reached) -> None:
        moved = reached.connected != self.reached.connected
        self.reached = reached
        if reached.connected:
            self._met.set()
        else:
            self._met.clear()
        if moved or not reached.connected:
            self._changed()
