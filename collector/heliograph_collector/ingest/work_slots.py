"""Places for requests at work, and a bounded queue of those that wait for one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class WorkSlots:
    def __init__(self, capacity: int, max_waiting: int) -> None:
        self._slots = asyncio.Semaphore(capacity)
        self._max_waiting = max_waiting
        self._waiting_count = 0

    @property
    def is_full(self) -> bool:
        """Return whether as many wait as may."""
        return self._waiting_count >= self._max_waiting

    @asynccontextmanager
    async def hold_slot(self, timeout_s: float) -> AsyncIterator[None]:
        """Wait for a place and hold it. Raises TimeoutError, also inside the block."""
        async with asyncio.timeout(max(0.0, timeout_s)):
            self._waiting_count += 1
            try:
                await self._slots.acquire()
            finally:
                self._waiting_count -= 1
            try:
                yield
            finally:
                self._slots.release()
