"""A clock whose hands a test turns."""

from dataclasses import dataclass


@dataclass(slots=True)
class HandClock:
    """Starts at 2022-01-05 11:00 UTC, when Kazakhstan's fixed lines went."""

    wall: int = 1_641_380_400_000_000
    monotonic: int = 1_000_000

    def wall_us(self) -> int:
        return self.wall

    def monotonic_us(self) -> int:
        return self.monotonic

    def advance_us(self, by: int) -> None:
        self.wall += by
        self.monotonic += by
