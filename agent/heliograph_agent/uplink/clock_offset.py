"""Estimate the collector's clock minus ours by NTP's four timestamps. Pure.

The method is that of RFC 5905 section 8. The offset is stored against the monotonic clock, so that
a jump of the wall clock changes it at once and is not averaged.
"""

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter

from heliograph.units import MINUTE_US

WINDOW = 8  # exchanges, as NTP's clock filter
MAX_DELAY_US = 10_000_000  # a slower exchange is too inaccurate
MAX_STEP_US = MINUTE_US  # more than delays explain; assumed
MAX_WALL_US = 1 << 62  # a clock beyond it gives an offset that no message can hold


@dataclass(frozen=True, slots=True)
class ClockExchange:
    """Hold one heartbeat's times: ours monotonic, the collector's wall clock."""

    sent_us: int
    received_us: int  # by the collector
    answered_us: int  # by the collector
    returned_us: int

    @property
    def delay_us(self) -> int:
        return (self.returned_us - self.sent_us) - (self.answered_us - self.received_us)

    @property
    def ahead_us(self) -> int:
        """Return the collector's wall clock minus our monotonic clock."""
        return ((self.received_us - self.sent_us) + (self.answered_us - self.returned_us)) // 2


@dataclass(slots=True)
class ClockFilter:
    """Use the exchange with the least delay of the last WINDOW."""

    exchanges: deque[ClockExchange] = field(default_factory=partial(deque, maxlen=WINDOW))

    def add(self, exchange: ClockExchange) -> None:
        is_plausible = abs(exchange.received_us) < MAX_WALL_US
        if not (is_plausible and 0 <= exchange.delay_us <= MAX_DELAY_US):
            return
        if self.exchanges and abs(exchange.ahead_us - self.exchanges[-1].ahead_us) > MAX_STEP_US:
            self.exchanges.clear()  # one of the clocks was set: earlier exchanges are void
        self.exchanges.append(exchange)

    def offset_us(self, wall_us: int, monotonic_us: int) -> int | None:
        """Return collector minus agent now; None before the first exchange."""
        if not self.exchanges:
            return None
        best = min(self.exchanges, key=attrgetter("delay_us"))
        return best.ahead_us + monotonic_us - wall_us
