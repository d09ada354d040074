"""How often each vantage falls silent by itself: Gamma-Poisson, shrunk to its pool."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph_collector.model.signals import DAY_US, SECOND_US
from heliograph_collector.model.thresholds import Thresholds

HOURS = 168  # of a week
_THURSDAY = 3 * 24  # the epoch began on one
FLAT = (1.0,) * HOURS


@dataclass(slots=True)
class Record:
    """Silences and days of presence, of one vantage or of a pool of them."""

    losses: float = 0.0
    days: float = 0.0

    def add(self, losses: int, present_us: int, memory_days: float | None = None) -> None:
        """With `memory_days` the past fades: it never weighs more than so many days."""
        self.losses += losses
        self.days += max(0, present_us) / DAY_US
        if memory_days is not None and self.days > memory_days:
            kept = memory_days / self.days
            self.losses *= kept
            self.days = memory_days


def per_day(own: Record, pool: Record, limits: Thresholds) -> float:
    """The posterior mean of a vantage's rate.

    Rate ~ Gamma(m t, t), losses ~ Poisson(rate x days): (m t + losses) / (t + days), where m is
    the pool's own rate, shrunk in the same way to the usual one.
    """
    weight = limits.usual_weight_days
    mean = (limits.usual_per_day * weight + pool.losses) / (weight + pool.days)
    weight = limits.pool_weight_days
    return min(limits.most_per_day, (mean * weight + own.losses) / (weight + own.days))


def chance(rate_per_day: float, window_s: float) -> float:
    """Of at least one silence within the window."""
    return -math.expm1(-rate_per_day * window_s * SECOND_US / DAY_US)


def hour_of_week(at_us: int) -> int:
    """0 is Monday 00:00 UTC."""
    return (at_us // (3_600 * SECOND_US) + _THURSDAY) % HOURS


def seasonal(losses: Sequence[float], days: Sequence[float], weight: float = 20.0) -> list[float]:
    """A factor per hour of the week from losses and vantage-days in each, shrunk to 1.

    `weight` is the number of expected losses that the prior is worth.
    """
    total, exposure = sum(losses), sum(days)
    if total <= 0 or exposure <= 0:
        return list(FLAT)
    expected = [total * d / exposure for d in days]
    return [(weight + x) / (weight + e) for x, e in zip(losses, expected, strict=True)]
