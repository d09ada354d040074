"""Cohorts: agents that were enrolled on one day and stop together, which is no cut.

A campaign's or a study's agents end by their clock, or with its funds: those of one day, in several
networks at once, and nobody beside them. An order takes all of a place, whenever they enrolled.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from heliograph.units import DAY_US
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.lots import compute_split_chance
from heliograph_collector.model.signals import VantageLocation
from heliograph_collector.model.thresholds import Thresholds

# Assumed, all of them:
_MOST = 0.8  # of the cohort that are silent, and of the silent that are of it
_LIVING_SHARE = 0.2  # of the others in the same places that are silent by themselves, at most
_CHANCE = 1e-3  # that an order takes those of one day alone
_NETWORKS = 2  # with two silent members each


def may_be_cohort(vantages: Sequence[VantagePresence], since_us: int, limits: Thresholds) -> bool:
    """Return whether those that fell silent since then are the agents of one day.

    Only vantages of the same region, network and kind of access are compared: where a campaign's
    agents are the only ones in a place, nothing tells its end from a cut.

    Args:
        vantages: The country's established vantages, here or silent.
    """
    silent = [v for v in vantages if v.is_silent and v.lost_us >= since_us]
    if len(silent) < limits.votes:
        return False
    ((day, count),) = Counter(map(_find_day, silent)).most_common(1)
    cohort_size = sum(_find_day(v) == day for v in vantages)
    if count < _MOST * max(len(silent), cohort_size):
        return False
    networks = Counter(v.place.asn for v in silent if _find_day(v) == day)
    if sum(number > 1 for number in networks.values()) < _NETWORKS:
        return False
    places: defaultdict[VantageLocation, list[tuple[bool, bool]]] = defaultdict(list)
    for v in vantages:
        places[v.place].append((_find_day(v) == day, v.is_silent and v.lost_us >= since_us))
    mixed = [members for members in places.values() if len({own for own, _ in members}) > 1]
    others = [is_silent for members in mixed for is_own, is_silent in members if not is_own]
    is_alone = len(others) >= limits.votes and sum(others) <= _LIVING_SHARE * len(others)
    return is_alone and compute_split_chance(mixed) <= _CHANCE


def _find_day(vantage: VantagePresence) -> int:
    return vantage.witness.first_us // DAY_US
