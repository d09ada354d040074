"""Closes batches: every 30 s, after 200 results, and at once when something changed.

Until then a result lies readable in the spool; after that only the collector can read it. Batches
are small enough for every way out, also one that lets two dozen packets through.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from heliograph import __version__
from heliograph.clock import Clock
from heliograph.observation import Epoch
from heliograph_agent.spool import Spool, SpoolError
from heliograph_agent.state import Collector, State, StateError
from heliograph_agent.uplink.rung import SMALL

PERIOD_S = 30.0
BATCH = 200
log = logging.getLogger("heliograph.agent")


class Sealing:
    def __init__(
        self,
        state: State,
        collector: Collector,
        spool: Spool,
        clock: Clock,
        closed: Callable[[], None],
    ) -> None:
        self._state = state
        self._collector = collector
        self._spool = spool
        self._clock = clock
        self._closed = closed  # a batch is ready to go
        self._open = 0
        self._urgent = asyncio.Event()
        self._troubled = False

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
            while await self._spool.close_batch(self.seal, SMALL) is not None:
                self._closed()
            self._troubled = False
        except (SpoolError, StateError) as error:  # of a sick disk; said once, tried for ever
            if not self._troubled:
                log.warning("%s", error)
            self._troubled = True

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
