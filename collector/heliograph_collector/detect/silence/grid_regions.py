"""Decide whether lines fail by region, like a grid, or by operator, as in a cut.

A grid takes all lines of a region, by whichever operator. An order takes operators, and so does
a cable. Where one operator has all lines of a region nothing tells these apart but what happened
lately: where power is rationed, it failed in other regions of the country.

An order takes an operator at one time, or one operator after another. Where power fails, the lines
of all operators go one by one at the same time, as their batteries run out.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from heliograph.units import DAY_US, MINUTE_US, SECOND_US
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.detect.stats.ranks import MEMBERS, compute_rank_chance
from heliograph_collector.detect.stats.tails import measure_spread
from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.model.thresholds import THRESHOLDS

_LIVING_SHARE = 0.34  # of silent lines, up to which a region lives: chance takes some; assumed
_RATIONED_US = 7 * DAY_US  # since which lines were without power together; assumed
_TOGETHER_US = 300 * SECOND_US  # in which the lines of a street go; assumed
_RATIONED_REGIONS = 2  # in which power failed: one may be a storm; assumed
_ONE_BY_ONE_US = 6 * MINUTE_US  # batteries last for longer, orders are done sooner; assumed
_FEW_LINES = 2  # of an operator, of which the times show whether they went at once; assumed
_APART_CHANCE = 0.05  # of such ranks: operators fell one after another; assumed
_OPERATORS = 2  # dead in one region and alive in another: one may fail by itself; assumed
_STEP_US = 120 * SECOND_US  # between two operators, at least; assumed
_AT_ONCE_US = 60 * SECOND_US  # in which an operator goes; assumed
_REGIONS = 2  # in which both did: in one they may be of different streets; assumed


class _Step(NamedTuple):
    """The loss of an operator's lines, all at once."""

    since_us: int
    until_us: int
    regions: frozenset[str]


def fail_by_region(lines: Sequence[VantagePresence]) -> bool:
    """Return whether each region is dead or live, while some operators are both."""
    by_region = _group_by_region(lines)
    counts = {region: sum_silent(group) for region, group in by_region.items()}
    dead = [region for region, count in counts.items() if count.share >= THRESHOLDS.confirm_share]
    living = [region for region, count in counts.items() if count.share <= _LIVING_SHARE]
    if len(dead) + len(living) < len(counts) or _sum(counts, living) < THRESHOLDS.witnesses:
        return False
    dead_networks = {v.place.asn for region in dead for v in by_region[region] if v.is_silent}
    live_networks = {v.place.asn for region in living for v in by_region[region] if v.is_live}
    return len(dead_networks & live_networks) >= _OPERATORS


def fail_side_by_side(lines: Sequence[VantagePresence]) -> bool:
    """Return whether lines of several operators fell one by one at the same time.

    Only operators count half of whose lines are silent: three or more, or in a small country two.
    """
    by_network: defaultdict[int, list[VantagePresence]] = defaultdict(list)
    for line in lines:
        by_network[line.place.asn].append(line)
    hit = [g for g in by_network.values() if sum_silent(g).share >= THRESHOLDS.suspect_share]
    times_us = [[line.lost_us for line in group if line.is_silent] for group in hit]
    groups = [group for group in times_us if len(group) >= MEMBERS]
    if len(groups) < _OPERATORS:
        groups = [group for group in times_us if len(group) >= _FEW_LINES]
    if len(groups) < _OPERATORS or min(map(measure_spread, groups)) < _ONE_BY_ONE_US:
        return False
    times = [(number, at_us) for number, group in enumerate(groups) for at_us in group]
    return compute_rank_chance(times) > _APART_CHANCE


def went_in_steps(lines: Sequence[VantagePresence]) -> bool:
    """Return whether operators went at once each, minutes apart, in the same regions.

    A grid takes the lines of a region at one time, by whichever operator.
    """
    by_network: defaultdict[int, list[VantagePresence]] = defaultdict(list)
    for line in lines:
        by_network[line.place.asn].append(line)
    steps = sorted(filter(None, map(_find_step, by_network.values())))
    return any(
        later.since_us - step.until_us >= _STEP_US and len(step.regions & later.regions) >= _REGIONS
        for step, later in combinations(steps, 2)
    )


def _find_step(lines: Sequence[VantagePresence]) -> _Step | None:
    """Find when the lines of an operator went; None if not at once."""
    times_us = [line.lost_us for line in lines]
    regions = frozenset(line.place.region for line in lines) - {""}
    step = _Step(min(times_us), max(times_us), regions)
    return step if step.until_us - step.since_us <= _AT_ONCE_US else None


def _group_by_region(lines: Sequence[VantagePresence]) -> dict[str, list[VantagePresence]]:
    """Group the lines of which the region is known."""
    by_region: defaultdict[str, list[VantagePresence]] = defaultdict(list)
    for line in lines:
        if line.place.region:
            by_region[line.place.region].append(line)
    return by_region


def _sum(counts: dict[str, VoteCount], regions: Sequence[str]) -> float:
    return sum(counts[region].votes for region in regions)


def have_lost_power(lines: Sequence[VantagePresence], before_us: int) -> bool:
    """Return whether a third of these lines lost power together lately.

    The others may be laptops, which live on behind lines that are dead.
    """
    times_us = sorted(
        v.powerless_us for v in lines if 0 <= before_us - v.powerless_us <= _RATIONED_US
    )
    together = sum(_count_near(times_us, at_us) >= THRESHOLDS.witnesses for at_us in times_us)
    return 0 < THRESHOLDS.told_share * len(lines) <= together


def _count_near(times_us: Sequence[int], at_us: int) -> int:
    """Count the sorted times that are near one of them."""
    return bisect_right(times_us, at_us + _TOGETHER_US) - bisect_left(
        times_us, at_us - _TOGETHER_US
    )


def is_rationed_region(lines: Sequence[VantagePresence], silent: Sequence[VantagePresence]) -> bool:
    """Return whether all lines of one region fell where power fails by regions.

    Args:
        lines: The lines of the country.
        silent: Those that fell silent.
    """
    by_region = _group_by_region(lines)
    regions = {line.place.region for line in silent}
    if len(regions) != 1 or "" in regions:
        return False
    own = by_region.pop(regions.pop())
    if sum_silent(own).share < 1.0 - THRESHOLDS.alive_share:
        return False
    before_us = min(line.lost_us for line in silent)
    rationed = [have_lost_power(group, before_us) for group in by_region.values()]
    return sum(rationed) >= _RATIONED_REGIONS
