"""The time by which stored data expire, which a wrong clock cannot push ahead.

Data that were deleted do not come back when the machine's clock is set right, so this time trusts
no clock that is ahead. It follows the collector's time, but from one reading to the next it gains
at most `PACE` times the time for which the collector ran. Hence a clock that is ahead by years for
a time T makes data at most `PACE` · T older, whether it jumped at once, in small steps, or before
the collector started. After a rest of N days the expiry time is as far behind, and has caught up N
days later. While a clock is behind, the time is the clock's; the time reached before is not
forgotten, as a machine without a battery begins in 1970 at each start.
"""

from typing import Protocol

from heliograph.clock import Clock

PACE = 2  # assumed: the least whole number that catches up


class ExpiryTime(Protocol):
    """Define the time before which a stage deletes data kept for so many days."""

    def expiry_us(self) -> int:
        """Return the time, in µs; at most the present one."""
        ...

    def reached_us(self) -> int:
        """Return the latest of these times, which a later process continues."""
        ...


class ExpiryClock:
    """The expiry time of this process; `store.retention` writes it to the journal."""

    def __init__(self, clock: Clock, stored_us: int, record_us: int) -> None:
        """Continue at the time of an earlier process.

        Args:
            stored_us: The expiry time that the journal has, 0 without any.
            record_us: The newest time that the journal records, 0 without any. It stands in for
                `stored_us` in data of earlier versions.
        """
        self._clock = clock
        now_us = clock.wall_us()
        self._reached_us = stored_us or min(record_us or now_us, now_us)
        self._read_us = clock.monotonic_us()

    def expiry_us(self) -> int:
        monotonic_us = self._clock.monotonic_us()
        wall_us = self._clock.wall_us()
        limit_us = self._reached_us + PACE * (monotonic_us - self._read_us)
        self._read_us = monotonic_us
        self._reached_us = max(self._reached_us, min(limit_us, wall_us))
        return min(self._reached_us, wall_us)

    def reached_us(self) -> int:
        return self._reached_us
