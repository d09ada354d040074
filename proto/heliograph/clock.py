"""Time as an argument: wall and monotonic, both in whole microseconds."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where a stage reads the time, so that a test can turn the hands."""

    def wall_us(self) -> int:
        """Microseconds since the Unix epoch, UTC; may jump."""
        ...

    def monotonic_us(self) -> int:
        """Microseconds since an arbitrary moment; never runs backwards."""
        ...


class SystemClock:
    """This machine's clocks."""

    def wall_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000
