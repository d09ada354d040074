"""Exact tails for small numbers, a sure bound for large ones. No library: they are short."""

import math
from collections.abc import Sequence


def quantile(values: Sequence[int], q: float) -> int:
    """The nearest of the values, of which there must be one."""
    ordered = sorted(values)
    return ordered[round(q * (len(ordered) - 1))]


_EXACT = 40_000  # steps of the recursion that are worth it


def upper_tail(chances: Sequence[float], k: int) -> float:
    """P(at least k successes) of independent trials with unlike chances (Poisson-binomial).

    By the recursion over trials with all counts from k up absorbed in one state; where that would
    take long, Chernoff's bound exp(k - m - k ln(k/m)), which is never below the truth.
    """
    if k <= 0:
        return 1.0
    if k > len(chances):
        return 0.0
    bound = chernoff(sum(chances), k)
    if len(chances) * k > _EXACT:
        return bound
    dist = [1.0] + [0.0] * k  # dist[k]: k or more
    for p in chances:
        dist[k] += dist[k - 1] * p
        for count in range(k - 1, 0, -1):
            dist[count] += (dist[count - 1] - dist[count]) * p
        dist[0] *= 1.0 - p
    return min(dist[k], bound)


def chernoff(mean: float, k: int) -> float:
    """P(X >= k) is at most this, for a sum of independent trials with this mean."""
    if mean <= 0.0:
        return 0.0
    return 1.0 if k <= mean else math.exp(k - mean - k * math.log(k / mean))


def beta_binomial(k: float, n: float, mean: float, spread: float) -> float:
    """ln P(k of n) under a beta-binomial of this mean and intra-class correlation, 0 < both < 1.

    Counts may be fractions (weights): the gamma functions do not mind. The factor C(n, k) is left
    out; it cancels in every ratio.
    """
    a, b = mean * (1.0 - spread) / spread, (1.0 - mean) * (1.0 - spread) / spread
    return _ln_beta(k + a, n - k + b) - _ln_beta(a, b)


def _ln_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
