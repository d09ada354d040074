"""Bands of public counts, so that no number identifies few people."""

_BANDS = ((0, 0), (1, 4), (5, 9), (10, 19), (20, 49))


def band_floor(count: int, k: int) -> int:
    """Return the lower bound of the count's band; the count itself if k is at most 1."""
    return count if k <= 1 else band_bounds(count, k)[0]


def floor_tenths(share: float) -> float:
    """Round down to tenths, because an exact share reveals exact counts."""
    return round(share * 1_000) // 100 / 10


def band_bounds(count: int, k: int) -> tuple[int, int | None]:
    """Return the band of a count; bands that begin below k are merged with zero."""
    below = max((high for low, high in _BANDS if 0 < low < k), default=-1)
    if count <= below:
        return 0, below
    for low, high in _BANDS:
        if low <= count <= high:
            return low, high
    return 50, None
