"""Tail probabilities: exact for small numbers, a bound for large ones."""

import math
from collections.abc import Sequence


def quantile(values: Sequence[int], q: float) -> int:
    """Return the nearest value to a quantile; `values` must not be empty."""
    ordered = sorted(values)
    return ordered[round(q * (len(ordered) - 1))]


def measure_spread(values: Sequence[int], tail: float = 0.1) -> int:
    """Measure how far values are apart without the tails at either end; 0 for none."""
    return quantile(values, 1.0 - tail) - quantile(values, tail) if values else 0


_MAX_EXACT_STEPS = 40_000  # of the recursion, which bounds its time; assumed


def upper_tail(chances: Sequence[float], k: int) -> float:
    """Return P(at least k successes) of independent trials with unequal chances.

    Poisson-binomial, by a recursion over trials that absorbs all counts from k up in one state. If
    that takes too many steps, it is `chernoff_bound`, which is never below the exact value.
    """
    if k <= 0:
        return 1.0
    if k > len(chances):
        return 0.0
    bound = chernoff_bound(sum(chances), k)
    if len(chances) * k > _MAX_EXACT_STEPS:
        return bound
    dist = [1.0] + [0.0] * k  # dist[k]: k or more
    for p in chances:
        dist[k] += dist[k - 1] * p
        for count in range(k - 1, 0, -1):
            dist[count] += (dist[count - 1] - dist[count]) * p
        dist[0] *= 1.0 - p
    return min(dist[k], bound)


def chernoff_bound(mean: float, k: int) -> float:
    """Bound P(X >= k) for a sum of independent trials with this mean.

    Chernoff's bound exp(k - m - k ln(k/m)).
    """
    if mean <= 0.0:
        return 0.0
    return 1.0 if k <= mean else math.exp(k - mean - k * math.log(k / mean))


def cease_chance(before: int, after: int, times: float) -> float:
    """Return P(at most `after` events), given `before` events in an earlier time.

    Both are Poisson counts of one unknown rate, so that the later is negative binomial.

    Args:
        times: The later time as a multiple of the earlier.
    """
    term = (1.0 + times) ** -before
    total = term
    for count in range(1, after + 1):
        term *= (before + count - 1) / count * times / (1.0 + times)
        total += term
    return total


def log_beta_binomial(k: float, n: float, mean: float, spread: float) -> float:
    """Return ln P(k of n) under a beta-binomial distribution, without ln C(n, k).

    That term cancels in every ratio. Counts may be fractions (weights).

    Args:
        mean: The failing rate, between 0 and 1.
        spread: The intra-class correlation, between 0 and 1.
    """
    a = mean * (1.0 - spread) / spread
    b = (1.0 - mean) * (1.0 - spread) / spread
    return _ln_beta(k + a, n - k + b) - _ln_beta(a, b)


def beta_binomial_tail(k: int, n: int, mean: float, spread: float) -> float:
    """Return P(at least k of n) under a beta-binomial; see `log_beta_binomial`."""
    return math.fsum(
        math.comb(n, count) * math.exp(log_beta_binomial(count, n, mean, spread))
        for count in range(k, n + 1)
    )


def _ln_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def chi_squared_tail(value: float, freedom: int) -> float:
    """Return P(chi-squared >= value), as Wilson and Hilferty approximate it.

    Proceedings of the National Academy of Sciences 17, 1931.
    """
    spread = 2 / (9 * freedom)
    ratio = (value / freedom) ** (1 / 3)
    return math.erfc((ratio - 1 + spread) / math.sqrt(2 * spread)) / 2
