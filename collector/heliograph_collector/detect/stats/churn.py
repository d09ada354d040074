"""Churn: how often each vantage falls silent by itself (Gamma-Poisson, pooled)."""

import math
from dataclasses import dataclass

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.model.thresholds import Thresholds


@dataclass(slots=True)
class ChurnRecord:
    """Silences and days of presence of one vantage, or of a pool of them."""

    losses: float = 0.0
    days: float = 0.0

    def add(self, losses: int, present_us: int, memory_days: float | None = None) -> None:
        """Add losses and presence; older data fade to a weight of `memory_days`."""
        self.losses += losses
        self.days += max(0, present_us) / DAY_US
        if memory_days is not None and self.days > memory_days:
            share_kept = memory_days / self.days
            self.losses *= share_kept
            self.days = memory_days


def pool_rate(pool: ChurnRecord, limits: Thresholds) -> float:
    """Return the rate of a pool, shrunk to `usual_per_day`."""
    weight = limits.usual_weight_days
    return (limits.usual_per_day * weight + pool.losses) / (weight + pool.days)


def blend_rate(own: ChurnRecord, mean: float, limits: Thresholds) -> float:
    """Return the posterior mean of a vantage's rate, shrunk to the rate of its pool.

    Rate ~ Gamma(m t, t), losses ~ Poisson(rate x days): (m t + losses) / (t + days). Here m is the
    rate of the pool, shrunk in the same way to `usual_per_day`.
    """
    weight = limits.pool_weight_days
    return min(limits.most_per_day, (mean * weight + own.losses) / (weight + own.days))


def silence_chance(rate_per_day: float, window_s: float) -> float:
    """Return the chance of at least one silence within the window."""
    return -math.expm1(-rate_per_day * window_s * SECOND_US / DAY_US)
