"""The rest of the world separates outages from blocks, and replaces controls."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.observation import Link
from heliograph_collector.control import Assessor, PeerBaseline, extract_outcomes
from heliograph_collector.control.assessor import REJUDGED_PER_BLOCK
from heliograph_collector.judge import judge
from heliograph_collector.model.records import (
    AgentRole,
    PeerComparison,
    ReceivedMeasurement,
    VerdictState,
)
from support.control_records import (
    BLOCKED,
    NO_CONTROL,
    PLACES,
    RESET,
    WORKS,
    Steps,
    build_control,
    build_everywhere,
    build_record,
    overall,
)
from support.scenario import measurement

CONTROL = build_control(WORKS)
WORLDWIDE = (VerdictState.DOWN, "down.worldwide")


def assess_after(steps: Steps) -> Assessor:
    """Return an assessor with a good control, and these results from elsewhere."""
    assessor = Assessor(judge)
    assessor.assess([CONTROL, *build_everywhere(steps, 0)])
    return assessor


def test_worldwide_outage_is_down_though_control_works() -> None:
    """A worldwide outage is down though the control works.

    The first failure is judged blocked, and judged again when the others fail too.
    """
    assess = assess_after(WORKS).assess
    assert [overall(j) for j in assess([build_record(RESET, 4)])] == [BLOCKED]
    again = {j[0].pseudonym: overall(j) for j in assess(build_everywhere(RESET, 5))}
    assert again["KZ"] == WORLDWIDE
    judged = assess([*build_everywhere(RESET, 6), build_record(RESET, 6)])
    assert {overall(j) for j in judged} == {WORLDWIDE}


def test_long_standing_failures_are_no_outage() -> None:
    assess = assess_after(RESET).assess
    judged = assess([*build_everywhere(RESET, 5), build_record(RESET, 5)])
    assert {overall(j) for j in judged} == {BLOCKED}


def test_blocking_in_one_country_is_no_outage() -> None:
    assess = assess_after(WORKS).assess
    many = [build_record(RESET, 5, nym=f"kz-{n}") for n in range(20)]
    judged = assess([*many, *build_everywhere(WORKS, 5)])
    assert {overall(j) for j in judged if j[0].vantage.country == "KZ"} == {BLOCKED}


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (PLACES, BLOCKED),
        (PLACES[:2], NO_CONTROL),
        (("KZ", "KZ", "KZ"), NO_CONTROL),
        (("ZZ", "ZZ", "ZZ"), NO_CONTROL),
    ],
)
def test_foreign_vantages_substitute_a_control(
    places: Sequence[str], expected: tuple[VerdictState, str]
) -> None:
    others = [build_record(WORKS, 1, country=p, nym=f"{p}{n}") for n, p in enumerate(places)]
    judged = Assessor(judge).assess([build_record(RESET, 0), *others])
    assert overall(judged[0]) == expected


def test_fresh_control_precedes_substitutes_which_lend_less_confidence() -> None:
    control = build_control(RESET)
    judged = Assessor(judge).assess([build_record(RESET), control, *build_everywhere(WORKS, 0)])
    assert overall(judged[0]) == (VerdictState.DOWN, "down.tls")
    (by_control, _) = Assessor(judge).assess([build_record(RESET), CONTROL])
    by_others = Assessor(judge).assess([build_record(RESET), *build_everywhere(WORKS, 0)])[0]
    assert 0 < by_others[1][0].confidence < by_control[1][0].confidence


def test_network_has_one_vote() -> None:
    world = PeerBaseline()
    for n in range(9):
        world.update(build_record(WORKS, 0, country="DE", nym=f"n{n}", prefix="same"))
    assert world.compare_peers(build_record(RESET))[""].reached_vantages == 1
    world.update(build_record(RESET, 0, country="DE", nym="other", prefix="same"))
    assert world.compare_peers(build_record(RESET))[""] == PeerComparison()  # it is not of one mind


def test_offline_and_distant_records_have_no_vote() -> None:
    world = PeerBaseline()
    assert not world.update(build_record(RESET, 0, country="DE", link=Link.OFFLINE))
    world.update(build_record(WORKS, -16, country="DE"))
    assert world.compare_peers(build_record(RESET)) == {}


def test_late_record_is_compared_with_its_own_time() -> None:
    """A late record is compared with results of its own time, not the newest ones."""
    world = PeerBaseline()
    for minute in (0, 60):
        for one in build_everywhere(WORKS if minute else RESET, minute):
            world.update(one)
    assert world.compare_peers(build_record(RESET, 1))[""].failed_countries == len(PLACES)
    assert world.compare_peers(build_record(RESET, 61))[""].reached_countries == len(PLACES)


def test_full_baseline_forgets_the_oldest() -> None:
    world = PeerBaseline(observations=20)
    for minute in range(200):
        world.update(build_record(WORKS, minute, country="DE"))
    assert world.compare_peers(build_record(RESET, 100)) == {}
    assert world.compare_peers(build_record(RESET, 199))[""].reached_vantages == 1


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (WORKS, {"": True}),
        (RESET, {"": False}),
        ([{"system A": "dns_nxdomain_error"}], {"": False}),
        ([*WORKS, {"connect 2a00:1::8": "generic_timeout_error"}], {"": True}),
        ([*WORKS[:2], {"tls": "interrupted"}], {}),
        ([{"connect 5.6.7.8": "network_unreachable"}], {}),
        ([{"system A": "5.6.7.8"}, {"system AAAA": "dns_no_answer"}], {}),
    ],
)
def test_extract_outcomes(steps: Steps, expected: dict[str, bool]) -> None:
    assert extract_outcomes(measurement(steps)) == expected


def test_site_closed_to_abroad_is_down_outside_only() -> None:
    def outside(steps: Any, **more: Any) -> ReceivedMeasurement:
        one = build_record(steps, **more)
        seen = replace(one.measurement, experiment="outside_in", service="gov", target="gov")
        return replace(one, measurement=seen)

    closed: Any = {"site": [{"connect 5.6.7.8": "generic_timeout_error"}]}
    inside = build_record({"site": [{"connect 5.6.7.8": "ok"}]}, country="KZ")
    inside = replace(inside, measurement=replace(inside.measurement, service="gov"))
    control = outside(closed, country="DE", role=AgentRole.CONTROL)
    (alone,) = Assessor(judge).assess([control])
    assert overall(alone) == (VerdictState.DOWN, "service.down")
    judged = {j[0].pseudonym: overall(j) for j in Assessor(judge).assess([inside, control])}
    assert judged["control"] == (VerdictState.DOWN, "outside_in.closed_to_abroad")


def test_sample_of_a_large_country_is_stable() -> None:
    """The sample of a large country is stable.

    Ten thousand vantages must not replace each other before one can count.
    """
    names = [(place, f"{place}{i}") for place in PLACES for i in range(200)]
    crowd = [build_record(WORKS, 0, country=place, nym=nym) for place, nym in names]
    one, other = PeerBaseline(), PeerBaseline()
    for each in crowd:
        one.update(each)
    for each in reversed(crowd):
        other.update(each)
    assert _reached(one) == _reached(other)
    assert _reached(one).reached_vantages == 24 * len(PLACES)


def test_outage_is_detected_in_a_crowd() -> None:
    assess = Assessor(judge).assess
    crowd = [(place, f"{place}{i}") for place in PLACES for i in range(100)]
    assess([CONTROL, *(build_record(WORKS, 0, country=place, nym=nym) for place, nym in crowd)])
    judged = assess([build_record(RESET, 5, country=place, nym=nym) for place, nym in crowd])
    assert {overall(j) for j in judged} == {WORLDWIDE}


def test_stale_vantages_leave_the_sample() -> None:
    """Names change with the month; last month's must not hold the places."""
    world = PeerBaseline()
    for i in range(200):
        world.update(build_record(RESET, 0, country="DE", nym=f"old{i}"))
    for i in range(24):
        world.update(build_record(WORKS, 120, country="DE", nym=f"new{i}"))
    assert _reached(world, 120).reached_vantages == 24


