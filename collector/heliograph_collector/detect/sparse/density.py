"""Split off the votes of a replay that are too few for bins of a minute.

Theory of operation. Bins of a minute know a vantage by its earlier tests, and wait for its next.
Rows whose voters never come back show nothing by that, so they need five within the minutes in
which a vote is fresh. Vantages that come back every few minutes are what a collector hears, and
it confirms a block by the latest test of each, though few are fresh at one time. So theirs are not
too few where five of them test a service, and are detected as a collector would.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median
from typing import TypeAlias

from heliograph.units import SECOND_US
from heliograph_collector.detect.sparse.detector import count_median
from heliograph_collector.model.signals import ServiceVote
from heliograph_collector.model.thresholds import THRESHOLDS

TimedVote: TypeAlias = tuple[int, ServiceVote]  # with the time at which the collector has judged it
VoteGroup: TypeAlias = tuple[str, str]  # a country and a service

# Assumed, both:
_RETURN_US = 600 * SECOND_US  # between two tests of a vantage: 480 s by the default plan
_LEAST_TESTS = 12  # of a vantage that comes back


def split_sparse(votes: Iterable[TimedVote]) -> tuple[list[ServiceVote], list[TimedVote]]:
    """Split off the votes that are too few for minutes, by country and service.

    They are if half of them have fewer than the votes of a confirmation in the minutes before, and
    fewer vantages than these come back.
    """
    groups: defaultdict[VoteGroup, list[TimedVote]] = defaultdict(list)
    for timed in votes:
        groups[find_group(timed[1])].append(timed)
    sparse: list[ServiceVote] = []
    dense: list[TimedVote] = []
    for group in groups.values():
        own = [vote for _, vote in group]
        if _are_few(own) and _count_returning(own) < THRESHOLDS.votes:
            sparse += own
        else:
            dense += group
    return sparse, dense


def find_group(vote: ServiceVote) -> VoteGroup:
    """Return the country and the service of a vote."""
    return vote.witness.place.country, vote.service


def _are_few(votes: Sequence[ServiceVote]) -> bool:
    return count_median(votes, int(THRESHOLDS.fresh_s * SECOND_US)) < THRESHOLDS.votes


def _count_returning(votes: Iterable[ServiceVote]) -> int:
    """Count the vantages that test every few minutes."""
    times_us: defaultdict[str, list[int]] = defaultdict(list)
    for vote in votes:
        times_us[vote.witness.nym].append(vote.at_us)
    return sum(_returns(own_us) for own_us in times_us.values())


def _returns(times_us: Sequence[int]) -> bool:
    if len(times_us) < _LEAST_TESTS:
        return False
    return median(later - us for us, later in pairwise(sorted(times_us))) <= _RETURN_US
