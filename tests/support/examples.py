"""How many examples a property draws: all in `make soak`, every eighth of them elsewhere.

Where CI is set Hypothesis draws the same examples each time, so that a run proves no more than the
one before; what many seeds find, the soak finds.
"""

import os

IS_SOAK = os.environ.get("HELIOGRAPH_EXAMPLES") == "all"


def draw_seeds(count: int) -> range:
    """Seeds of worlds that are drawn by chance, by the same rule."""
    return range(limit_examples(count))


def limit_examples(count: int) -> int:
    return count if IS_SOAK else -(-count // 8)
