"""Close batches every 30 s, after 200 results, and at once when something changed.

Until then this process alone can read a result in the spool; afterwards only the collector can. If
the process is killed before, each result's own sealed copy is sent. Batches are small enough for
every transport, also on a network that freezes a flow after two dozen packets.
While the agent is offline, batches are merged, summaries are kept in case room runs short, and
every ten minutes a digest of the whole offline time is sealed. The digest is sent first.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Protocol

from heliograph.clock import Clock
from heliograph_agent.runtime.offline_digest import OfflineDigests
from heliograph_agent.spool import Spool, SpoolError
from heliograph_agent.state import StateError
from heliograph_agent.uplink.transports import SMALL_ENVELOPE_BYTES

PERIOD_S = 30.0
BATCH_RESULTS = 200
DIGEST_US = 600_000_000
log = logging.getLogger("heliograph.agent")


class BatchHost(Protocol):
    """Declare what the batcher needs. Implemented by runtime.agent.Agent."""

    @property
    def is_offline(self) -> bool:
        """Return whether no transport works now."""

    def note_batch_closed(self) -> None:
        """Send the batch that is ready."""

    def note_all_delivered(self) -> None:
        """Note that no envelope waits for a receipt."""

    def build_offline_digest(self) -> OfflineDigests | None:
        """Build a digest of the offline time so far, None if it is too short."""


class Batcher:
    """Close the spool's open measurements into sealed batches."""

    def __init__(self, spool: Spool, clock: Clock, host: BatchHost) -> None:
        self._spool = spool
        self._clock = clock
        self._host = host
        self._digested_us: int | None = None  # monotonic
        self._open_count = 0
        self._urgent = asyncio.Event()
        self._has_warned = False

    def note_measurement(self, *, urgent: bool) -> None:
        """Count an appended measurement, and close its batch at once if `urgent`."""
        self._open_count += 1
        if urgent or self._open_count >= BATCH_RESULTS:
            self._urgent.set()

    async def run(self) -> None:
        """Close batches until cancelled, beginning with results of an earlier run."""
        while True:
            await self.close_batches()
            with suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_S):
                    await self._urgent.wait()

    async def close_batches(self) -> None:
        self._urgent.clear()
        self._open_count = 0
        try:
            is_offline = self._host.is_offline
            if not is_offline and not (await self._spool.read_counts()).waiting:
                self._host.note_all_delivered()
            while await close_next_batch(self._spool, is_offline=is_offline):
                self._host.note_batch_closed()
            if is_offline:
                await self._seal_digest()
            self._has_warned = False
        except (SpoolError, StateError) as error:  # a failing disk is tried again forever
            if not self._has_warned:
                log.warning("%s", error)
            self._has_warned = True

    async def _seal_digest(self) -> None:
        now_us = self._clock.monotonic_us()
        if self._digested_us is not None and now_us - self._digested_us < DIGEST_US:
            return
        offline_digests = self._host.build_offline_digest()
        if offline_digests is not None:
            self._digested_us = now_us
            await self._spool.write_digest(*offline_digests, SMALL_ENVELOPE_BYTES)


async def close_next_batch(spool: Spool, *, is_offline: bool) -> bool:
    """Close one batch; return False without open results.

    Raises SpoolError, StateError.
    """
    number = await spool.close_batch(SMALL_ENVELOPE_BYTES, is_offline=is_offline)
    return number is not None
