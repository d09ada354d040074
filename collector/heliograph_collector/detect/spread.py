"""Quantiles of moments: brackets leave out a tenth at either end, who may be there by chance."""

from collections.abc import Sequence


def quantile(values: Sequence[int], q: float) -> int:
    """The nearest of the values, of which there must be one."""
    ordered = sorted(values)
    return ordered[round(q * (len(ordered) - 1))]
