"""An event loop whose clock jumps to the next timer when nothing else is to do.

    def test_patience() -> None:
        async def story(clock: VirtualClock) -> None:
            await asyncio.sleep(3_600)
        run_virtually(story)

Waits cost nothing and happen in their exact order. Real sockets and threads have no place in it:
time would run past them.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import TypeVar

from support.hand_clock import HandClock

T = TypeVar("T")


class VirtualClock(HandClock):
    """The loop's time and whatever the hand added to it."""

    def wall_us(self) -> int:
        return self.wall + _elapsed_us()

    def monotonic_us(self) -> int:
        return self.monotonic + _elapsed_us()


def run_virtually(story: Callable[[VirtualClock], Awaitable[T]]) -> T:
    """Run `story` to its end in a new virtual loop."""

    async def main() -> T:
        return await story(VirtualClock())

    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        return runner.run(main())


class _Jumping(selectors.DefaultSelector):
    """Never wait: add the timeout to the time that has passed."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits and no timer is set: this would wait for ever")
        self.passed_s += max(0.0, timeout)
        return super().select(0)


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.hands = _Jumping()
        super().__init__(self.hands)

    def time(self) -> float:
        return self.hands.passed_s


def _elapsed_us() -> int:
    return round(asyncio.get_running_loop().time() * 1_000_000)
