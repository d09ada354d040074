"""Wait for another task or process by polling, up to a deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable

PAUSE_S = 0.02


async def until(
    true: Callable[[], Awaitable[bool]], deadline_s: float = 240.0, *, pause_s: float = PAUSE_S
) -> None:
    """Poll until `true()` is true, with pauses; fail the test after a deadline."""
    for _ in range(int(deadline_s / pause_s)):
        if await true():
            return
        await asyncio.sleep(pause_s)
    raise AssertionError(f"did not become true within {deadline_s} s")


async def until_true(true: Callable[[], bool], deadline_s: float = 240.0) -> None:
    """Poll a condition that needs no waiting itself."""

    async def is_true() -> bool:
        return true()

    await until(is_true, deadline_s)


def until_now(true: Callable[[], bool], deadline_s: float = 240.0) -> None:
    """Poll without an event loop, for at most half of the time."""
    end = time.monotonic() + deadline_s
    while (began := time.monotonic()) < end:
        if true():
            return
        time.sleep(min(max(PAUSE_S, time.monotonic() - began), 2.0))  # another process works
    raise AssertionError(f"did not become true within {deadline_s} s")
