"""How sure one verdict is: the strength of its evidence, less what the control's age takes away."""

FULL_US = 5 * 60 * 1_000_000  # a control this near is as good as one at the same moment
STALE_US = 15 * 60 * 1_000_000
STALE_FACTOR = 0.6  # what is left of the strength there
MAX_CONFIDENCE = 0.99


def compute_confidence(strength: float, age_us: int | None = None, *, alone: bool = False) -> float:
    """`strength` times freshness; evidence that stands alone needs no control and ages not."""
    factor = 1.0 if alone else compute_freshness(age_us)
    return round(min(MAX_CONFIDENCE, strength * factor), 3)


def compute_freshness(age_us: int | None) -> float:
    """1 up to five minutes, falling in a straight line to 0.6 at fifteen, then nothing."""
    if age_us is None or age_us > STALE_US:
        return 0.0
    late_share = max(0, age_us - FULL_US) / (STALE_US - FULL_US)
    return 1.0 - (1.0 - STALE_FACTOR) * late_share
