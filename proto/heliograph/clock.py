"""Pass time as an argument: wall and monotonic, both in whole microseconds."""

import time
from typing import Protocol


class Clock(Protocol):
    """Define the source of time for a stage, so that a test can set the time."""

    def wall_us(self) -> int:
        """Return microseconds since the Unix epoch, UTC; may jump."""
        ...

    def monotonic_us(self) -> int:
        """Return microseconds since an arbitrary time; never runs backwards."""
        ...


class SystemClock:
    """Read this machine's clocks."""

    def wall_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000
