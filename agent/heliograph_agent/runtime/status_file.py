"""What `heliograph-agent status` shows: written whole, on change, at most once a second."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from heliograph_agent.spool import Spool, SpoolCounts
from heliograph_agent.state import STATUS, State, StateError

PACE_S = 1.0
LOOK_S = 60.0  # at least this often, so that the counts are never old
log = logging.getLogger("heliograph.agent")


def queue_of(counts: SpoolCounts) -> dict[str, Any]:
    """The spool's part of status.json."""
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


class Status:
    """`tell` gathers everything but the queue; `changed` says that it is worth another file."""

    def __init__(self, state: State, spool: Spool, tell: Callable[[], dict[str, Any]]) -> None:
        self._state = state
        self._spool = spool
        self._tell = tell
        self._stir = asyncio.Event()
        self._troubled = False

    def changed(self) -> None:
        self._stir.set()

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._stir.wait()
            self._stir.clear()
            await self.write()
            await asyncio.sleep(PACE_S)

    async def write(self) -> None:
        """A disk that is full costs the file, never the agent."""
        told = self._tell() | queue_of(await self._spool.counts())
        try:
            self._state.write_json(STATUS, told, durable=False)
            self._troubled = False
        except StateError as error:
            if not self._troubled:
                log.warning("%s", error)
            self._troubled = True
