"""Public counts of volunteers as text."""

from heliograph_collector.aggregate.bands import band_bounds, band_floor, floor_tenths

__all__ = ("band_bounds", "band_floor", "floor_tenths", "format_band")


def format_band(count: int, k: int) -> str:
    """Return "0", "1-4", "5-9", "10-19", "20-49" or "50+".

    Bands that begin below k are merged with zero.
    """
    low, high = band_bounds(count, k)
    if high is None:
        return f"{low}+"
    return str(low) if low == high else f"{low}-{high}"
