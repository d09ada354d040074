"""A partial becomes a block only if more fail than chance makes of its share."""

import pytest

from heliograph_collector.detect.blocking.evidence import exceeds_partial
from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.thresholds import THRESHOLDS


@pytest.mark.parametrize(
    ("share", "hits", "votes", "is_block"),
    [
        (0.36, 5.0, 8.0, False),  # five of fourteen, and of these eight were asked
        (0.36, 8.0, 8.0, True),
        (0.36, 5.0, 5.0, True),
        (0.4, 18.0, 30.0, False),
        (0.4, 19.0, 30.0, True),
        (1.0, 5.0, 8.0, True),  # of functions: its cells fail as a block's do
    ],
)
def test_sample_of_a_partial_is_no_block(
    share: float, hits: float, votes: float, *, is_block: bool
) -> None:
    """A sample of a partial is no block.

    Version 132 showed a network as blocked of which a third could not reach a service.
    """
    cells = [AffectedCell(Scope("KZ", asn=10), 14.0, share, 14)]
    assert exceeds_partial(cells, VoteCount(votes, hits, votes), THRESHOLDS) is is_block
