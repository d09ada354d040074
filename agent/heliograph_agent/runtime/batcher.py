"""Closes batches: every 30 s, after 200 results, and at once when something changed.

Until then a result lies readable in the spool; after that only the collector can read it. Batches
are small enough for every way out, also one that lets two dozen packets through. While there is
no way out they grow together, sums are kept for the day when room runs short, and a digest of the
whole dark time is sealed anew every ten minutes, to go first.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from heliograph import __version__
from heliograph.clock import Clock
from heliograph.observation import Epoch, Measurement
from heliograph_agent.spool import Spool, SpoolError
from heliograph_agent.state import Collector, State, StateError
from heliograph_agent.uplink.transports import SMALL

PERIOD_S = 30.0
BATCH = 200
DIGEST_US = 600_000_000
log = logging.getLogger("heliograph.agent")

Telling = tuple[Sequence[Measurement], Epoch]  # the finest first


class Sealing:
    def __init__(
        self,
        state: State,
        collector: Collector,
        spool: Spool,
        clock: Clock,
        closed: Callable[[], None],
        *,
        dark: Callable[[], bool] = lambda: False,
        tell: Callable[[], Telling | None] = lambda: None,
        over: Callable[[], None] = lambda: None,
    ) -> None:
        self._state = state
        self._collector = collector
        self._spool = spool
        self._clock = clock
        self._closed = closed  # a batch is ready to go
        self._dark = dark  # nothing goes out now
        self._tell = tell  # the dark time so far, when there is one
        self._over = over  # all was taken
        self._told_us: int | None = None  # monotonic
        self._open = 0
        self._urgent = asyncio.Event()
        self._troubled = False

    def serve(self, collector: Collector) -> None:
        """Its keys may be others: what is closed from now on is sealed to them."""
        self._collector = collector

    def note(self, *, urgent: bool) -> None:
        """A measurement was appended."""
        self._open += 1
        if urgent or self._open >= BATCH:
            self._urgent.set()

    async def run(self) -> None:
        """First whatever an earlier life left open."""
        while True:
            await self.close_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_S):
                    await self._urgent.wait()

    async def close_all(self) -> None:
        self._urgent.clear()
        self._open = 0
        try:
            dark = self._dark()
            if not dark and not (await self._spool.counts()).waiting:
                self._over()
            while await self._spool.close_batch(self.seal, SMALL, dark=dark) is not None:
                self._closed()
            if dark:
                await self._tell_digest()
            self._troubled = False
        except (SpoolError, StateError) as error:  # of a sick disk; said once, tried for ever
            if not self._troubled:
                log.warning("%s", error)
            self._troubled = True

    async def _tell_digest(self) -> None:
        """Raises SpoolError, StateError."""
        now_us = self._clock.monotonic_us()
        if self._told_us is not None and now_us - self._told_us < DIGEST_US:
            return
        telling = self._tell()
        if telling is not None:
            self._told_us = now_us
            tellings, epoch = telling
            await self._spool.digest(tellings, epoch, self.seal, SMALL)

    def seal(self, sequence: int, measurements: Sequence[bytes], epochs: Sequence[Epoch]) -> bytes:
        """In the spool's thread; nothing of cryptography is loaded before the first batch."""
        from heliograph import codec, envelope
        from heliograph.v1 import envelope_pb2, observation_pb2

        batch = envelope_pb2.Batch(
            agent=self._collector.agent,
            sequence=sequence,
            sealed_us=self._clock.wall_us(),
            agent_version=__version__,
            epochs=[codec.epoch_to_pb(epoch) for epoch in epochs],
            measurements=[observation_pb2.Measurement.FromString(m) for m in measurements],
        )
        return envelope.seal(batch, self._state.signer(), self._collector.sealing_key)
