"""An agent edition that breaks a test is no block; a block that comes with one is."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.detect.blocking.editions import EditionRun
from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import ServiceVote, VantageRef, VoteValue
from support.presence_model import at, confirmed, country, service_votes, world

ONSET, END, UNTIL = 900.0, 3_600.0, 4_200.0
HERE = country()
ABROAD = world()
OLD = {vantage.nym for vantage in HERE[::5]}  # a fifth keeps its edition


def detect(
    changed: Mapping[str, float], failing: Mapping[str, float], seed: int = 1, share: float = 1.0
) -> list[Incident]:
    """Detect with times by vantage: of edition 2, and of failures until END."""
    rng = Random(seed)

    def is_failing(vantage: VantageRef, now_s: float) -> bool:
        return failing.get(vantage.nym, UNTIL) <= now_s < END and rng.random() < share

    votes = service_votes(
        HERE + ABROAD, Random(seed), UNTIL, is_failing, cause=(VoteValue.BLOCKED, "tcp", "refused")
    )
    named = [
        replace(o, edition="2" if o.at_us >= at(changed.get(o.witness.nym, UNTIL)) else "1")
        for o in votes
    ]
    return list(detect_blocking(named, at(0), at(UNTIL)))


def all_from(vantages: list[VantageRef], second: float) -> dict[str, float]:
    return {vantage.nym: second for vantage in vantages}


def seconds_to_confirm(incidents: list[Incident]) -> float:
    (incident,) = confirmed(incidents)
    assert (incident.scope, incident.state) == (Scope("KZ"), IncidentState.CLOSED)
    assert incident.confirmed_us is not None
    return (incident.confirmed_us - at(ONSET)) / SECOND_US


def test_edition_that_fails_where_it_comes_first_is_no_block() -> None:
    renewed = [vantage for vantage in HERE if vantage.nym not in OLD]
    incidents = detect(all_from(renewed, ONSET), all_from(renewed, ONSET))
    assert confirmed(incidents) == []
    assert {i.state for i in incidents} == {IncidentState.WITHDRAWN}  # told as a doubt while it was
    assert ("restarts",) in {i.held for i in incidents}


@pytest.mark.parametrize("share", [0.95, 0.9])
def test_edition_that_lets_a_few_tests_pass_is_no_block(share: float) -> None:
    """An edition that lets a few tests pass is no block.

    As one endpoint of ten that still answers, where hardly any vantage has the old edition. Up to
    version 97 a vantage with one success counted as failing without the edition.
    """
    renewed = HERE[3:]
    incidents = detect(all_from(renewed, ONSET), all_from(renewed, ONSET), share=share)
    assert confirmed(incidents) == []


@pytest.mark.parametrize("share", [0.95, 0.9])
def test_block_that_lets_a_few_tests_pass_is_told_beside_a_new_edition(share: float) -> None:
    renewed = [vantage for vantage in HERE if vantage.nym not in OLD]
    told = confirmed(detect(all_from(renewed, 60), all_from(HERE, ONSET), share=share))
    assert [i.scope for i in told] == [Scope("KZ")]
    assert (told[0].confirmed_us or UNTIL) - at(ONSET) <= 300 * SECOND_US


def test_edition_that_all_get_one_after_another_is_no_block() -> None:
    turns = {vantage.nym: ONSET + 100 * number for number, vantage in enumerate(HERE)}
    assert confirmed(detect(turns, turns)) == []


def test_block_is_told_in_time_while_an_edition_comes() -> None:
    turns = {vantage.nym: 60 + 100 * number for number, vantage in enumerate(HERE)}
    assert seconds_to_confirm(detect(turns, all_from(HERE, ONSET))) <= 300


def test_block_is_told_in_time_if_a_fifth_keeps_its_edition() -> None:
    renewed = [vantage for vantage in HERE if vantage.nym not in OLD]
    assert seconds_to_confirm(detect(all_from(renewed, ONSET), all_from(HERE, ONSET))) <= 300


def test_block_that_begins_with_an_edition_is_told_once_that_works_elsewhere() -> None:
    """A block that begins with an edition is confirmed once that works elsewhere.

    No vantage here has another edition, so it takes half an hour.
    """
    everywhere = all_from(HERE + ABROAD, ONSET)
    assert 1_800 <= seconds_to_confirm(detect(everywhere, all_from(HERE, ONSET))) <= 2_100


def test_failure_that_comes_to_one_country_after_another_is_withdrawn() -> None:
    """A failure that comes to one country after another is withdrawn.

    It is like an edition that agents do not report: no block fails so nearly everywhere.
    """
    names = sorted({vantage.place.country for vantage in ABROAD})
    later = {v.nym: ONSET + 400 * (1 + names.index(v.place.country)) for v in ABROAD}
    incidents = detect({}, all_from(HERE, ONSET) | later)
    assert "KZ" in {i.scope.country for i in confirmed(incidents)}
    assert {i.state for i in incidents} == {IncidentState.WITHDRAWN}


@pytest.mark.parametrize(
    ("results", "is_failing"),
    [
        ("x", True),
        (".xx", True),  # one of three that passed by chance weighs much
        ("xx.xxxxxxx", True),
        ("x.", True),
        ("x..", False),  # a failure by chance
        ("...xxx", False),  # it worked by this edition before
        ("xx.xx.xx.xx.", False),
    ],
)
def test_run_of_an_edition_that_failed_since_its_first_tests(
    results: str, *, is_failing: bool
) -> None:
    run = EditionRun()
    for number, result in enumerate(results):
        value = VoteValue.BLOCKED if result == "x" else VoteValue.GOOD
        run.add(ServiceVote(at(150 * number), HERE[0], "telegram", value))
    assert run.has_always_failed is is_failing
