"""Editions of agents against failures: whether an edition fails where others work.

Only vantages of one network are compared, so that a block of a network whose agents are all of one
edition is no split, nor one of a country where most are (`stats/lots.py`).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from heliograph_collector.detect.stats.lots import compute_split_chance
from heliograph_collector.model.signals import VantageRef
from heliograph_collector.model.thresholds import Thresholds

# Of a split by chance; assumed. Three failing vantages of one edition beside seven working ones of
# others in one network are enough. By chance one block of a hundred is detected later, if it
# reaches a part of a network's vantages, and mostly those of one edition.
_CHANCE = 0.01
_MIN_HITS = 2  # of an edition; assumed


@dataclass(frozen=True, slots=True)
class EditionTest:
    """The latest test of one vantage."""

    edition: str
    vantage: VantageRef
    has_failed: bool


def list_failing_editions(tests: Sequence[EditionTest], limits: Thresholds) -> AbstractSet[str]:
    """List the editions of which most tests fail, if it is not all of them."""
    results: defaultdict[str, list[bool]] = defaultdict(list)
    for test in tests:
        results[test.edition].append(test.has_failed)
    failing = {
        edition
        for edition, failed in results.items()
        if sum(failed) >= max(_MIN_HITS, limits.confirm_share * len(failed))
    }
    return failing if len(failing) < len(results) else frozenset()


def do_others_fail(
    tests: Sequence[EditionTest], failing: AbstractSet[str], limits: Thresholds
) -> bool:
    """Return whether the other editions fail too beside the failing ones, as in a block."""
    others = [
        test.has_failed
        for inside in _list_mixed(tests, failing)
        for test in inside
        if test.edition not in failing
    ]
    return len(others) >= limits.witnesses and sum(others) >= limits.confirm_share * len(others)


def is_explained(tests: Sequence[EditionTest], failing: AbstractSet[str]) -> bool:
    """Return whether these editions explain what fails in their networks, and chance does not."""
    strata = [
        [(test.edition in failing, test.has_failed) for test in inside]
        for inside in _list_mixed(tests, failing)
    ]
    return compute_split_chance(strata) <= _CHANCE


def _list_mixed(
    tests: Sequence[EditionTest], failing: AbstractSet[str]
) -> Iterator[list[EditionTest]]:
    """Yield the tests of each network in which both kinds of editions test."""
    by_network: defaultdict[tuple[object, ...], list[EditionTest]] = defaultdict(list)
    for test in tests:
        place = test.vantage.place
        by_network[place.country, place.asn, place.access].append(test)
    for inside in by_network.values():
        if len({test.edition in failing for test in inside}) == 2:
            yield inside
