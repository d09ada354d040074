"""Confidence of a verdict: strength of evidence times freshness of the control."""

from heliograph.units import MINUTE_US

FULL_US = 5 * 60 * 1_000_000  # assumed: a control at most this old counts fully
STALE_US = 15 * 60 * 1_000_000  # assumed: an older control proves nothing
STALE_FACTOR = 0.6  # assumed: freshness at STALE_US
MAX_CONFIDENCE = 0.99  # assumed
CONTROL_FRESHNESS = {  # as the methodology page shows it
    "full_min": FULL_US // MINUTE_US,
    "stale_min": STALE_US // MINUTE_US,
    "at_stale": STALE_FACTOR,
}


def compute_confidence(strength: float, age_us: int | None = None, *, alone: bool = False) -> float:
    """Return `strength` times freshness, at most MAX_CONFIDENCE.

    Evidence that stands `alone` needs no control and does not age.
    """
    factor = 1.0 if alone else compute_freshness(age_us)
    return round(min(MAX_CONFIDENCE, strength * factor), 3)


def compute_freshness(age_us: int | None) -> float:
    """Return 1 up to 5 minutes, then fall linearly to 0.6 at 15 minutes, then 0.

    `age_us` None means that there is no control, which gives 0.
    """
    if age_us is None or age_us > STALE_US:
        return 0.0
    late_share = max(0, age_us - FULL_US) / (STALE_US - FULL_US)
    return 1.0 - (1.0 - STALE_FACTOR) * late_share
