"""Timers of the silence detector, fired in order of their due times.

Timers that are due at one time fire in the order in which they were added, so that the same signals
give the same incidents. A timer of a country is scheduled once under each name until it has fired.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

from heliograph_collector.detect.silence.fault_period import FaultPeriod

Timer = tuple[int, int, str, str | FaultPeriod]  # due time, number, name, country or fault period


@dataclass(slots=True)
class TimerQueue:
    """The pending timers, with the names that are scheduled for each country."""

    pending: list[Timer] = field(default_factory=list)
    scheduled: set[tuple[str, str]] = field(default_factory=set)  # (name, country)
    number: int = 0  # of the last timer

    def __post_init__(self) -> None:
        heapq.heapify(self.pending)

    def add(self, at_us: int, name: str, target: str | FaultPeriod) -> None:
        self.number += 1
        heapq.heappush(self.pending, (at_us, self.number, name, target))

    def schedule(self, at_us: int, name: str, country: str) -> None:
        """Add a timer of a country, unless one of this name is pending."""
        if (name, country) not in self.scheduled:
            self.scheduled.add((name, country))
            self.add(at_us, name, country)

    def pop_due(self, now_us: int) -> Timer | None:
        """Remove and return the next timer that is due; None if there is none."""
        if not self.pending or self.pending[0][0] > now_us:
            return None
        timer = heapq.heappop(self.pending)
        _, _, name, target = timer
        if isinstance(target, str):
            self.scheduled.discard((name, target))
        return timer

    def list_targets(self) -> Iterator[str | FaultPeriod]:
        """Yield the countries and fault periods with pending timers."""
        return (target for *_, target in self.pending)
