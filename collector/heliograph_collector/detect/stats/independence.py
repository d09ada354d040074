"""Compute by what chance parts differ so in what they lost.

It is the G-test of independence (Sokal and Rohlf, Biometry, 1981, chapter 17). Lines are counted,
because phones behind one NAT are lost together.
"""

import math
from collections.abc import Collection

from heliograph_collector.detect.stats.tails import chi_squared_tail
from heliograph_collector.detect.stats.voting import VoteCount


def compute_chance(counts: Collection[VoteCount]) -> float:
    """Return P(such a difference of silent shares), if all parts have one share."""
    pairs = [(count.lines, count.lines * count.share) for count in counts if count.lines]
    lines = math.fsum(n for n, _ in pairs)
    hits = math.fsum(k for _, k in pairs)
    if len(pairs) < 2:
        return 1.0
    gain = math.fsum(_entropy(n, k) for n, k in pairs) - _entropy(lines, hits)
    return chi_squared_tail(max(0.0, 2 * gain), len(pairs) - 1)


def _entropy(count: float, hits: float) -> float:
    """Return the log-likelihood of hits at their own rate, in nats."""
    return math.fsum(k * math.log(k / count) for k in (hits, count - hits) if k > 0)
