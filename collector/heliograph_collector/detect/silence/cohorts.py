"""Cohorts: agents that have something in common and stop together.

A campaign's or a study's agents end by their clock, or with its funds: those that were enrolled on
one day, in several networks at once, and nobody beside them. So do the agents of one edition, by an
error that waits for a date or for an answer that all of them get. An order takes all of a place,
whenever they enrolled and whatever they run.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from heliograph.units import DAY_US
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.stratified_test import compute_split_chance
from heliograph_collector.model.signals import VantageLocation
from heliograph_collector.model.thresholds import THRESHOLDS

# Assumed, all of them:
MOST_SHARE = 0.8  # of the cohort that are silent, and of the silent that are of it
_LIVING_SHARE = 0.2  # of the others in the same places that are silent by themselves, at most
_CHANCE = 1e-3  # that an order takes those of one cohort alone
_NETWORKS = 2  # with two silent members each

Comparison = tuple[bool, bool]  # of a vantage: whether it is of the cohort, whether it fell silent


def may_be_cohort(
    vantages: Sequence[VantagePresence],
    since_us: int,
    find_cohort: Callable[[VantagePresence], str],
) -> bool:
    """Return whether those that fell silent since then are the agents of one cohort.

    Args:
        vantages: The country's established vantages, here or silent.
        since_us: When they began to fall silent.
        find_cohort: The cohort of a vantage; "" is none.
    """
    silent = [v for v in vantages if v.is_silent and v.lost_us >= since_us]
    if len(silent) < THRESHOLDS.votes:
        return False
    ((cohort, count),) = Counter(map(find_cohort, silent)).most_common(1)
    cohort_size = sum(find_cohort(v) == cohort for v in vantages)
    if not cohort or count < MOST_SHARE * max(len(silent), cohort_size):
        return False
    networks = Counter(v.place.asn for v in silent if find_cohort(v) == cohort)
    if sum(number > 1 for number in networks.values()) < _NETWORKS:
        return False
    places: defaultdict[tuple[VantageLocation, str], list[Comparison]] = defaultdict(list)
    for v in vantages:
        is_fallen = v.is_silent and v.lost_us >= since_us
        places[v.place, v.witness.carrier].append((find_cohort(v) == cohort, is_fallen))
    return falls_alone(places.values())


def falls_alone(places: Iterable[Sequence[Comparison]]) -> bool:
    """Return whether a cohort fell silent and the others of the same places did not.

    Where a campaign's agents are the only ones in a place, nothing tells its end from a cut. In one
    place are those of one carrier: an edition that has another one lives through a block of the
    first.
    """
    mixed = [inside for inside in places if len({is_own for is_own, _ in inside}) > 1]
    others = [is_fallen for inside in mixed for is_own, is_fallen in inside if not is_own]
    if len(others) < THRESHOLDS.votes or sum(others) > _LIVING_SHARE * len(others):
        return False
    return compute_split_chance(mixed) <= _CHANCE


def find_day(vantage: VantagePresence) -> str:
    """Return the day on which an agent enrolled."""
    return str(vantage.witness.first_us // DAY_US)


def find_edition(vantage: VantagePresence) -> str:
    """Return the edition of an agent; "" is unknown."""
    return vantage.edition
