"""Tasks that wait until a journal has grown beyond a position.

A writer of blocks waits for as many rows as a block has. Each row that woke it before would cost a
turn of the event loop, in which it finds nothing to do.
"""

import asyncio


class PositionWaiters:
    """Waiters of one event loop, each woken once, when its position is passed."""

    def __init__(self, position: int) -> None:
        self.position = position
        self._waiters: dict[asyncio.Future[None], int] = {}

    def advance(self, position: int) -> None:
        """Take note that the journal has come to a position, and wake who waited for it."""
        if position <= self.position:
            return
        self.position = position
        for future, awaited in self._waiters.items():
            if awaited < position and not future.done():
                future.set_result(None)

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        """Wait until the position passes `position`; return False on timeout."""
        if self.position > position:
            return True
        future = asyncio.get_running_loop().create_future()
        self._waiters[future] = position
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return self.position > position
        finally:
            del self._waiters[future]
        return True
