"""How often a source is asked: its limits, and longer after failures."""

import random

from heliograph_collector.corroborate.source import Means

FIRST_S = 15.0
LONGEST_S = 3_600.0


def backoff_s(failures: int, again_s: float | None, rng: random.Random) -> float:
    """After the n-th failure in a row: doubling and jittered, never sooner than the source said."""
    whole = min(LONGEST_S, FIRST_S * 2.0 ** min(failures - 1, 16))
    jittered = whole * rng.uniform(0.5, 1.0)
    return max(jittered, min(again_s, LONGEST_S)) if again_s is not None else jittered


class Pace:
    """Between two questions to one source at least this long, however they end."""

    def __init__(self, gap_s: float, means: Means) -> None:
        self._gap_us, self._means = int(gap_s * 1e6), means
        self._next_us = 0

    async def turn(self) -> None:
        """Until the source may be asked, which is then counted as done."""
        wait_us = self._next_us - self._means.clock.monotonic_us()
        if wait_us > 0:
            await self._means.pause(wait_us / 1e6)
        self._next_us = self._means.clock.monotonic_us() + self._gap_us
