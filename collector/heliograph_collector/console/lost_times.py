"""Times in which nothing was judged, in words."""

from collections.abc import Iterable
from typing import Protocol

from heliograph.units import SECOND_US
from heliograph_collector.console.formats import format_second


class BlindSpan(Protocol):
    """A time in which nothing was judged, and why."""

    @property
    def since_us(self) -> int: ...

    @property
    def until_us(self) -> int | None: ...

    @property
    def reason(self) -> str: ...


def describe_lost_times(gaps: Iterable[BlindSpan], now_us: int) -> list[str]:
    """Return a sentence on each time that a wrong clock cost."""
    return [
        f"From {format_second(gap.since_us)} UTC nothing was judged for "
        f"{((gap.until_us or now_us) - gap.since_us) // SECOND_US} s: the clock had been ahead."
        for gap in gaps
        if gap.reason == "clock"
    ]
