"""Compute the delays between repeated attempts, which double and are randomized."""

from dataclasses import dataclass
from random import Random

_MAX_DOUBLINGS = 32  # beyond every limit, and far from the largest float


@dataclass(frozen=True, slots=True)
class Backoff:
    """Describe delays that double after each failure in a row, up to a limit. Pure.

    The default draws from the whole delay ("full jitter", AWS Architecture Blog, 2015), so that
    clients that failed together do not return together.
    """

    first_s: float
    limit_s: float
    shares: tuple[float, float] = (0.0, 1.0)  # least and largest share of a delay that is drawn

    def full_delay_s(self, failures: int) -> float:
        """Return the delay after `failures` in a row, from 1, before a share is drawn."""
        return min(self.limit_s, self.first_s * 2.0 ** min(max(failures - 1, 0), _MAX_DOUBLINGS))

    def draw_s(self, failures: int, rng: Random) -> float:
        """Draw the delay after `failures` in a row, from 1."""
        return self.full_delay_s(failures) * rng.uniform(*self.shares)
