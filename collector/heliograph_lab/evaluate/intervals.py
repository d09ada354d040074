"""Exact confidence intervals of a share, a rate or a quantile, 95 % by default."""

import math
from collections.abc import Callable, Sequence
from functools import partial

ALPHA = 0.05
_STEPS = 60  # halvings of an interval, more than a double has bits


def share(hits: int, n: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Return Clopper and Pearson's interval of a binomial share; (0, 1) without data."""
    if n == 0:
        return 0.0, 1.0
    low = 0.0 if hits == 0 else _solve(partial(_binomial, hits - 1, n), 1 - alpha / 2, 1.0)
    high = 1.0 if hits == n else _solve(partial(_binomial, hits, n), alpha / 2, 1.0)
    return low, high


def rate(events: int, exposure: float, alpha: float = ALPHA) -> tuple[float, float]:
    """Return the exact interval of a Poisson rate (Garwood), events by exposure."""
    if exposure <= 0:
        return 0.0, math.inf
    most = 10.0 + 3 * events
    low = _solve(partial(_poisson, events - 1), 1 - alpha / 2, most) if events else 0.0
    high = _solve(partial(_poisson, events), alpha / 2, most)
    return low / exposure, high / exposure


def quantile(values: Sequence[float], q: float) -> float:
    """Return the smallest value that at least a share q of the values do not exceed.

    An event that never came counts as infinite.
    """
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(q * len(values)) - 1)]


def quantile_range(values: Sequence[float], q: float, alpha: float = ALPHA) -> tuple[float, float]:
    """Return the interval of a quantile, between two sorted values, distribution-free."""
    n = len(values)
    ordered = sorted(values)
    if not n:
        return math.nan, math.nan
    low = max((k for k in range(n + 1) if _binomial(k - 1, n, q) <= alpha / 2), default=0)
    high = next((k for k in range(n + 1) if _binomial(k - 1, n, q) >= 1 - alpha / 2), n + 1)
    return (
        ordered[low - 1] if low >= 1 else 0.0,
        ordered[high - 1] if 1 <= high <= n else math.inf,
    )


def _solve(falling: Callable[[float], float], level: float, high: float) -> float:
    """Return where a falling function from 0 to `high` reaches the level."""
    low = 0.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if falling(middle) > level:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _binomial(k: int, n: int, p: float) -> float:
    """Return P(X <= k)."""
    if k < 0:
        return 0.0
    if k >= n or p <= 0:
        return 1.0
    if p >= 1:
        return 0.0
    logs = (
        math.lgamma(n + 1)
        - math.lgamma(i + 1)
        - math.lgamma(n - i + 1)
        + i * math.log(p)
        + (n - i) * math.log1p(-p)
        for i in range(k + 1)
    )
    return min(1.0, math.fsum(math.exp(x) for x in logs))


def _poisson(k: int, mean: float) -> float:
    """Return P(X <= k)."""
    if mean <= 0:
        return 1.0
    logs = (i * math.log(mean) - mean - math.lgamma(i + 1) for i in range(k + 1))
    return min(1.0, math.fsum(math.exp(x) for x in logs))
