"""Wait for another task or process by polling, up to a deadline.

A poll may cost as much as what is awaited: a question to a server is answered by its process, and
takes CPU from what it works on. So the pauses grow with the wait, which ends a tenth later at most.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

PAUSE_S = 0.02
_LONGEST_S = 0.25  # what is true for a second is seen after a long wait, too
_SHARE = 0.1  # of the wait so far


def choose_pause(waited_s: float, poll_s: float, least_s: float = PAUSE_S) -> float:
    """Return the pause after a poll that took `poll_s`."""
    return max(least_s, min(_LONGEST_S, max(waited_s * _SHARE, poll_s)))


async def until(
    true: Callable[[], Awaitable[bool]], deadline_s: float = 240.0, *, pause_s: float = PAUSE_S
) -> None:
    """Poll until `true()` is true, with pauses; fail the test when they come to the deadline."""
    waited_s = 0.0
    while waited_s < deadline_s:
        began = time.monotonic()
        if await true():
            return
        pause = choose_pause(waited_s, time.monotonic() - began, pause_s)
        await asyncio.sleep(pause)  # another process works, and no event of it reaches this one
        waited_s += pause
    raise AssertionError(f"did not become true within {deadline_s} s")


async def until_true(true: Callable[[], bool], deadline_s: float = 240.0) -> None:
    """Poll a condition that needs no waiting itself."""

    async def is_true() -> bool:
        return true()

    await until(is_true, deadline_s)


def until_now(true: Callable[[], bool], deadline_s: float = 240.0) -> None:
    """Poll without an event loop, for at most half of the time."""
    start = time.monotonic()
    while (began := time.monotonic()) < start + deadline_s:
        if true():
            return
        poll_s = time.monotonic() - began
        pause = max(choose_pause(began - start, poll_s), min(poll_s, 2.0))
        time.sleep(pause)  # another process works, and there is no loop for its events
    raise AssertionError(f"did not become true within {deadline_s} s")