@pytest.mark.long
def test_a_quarter_of_an_hour_of_each_country_is_kept() -> None:
    """A quarter of an hour of each country is kept.

    Sixty countries of many vantages have room for ten results of each of 240 vantages.
    """
    world = PeerBaseline(observations=240 * 2 * 10)
    places = [f"{first}{second}" for first in "ABCDEF" for second in "ABCDEFGHIJ"]
    for minute in range(0, 45, 3):
        for place in places:
            for number in range(12):
                nym = f"{place}{number}"
                world.update(build_record(WORKS, minute, country=place, nym=nym))
    assert _reached(world, 27).reached_countries == len(places)


def test_a_country_of_many_targets_displaces_no_other() -> None:
    world = PeerBaseline(observations=200)
    for one in build_everywhere(WORKS, 0):
        world.update(one)
    for number in range(300):
        record = build_record(RESET, 1, country="US", nym=f"us{number}")
        own = replace(record.measurement, target=f"http://{number}.example/", service="")
        world.update(replace(record, measurement=own))
    assert _reached(world).reached_countries == len(PLACES)


def _reached(world: PeerBaseline, minute: float = 0) -> PeerComparison:
    return world.compare_peers(build_record(WORKS, minute))[""]


def test_records_waiting_for_judgement_are_kept() -> None:
    """Records that wait for a new verdict are kept, and judged over several blocks."""
    assess = Assessor(judge).assess
    crowd = [build_record(RESET, 1, nym=f"kz{i}") for i in range(3 * REJUDGED_PER_BLOCK)]
    assess(crowd)
    judged = list(assess([build_control(WORKS, 2)]))
    for minute in (3, 4):
        judged += assess([build_record(WORKS, minute, nym="another")])
    blocked = [overall(j)[0] for j in judged if j[0].pseudonym.startswith("kz")]
    assert blocked == [VerdictState.BLOCKED] * len(crowd)


def count_again(baseline: PeerBaseline) -> dict[Any, Counter[tuple[str, str]]]:
    """Count the outcomes of all latest results again, by target and country."""
    return {
        (key, country): Counter(
            outcome for history in histories.values() for outcome in history[-1].list_outcomes()
        )
        for key, countries in baseline._results.items()
        for country, histories in countries.items()
    }


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(PLACES), st.integers(0, 5), st.integers(0, 200), st.booleans()),
        max_size=80,
    )
)
def test_counts_follow_what_comes_and_what_is_forgotten(
    told: list[tuple[str, int, int, bool]],
) -> None:
    baseline = PeerBaseline(observations=40)
    for country, number, minute, works in told:
        steps = WORKS if works else RESET
        baseline.update(build_record(steps, minute, country=country, nym=f"{country}{number}"))
        counts = {at: +found for at, found in baseline._counts.items()}
        assert counts == count_again(baseline)
