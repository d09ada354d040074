"""How long to wait before the next attempt. Pure."""

import random

FIRST_S = 1.0
MOST_S = 300.0


def ceiling_s(failures: int) -> float:
    """The longest wait after so many failures in a row: 1 s, doubled each time, up to 5 min."""
    return min(MOST_S, FIRST_S * 2.0 ** min(max(failures, 1) - 1, 20))


def wait_s(failures: int, rng: random.Random) -> float:
    """Full jitter: anything below the ceiling, so that a returning fleet does not march in step."""
    return rng.uniform(0.0, ceiling_s(failures))
