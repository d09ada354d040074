"""Write status.json as a whole after a change, at most once a second."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from heliograph_agent.spool import Spool, SpoolCounts
from heliograph_agent.state import STATUS, State, StateError

MIN_INTERVAL_S = 1.0
REFRESH_S = 60.0  # at least this often, so that the counts are never old
log = logging.getLogger("heliograph.agent")


def describe_queue(counts: SpoolCounts) -> dict[str, Any]:
    """Describe the spool's part of status.json."""
    return {
        "queued_measurements": counts.open + counts.waiting_measurements,
        "queued_envelopes": counts.waiting,
        "quarantined": counts.quarantined,
        "spool_bytes": counts.bytes,
        "oldest_us": counts.oldest_us,
        "acked_measurements": counts.acked,
        "summed": dict(counts.summed),
        "dropped": dict(counts.dropped),
        "problem": counts.problem,
    }


class StatusFile:
    """Write the file after `mark_changed`.

    `describe_status` returns everything but the queue, which is read from the spool.
    """

    def __init__(
        self, state: State, spool: Spool, describe_status: Callable[[], dict[str, Any]]
    ) -> None:
        self._state = state
        self._spool = spool
        self._describe_status = describe_status
        self._wake_event = asyncio.Event()
        self._has_warned = False

    def mark_changed(self) -> None:
        self._wake_event.set()

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await self._wake_event.wait()
            self._wake_event.clear()
            await self.write()
            await asyncio.sleep(MIN_INTERVAL_S)

    async def write(self) -> None:
        """Write the file now; log an error once and never raise it."""
        status = self._describe_status() | describe_queue(await self._spool.read_counts())
        try:
            self._state.write_json(STATUS, status, durable=False)
            self._has_warned = False
        except StateError as error:
            if not self._has_warned:
                log.warning("%s", error)
            self._has_warned = True
