"""Tests out of turn and light checks add to the evidence, or replace some."""

from dataclasses import replace

import pytest

from heliograph.observation import Trigger
from heliograph_collector.detect.blocking.detector import BlockingDetector
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.signals import (
    LIGHT_SOURCE,
    ServiceVote,
    VantageLocation,
    VantageRef,
    VoteValue,
)

BEGIN_US = 20_000 * 86_400_000_000
LIGHT = "viber" + LIGHT_SOURCE


def vote(number: int, at_s: float, value: VoteValue = VoteValue.BLOCKED) -> ServiceVote:
    """Return a light check of a vantage, each in a different network."""
    place = VantageLocation("KZ", asn=number + 1)
    return ServiceVote(
        BEGIN_US + int(at_s * 1e6), VantageRef(f"v{number}", f"p{number}", place), "viber", value,
        "tcp", "timeout", LIGHT,
    )  # fmt: skip


def whole(number: int, at_s: float, value: VoteValue, trigger: str = "") -> ServiceVote:
    return replace(vote(number, at_s, value), source="viber", trigger=trigger)


def run(votes: list[ServiceVote], until_s: int) -> BlockingDetector:
    detector = BlockingDetector(BEGIN_US)
    for each in sorted(votes, key=lambda each: each.at_us):
        detector.close_bins(each.at_us)
        detector.add_vote(each)
    detector.close_bins(BEGIN_US + until_s * 1_000_000)
    return detector


def sum_of(detector: BlockingDetector) -> float:
    sums = detector.services["viber"].countries["KZ"].evidence.sums
    return max(total for scope, total in sums.items() if scope.is_national)


@pytest.mark.parametrize("looks", [1, 20])
def test_second_looks_of_one_vantage_are_no_further_vantages(looks: int) -> None:
    first = run([vote(0, 5)], 60)
    looked = [whole(0, 70 + 9 * n, VoteValue.BLOCKED, Trigger.SECOND_LOOK) for n in range(looks)]
    untriggered = run([vote(0, 5), replace(looked[0], trigger="")], 300)
    again = run([vote(0, 5), *looked], 300)
    assert sum_of(first) < sum_of(again) < sum_of(untriggered) or looks > 1
    assert not again.incidents()


def test_four_vantages_confirm_nothing_however_often_they_look() -> None:
    votes = [vote(n, 10 + 30 * n) for n in range(4)]
    votes += [
        whole(n, 60 + 20 * m + n, VoteValue.BLOCKED, Trigger.SECOND_LOOK)
        for n in range(4)
        for m in range(10)
    ]
    states = {incident.state for incident in run(votes, 600).incidents()}
    assert IncidentState.CONFIRMED not in states


def test_whole_test_replaces_the_light_check_that_it_explains() -> None:
    """A whole test replaces the light check that it explains.

    Each drew an endpoint that is dead by itself; the whole test finds the service working.
    """
    votes = []
    for n in range(8):
        votes += [vote(n, 20 * n), whole(n, 20 * n + 30, VoteValue.GOOD, Trigger.SECOND_LOOK)]
    detector = run(votes, 420)
    assert not any(i.state is IncidentState.CONFIRMED for i in detector.incidents())
    late = run([*votes, *(vote(n, 20 * n + 1) for n in range(8))], 420)
    assert not any(i.state is IncidentState.CONFIRMED for i in late.incidents())


def test_light_success_does_not_hide_what_the_whole_test_found() -> None:
    """A light success does not hide what the whole test found.

    One protocol of a messenger is blocked, and a light check may draw its other endpoints.
    """
    votes = []
    for n in range(8):
        votes.append(whole(n, 25 * n, VoteValue.BLOCKED))
        votes.append(vote(n, 25 * n + 10, VoteValue.GOOD))
        votes.append(whole(n, 200 + 10 * n, VoteValue.BLOCKED))
    assert any(i.state is IncidentState.CONFIRMED for i in run(votes, 420).incidents())


def test_one_minute_of_failures_is_held_for_a_second_bin() -> None:
    """Tests of one minute are not spread, so that the next minute decides."""
    votes = [vote(n, at_s) for n in range(8) for at_s in (6 + n, 66 + n, 126 + n)]
    confirmed = [
        any(i.state is IncidentState.CONFIRMED for i in run(votes[:], until_s).incidents())
        for until_s in (60, 120, 180)
    ]
    assert confirmed == [False, False, True]
    good = [vote(n, 66 + n, VoteValue.GOOD) for n in range(8)]
    blip = [o for o in votes if o.at_us < BEGIN_US + 60_000_000] + good
    assert not any(i.state is IncidentState.CONFIRMED for i in run(blip, 300).incidents())
