"""Keeps a way to the collector open, whichever it is, and is patient when there is none."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from heliograph.plan import Carrier, Entrance
from heliograph_agent.net.trace import Trace
from heliograph_agent.state import UPLINK, Collector, State, StateError
from heliograph_agent.uplink.attempt_log import Attempts
from heliograph_agent.uplink.channel import DoorError, Reason
from heliograph_agent.uplink.clock_offset import ClockFilter
from heliograph_agent.uplink.dial_context import Ways
from heliograph_agent.uplink.dns_beacon import LastWord
from heliograph_agent.uplink.plan_download import News, by_relay, its_own
from heliograph_agent.uplink.reconnect_delay import Returning
from heliograph_agent.uplink.session import Party
from heliograph_agent.uplink.transport_selector import Ladder
from heliograph_agent.uplink.transports import Rung, rungs

HURRIED = 4  # failures that are counted when the link is whole again: waits of up to 8 s
STEADY_US = 180_000_000  # a session that stood so long is no frozen one
NOTES = 64  # tries that wait to be written down
log = logging.getLogger("heliograph.uplink")

# Another way may help against these; the rest is between the collector and us.
ON_THE_WAY = (Reason.UNREACHABLE, Reason.NO_ANSWER, Reason.PIN_MISMATCH)

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
    way: str = ""  # the name of the rung that is or was gone
    last_success_us: int = 0
    last_failure: str = ""
    last_failure_us: int = 0
    last_word_us: int = 0  # when the collector last answered a word by DNS


class Going(Protocol):
    """A way that is being gone: a session, or one envelope after the other."""

    def wake(self) -> None: ...

    def leave(self, reason: str) -> None: ...


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
        entrances: Callable[[], Sequence[Entrance]] = tuple,
        guarded: Callable[[Entrance], bool] = lambda _: False,
        ways: Ways | None = None,
        last_word: LastWord | None = None,
    ) -> None:
        self.offsets = ClockFilter()
        self.reached = Reached()
        self.ways = ways or Ways(party.clock, random.SystemRandom())
        self._state = state
        self.returning = Returning(party.clock, self.ways.rng)
        self._party = replace(party, heard=self._heard, returning=self.returning)
        self._heartbeat_s = heartbeat_s
        self._patience = patience
        self._changed = changed
        self._entrances, self._guarded = entrances, guarded
        self._last_word = last_word
        self._ladder: Ladder | None = None
        self._news = News(lambda: party.facts().plan_version, party.take_plan)
        self._attempts = Attempts(party.clock, party.attempted)
        self._notes: asyncio.Queue[tuple[str, Trace]] = asyncio.Queue(NOTES)
        self._failures = 0
        self._rest_for = 0  # failures that the next wait is for
        self._again_s = 0
        self._going: Going | None = None
        self._began_us = 0
        self._leaving = ""
        self._met = asyncio.Event()  # a way stands
        self._idle = asyncio.Event()  # the spool holds nothing that waits for a receipt
        self._stir = asyncio.Event()  # ends a wait between two attempts

    def wake(self) -> None:
        """A batch was closed."""
        self._idle.clear()
        if self._going is not None:
            self._going.wake()

    def hurry(self) -> None:
        """The link is whole again: a wait that grew in the dark shrinks to a few seconds.

        Not to none at all: everybody's link comes back at once.
        """
        if not self.reached.connected and self._failures > HURRIED:
            self._failures = self._rest_for = HURRIED
            self._stir.set()

    def renew(self) -> None:
        """The network changed: end this session properly, and try again at once, best way first."""
        self._failures = self._rest_for = 0
        self._attempts.forget()
        if self._ladder is not None:
            self._ladder.moved()
        self._stir.set()
        if self._going is not None:
            self._going.leave("network_change")

    def leave(self, reason: str) -> None:
        """Deliver what can be delivered at once, say goodbye, and let `run` return."""
        self._leaving = reason
        self._stir.set()
        if self._going is not None:
            self._going.leave(reason)

    async def delivered(self) -> None:
        """Until everything that was waiting is acknowledged; may never come, so bound it."""
        await self._met.wait()
        await self._idle.wait()

    async def run(self) -> None:
        """Can be run again after it was left, say after a pause."""
        self._leaving, self._failures, self._rest_for = "", 0, 0
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._write_notes())
            await self._climb()
            writing.cancel()
        while not self._notes.empty():
            await self._attempts.note(*self._notes.get_nowait())
        await self._attempts.flush()

    async def _climb(self) -> None:
        while not self._leaving:
            rung: Rung | None = None
            try:
                self._ladder = self._ladder or self._remembered()
                rung = self._next(self._ladder)
                await self._go(rung)
            except DoorError as error:
                self._again_s = error.again_s
                self._failed(rung, error.reason)
            except StateError:  # of a sick disk; it may get well
                self._failed(rung, Reason.STATE)
            finally:
                self._going = None
            self._set(replace(self.reached, connected=False))
            await self._say_last_word()
            if not self._leaving:
                await self._wait()

    def _next(self, ladder: Ladder) -> Rung:
        """Raises DoorError, StateError."""
        return ladder.next(self._rungs(), self._party.clock.monotonic_us(), self.ways.rng)

    def _rungs(self) -> Sequence[Rung]:
        collector = self._state.collector()
        if collector is None:
            raise DoorError(Reason.UNKNOWN_AGENT)
        ways, use = self._entrances(), self.ways.proxy_use
        return rungs(collector.endpoint, ways, use, self._guarded)

    async def _go(self, rung: Rung) -> None:
        """Raises DoorError, StateError; returns when told to leave or to look for a better way."""
        self._began_us = self._party.clock.monotonic_us()
        self._set(replace(self.reached, way=rung.name))
        if rung.entrance.carrier is Carrier.STREAM:
            await self._stream(rung)
        else:
            await self._post(rung)

    async def _stream(self, rung: Rung) -> None:
        from heliograph_agent.uplink.stream_transport import Streaming

        streaming = Streaming(
            state=self._state,
            party=self._party,
            ways=self.ways,
            rung=rung,
            offsets=self.offsets,
            heartbeat_s=self._heartbeat_s(),
            idle=self._idle,
            heard=lambda: self.reached.connected,
            tried=lambda trace: self._note(rung.name, trace),
        )
        self._going = streaming
        await streaming.run()

    async def _post(self, rung: Rung) -> None:
        from heliograph_agent.uplink.post_transport import Posting
        from heliograph_agent.uplink.single_post import hand_over

        collector = self._state.collector()
        if collector is None or self._ladder is None:
            raise DoorError(Reason.UNKNOWN_AGENT)
        pin, ladder = rung.pin(collector.pin), self._ladder
        posting = Posting(
            self._party,
            rung,
            lambda lone, trace: hand_over(self.ways, rung, pin, lone, trace),
            self._idle,
            news=self._news,
            word=by_relay(collector) if rung.by_relay else its_own,
            tried=lambda trace: self._note(rung.name, trace),
            held=lambda: self._held(rung),
        )
        self._going = posting
        await posting.run(lambda: ladder.probe_in_s(self._party.clock.monotonic_us()))

    async def _say_last_word(self) -> None:
        """When every way has failed, and only where both sides allow it."""
        now_us, collector = self._party.clock.monotonic_us(), self._collector()
        if self._last_word is None or collector is None or self._leaving or not self._failures:
            return
        if not self._last_word.due(now_us):
            return
        words = self._last_word.words(collector, self._party.clock.wall_us())
        if words is None:
            return
        trace = Trace(self._party.clock)
        await self.ways.net(trace).resolve(words.name, query_type="AAAA")
        wall_us = self._party.clock.wall_us()
        if self._last_word.spoke(words, trace, wall_us, self._party.clock.monotonic_us()):
            log.info("the collector took in by DNS what answers here")
            self._set(replace(self.reached, last_word_us=wall_us))
        self._note(self._last_word.target, trace)

    def _collector(self) -> Collector | None:
        with suppress(StateError):
            return self._state.collector()
        return None

    def _failed(self, rung: Rung | None, reason: Reason) -> None:
        if self._leaving:
            return
        if self._is_last(rung, reason):
            self._failures += 1
            self._rest_for = self._failures
        else:
            self._rest_for = 1  # the next way after a moment
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

    def _is_last(self, rung: Rung | None, reason: Reason) -> bool:
        """Whether a pass over all ways is over; what no other way would cure ends it too."""
        lone = rung is not None and rung.entrance.carrier is not Carrier.STREAM
        refused = reason is Reason.REFUSED and lone
        if rung is None or self._ladder is None or (reason not in ON_THE_WAY and not refused):
            return True
        before = self._ladder.probes
        last = self._ladder.failed(rung, self._party.clock.monotonic_us(), self.ways.rng)
        if self._ladder.probes != before:
            self._remember(self._ladder)
        return last

    async def _wait(self) -> None:
        seconds = self._patience(self._rest_for) if self._rest_for else 0.0
        seconds = max(seconds, float(self._again_s))  # its own wish when to be asked again
        self._again_s = 0
        while await self._stirred(seconds) and self._rest_for and not self._leaving:
            seconds = min(seconds, self._patience(self._rest_for))
        self._rest_for = 0

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
            by = "" if self.reached.way.startswith(Carrier.STREAM) else ", one batch at a time"
            log.info("connected to the collector%s", by)
        now_us = self._party.clock.monotonic_us()
        if self.reached.way.startswith(Carrier.STREAM) and now_us - self._began_us >= STEADY_US:
            with suppress(DoorError, StateError):
                for rung in self._rungs():
                    if rung.name == self.reached.way:
                        self._held(rung)
        self._set(
            replace(self.reached, connected=True, last_success_us=self._party.clock.wall_us())
        )

    def _held(self, rung: Rung) -> None:
        """It delivers, and is the one to begin with from now on."""
        if self._ladder is None:
            return
        known = [*self._rungs()]
        if rung in known and self._ladder.held(
            rung, known, self._party.clock.monotonic_us(), self.ways.rng
        ):
            self._remember(self._ladder)

    def _remembered(self) -> Ladder:
        """Raises StateError only where the disk is sick; a damaged file is an empty one."""
        try:
            kept = self._state.read_json(UPLINK) or {}
        except StateError:
            kept = {}
        good, probes = kept.get("good"), kept.get("probes")
        return Ladder(
            good=good if isinstance(good, str) else "",
            probes=probes if isinstance(probes, int) and 0 <= probes < 64 else 0,
        )

    def _remember(self, ladder: Ladder) -> None:
        with suppress(StateError):
            kept = {"good": ladder.good, "probes": ladder.probes}
            self._state.write_json(UPLINK, kept, durable=False)

    def _note(self, target: str, trace: Trace) -> None:
        with suppress(asyncio.QueueFull):
            self._notes.put_nowait((target, trace))

    async def _write_notes(self) -> None:
        while True:
            await self._attempts.note(*await self._notes.get())

    def _set(self, reached: Reached) -> None:
        moved = reached.connected != self.reached.connected
        self.reached = reached
        if reached.connected:
            self._met.set()
        else:
            self._met.clear()
        if moved or not reached.connected:
            self._changed()
