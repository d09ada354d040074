"""Breadth: whether a cell fails beyond any one of its networks.

A cell of several networks may have enough failing votes by one of them and a chance failure beside
it: a campus of two prefixes and one line are three fifths of a small city. That names the network,
if it has votes enough, and not the city.
"""

from collections import defaultdict

from heliograph_collector.detect.stats.voting import VoteCount, VotesByPlace, sum_votes

_REST_SHARE = 0.5  # of the votes outside any one network that must fail; assumed
_VOTE_TOLERANCE = 1e-6  # votes are sums of fractions; assumed


def fails_beyond_one(votes: VotesByPlace) -> bool:
    """Return whether half of a cell's votes fail, whichever of its networks is left out.

    A cell of one network does.
    """
    by_network: defaultdict[int, VoteCount] = defaultdict(VoteCount)
    for at, count in votes.items():
        by_network[at.asn].add(count)
    total = sum_votes(votes)
    rests = (
        (total.votes - own.votes, total.hits - own.hits)
        for own in by_network.values()
        if total.votes - own.votes > _VOTE_TOLERANCE
    )
    return all(hits >= _REST_SHARE * rest - _VOTE_TOLERANCE for rest, hits in rests)
