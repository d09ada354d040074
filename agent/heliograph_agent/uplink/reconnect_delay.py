"""Delay old results after a long absence, as whole countries reconnect at once.

The digest, changes and new results are sent at once. The rest of the backlog, P2 and P3, starts
after a random wait of up to SPREAD_S.
"""

import random
from dataclasses import dataclass

from heliograph.backoff import Backoff
from heliograph.clock import Clock
from heliograph.units import HOUR_US
from heliograph_agent.spool import Spool

RECONNECT = Backoff(1.0, 300.0)  # between attempts; assumed
AWAY_US = HOUR_US  # least time without a reply of an absence, least age of a backlog
SPREAD_S = 1_800.0


@dataclass(slots=True)
class ReconnectDelay:
    """Delay the backlog; all sessions of one run of the agent share the object."""

    clock: Clock
    rng: random.Random
    _replied_us: int | None = None  # monotonic, when the collector last answered
    _delayed_until_us: int = 0
    _backlog_end: int = 0  # the newest envelope of the backlog

    def draw_wait_s(self, failures: int) -> float:
        """Draw a wait with full jitter, so that agents do not reconnect in step."""
        return RECONNECT.draw_s(failures, self.rng)

    async def record_reply(self, spool: Spool) -> None:
        """Note that the collector answered. Raises SpoolError."""
        if self.is_away():
            self._backlog_end, self._delayed_until_us = await self._measure_backlog(spool)
        self._replied_us = self.clock.monotonic_us()

    async def skip_through(self, spool: Spool) -> int:
        """Return the number up to which envelopes of P2 and P3 wait, 0 for none.

        Before the collector has answered, the whole backlog waits. Raises SpoolError.
        """
        if self.is_away():
            return (await self._measure_backlog(spool))[0]
        return self._backlog_end if self.clock.monotonic_us() < self._delayed_until_us else 0

    def cancel_delay(self) -> None:
        """Send the backlog at once, for `run --once`."""
        self._replied_us = self.clock.monotonic_us()
        self._delayed_until_us = 0

    def is_away(self) -> bool:
        """Return whether the collector has not answered within AWAY_US."""
        now_us = self.clock.monotonic_us()
        return self._replied_us is None or now_us - self._replied_us > AWAY_US

    async def _measure_backlog(self, spool: Spool) -> tuple[int, int]:
        newest, oldest_us = await spool.read_backlog()
        if oldest_us is None or abs(self.clock.wall_us() - oldest_us) < AWAY_US:
            return 0, 0
        wait_us = int(self.rng.uniform(0.0, SPREAD_S) * 1e6)
        return newest, self.clock.monotonic_us() + wait_us
