"""After a long time away the old results wait a moment: a whole country comes back at once.

A digest and what changed go at once, and so does what is measured from now on. What lay in the
spool besides, P2 and P3, begins after a random wait of up to half an hour.
"""

import random
from dataclasses import dataclass

from heliograph.clock import Clock
from heliograph_agent.spool import Spool

FIRST_S = 1.0
MOST_S = 300.0


def ceiling_s(failures: int) -> float:
    """The longest wait after so many failures in a row: 1 s, doubled each time, up to 5 min."""
    return min(MOST_S, FIRST_S * 2.0 ** min(max(failures, 1) - 1, 20))


def wait_s(failures: int, rng: random.Random) -> float:
    """Full jitter: anything below the ceiling, so that a returning fleet does not march in step."""
    return rng.uniform(0.0, ceiling_s(failures))


AWAY_US = 3_600_000_000  # without an answer for so long is away, and so old is a backlog
SPREAD_S = 1_800.0


@dataclass(slots=True)
class Returning:
    """One for the life of the agent: sessions come and go within half an hour."""

    clock: Clock
    rng: random.Random
    _met_us: int | None = None  # monotonic, when the collector last answered
    _until_us: int = 0
    _mark: int = 0  # the youngest envelope of the backlog

    async def met(self, spool: Spool) -> None:
        """The collector answers. Raises SpoolError."""
        if self._is_away():
            self._mark, self._until_us = await self._backlog(spool)
        self._met_us = self.clock.monotonic_us()

    async def held_to(self, spool: Spool) -> int:
        """Envelopes of P2 and P3 up to this number wait; 0 for none. Raises SpoolError.

        All of a backlog, before anybody has answered.
        """
        if self._is_away():
            return (await self._backlog(spool))[0]
        return self._mark if self.clock.monotonic_us() < self._until_us else 0

    def at_once(self) -> None:
        """Somebody waits for it, who is not a fleet."""
        self._met_us, self._until_us = self.clock.monotonic_us(), 0

    @property
    def was_met(self) -> bool:
        """Lately."""
        return not self._is_away()

    def _is_away(self) -> bool:
        now_us = self.clock.monotonic_us()
        return self._met_us is None or now_us - self._met_us > AWAY_US

    async def _backlog(self, spool: Spool) -> tuple[int, int]:
        newest, oldest_us = await spool.backlog()
        if oldest_us is None or abs(self.clock.wall_us() - oldest_us) < AWAY_US:
            return 0, 0
        wait_us = int(self.rng.uniform(0.0, SPREAD_S) * 1e6)
        return newest, self.clock.monotonic_us() + wait_us
