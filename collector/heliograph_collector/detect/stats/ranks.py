"""Tests of ranks: whether groups differ in their times by chance."""

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from operator import itemgetter

from heliograph_collector.detect.stats.tails import chi_squared_tail

MEMBERS = 3  # of a group that show how it differs; assumed
_FIRST_SIGMAS = 2.2  # of a rank sum: 1.4 % by chance; five before three suffice; assumed


def compute_rank_chance(times: Iterable[tuple[Hashable, int]]) -> float:
    """Return by what chance groups differ so in their times; 1 if there are too few.

    The test of Kruskal and Wallis, by chi-squared.

    Args:
        times: The group and the time of each member.
    """
    ranks: defaultdict[Hashable, list[int]] = defaultdict(list)
    for rank, (group, _) in enumerate(sorted(times, key=itemgetter(1)), 1):
        ranks[group].append(rank)
    groups = [group for group in ranks.values() if len(group) >= MEMBERS]
    count = sum(map(len, groups))
    freedom = len(groups) - 1
    if freedom < 1:
        return 1.0
    middle = sum(map(sum, groups)) / count
    between = sum(len(group) * (sum(group) / len(group) - middle) ** 2 for group in groups)
    within = sum((rank - middle) ** 2 for group in groups for rank in group)
    return chi_squared_tail((count - 1) * between / within, freedom)


def are_earlier(times: Sequence[int], others: Sequence[int]) -> bool:
    """Return whether times are earlier than others, by the rank sum of Mann and Whitney.

    Of two equal times each is earlier by half.
    """
    pairs = len(times) * len(others)
    if not pairs:
        return False
    ordered = sorted(others)
    after = sum(len(ordered) - bisect_right(ordered, time) for time in times)
    not_before = sum(len(ordered) - bisect_left(ordered, time) for time in times)
    first = (after + not_before) / 2
    sigma = math.sqrt(pairs * (len(times) + len(others) + 1) / 12)
    return first - pairs / 2 > _FIRST_SIGMAS * sigma
