"""A city is blocked if it fails beyond one network; one campus and a broken line are no city."""

from dataclasses import replace
from random import Random

import pytest

from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.detect.stats.breadth import fails_beyond_one
from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import ServiceVote, VantageLocation, VantageRef, VoteValue
from support.presence_model import BLOCKED_TLS, T0, at, confirmed, country, people, world

AT, UNTIL = 3_600.0, 14_400.0
CAMPUS = [
    replace(vantage, prefix=f"KZ-campus-{n % 2}")
    for n, vantage in enumerate(people(VantageLocation("KZ", "ALA", 900, "fixed"), 8))
]
BESIDE = [
    *people(VantageLocation("KZ", "ALA", 9198, "fixed"), 2),
    *people(VantageLocation("KZ", "ALA", 21299, "fixed"), 1),
]
ELSEWHERE = country(regions=("AST", "VOS"), each=2)


def _test(failing: set[str], seed: int) -> list[Scope]:
    """Test a messenger each eight minutes; return what is confirmed."""
    rng = Random(seed)
    votes: list[ServiceVote] = []
    for vantage in [*CAMPUS, *BESIDE, *ELSEWHERE, *world(2)]:
        now_s = rng.uniform(0, 480)
        while now_s < UNTIL:
            is_hit = now_s >= AT and vantage.nym in failing
            result = BLOCKED_TLS if is_hit else (VoteValue.GOOD, "", "")
            votes.append(ServiceVote(at(now_s), vantage, "telegram", *result))
            now_s += 480 * rng.uniform(0.9, 1.1)
    told = confirmed(detect_blocking(votes, T0, at(UNTIL)))
    return [cell.scope for incident in told for cell in incident.parts]


def _names(vantages: list[VantageRef]) -> set[str]:
    return {vantage.nym for vantage in vantages}


@pytest.mark.parametrize("seed", range(3))
def test_a_campus_and_one_broken_line_are_no_city(seed: int) -> None:
    """They have three of the five votes of the city's lines, in two networks."""
    assert _test(_names(CAMPUS) | _names(BESIDE[:1]), seed) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_city_of_which_every_network_fails_is_told(seed: int) -> None:
    (scope,) = _test(_names(CAMPUS) | _names(BESIDE), seed)
    assert scope.region == "ALA"


@pytest.mark.parametrize(
    ("votes", "is_broad"),
    [
        ({1: (4, 4), 2: (1, 0)}, False),
        ({1: (4, 4), 2: (2, 1)}, True),
        ({1: (5, 5)}, True),
        ({1: (3, 3), 2: (2, 1), 3: (2, 0)}, False),
    ],
    ids=["one and a line", "one and half of another", "one alone", "one of three"],
)
def test_half_of_the_rest_fails_whichever_network_is_left_out(
    votes: dict[int, tuple[int, int]], *, is_broad: bool
) -> None:
    by_place = {
        VantageLocation("KZ", "ALA", asn, "fixed"): VoteCount(count, hits)
        for asn, (count, hits) in votes.items()
    }
    assert fails_beyond_one(by_place) is is_broad
